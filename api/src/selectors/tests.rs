use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn ours(key: &str) -> String {
    format!("{}{key}", names::PREFIX)
}

#[test]
fn a_selector_speaks_of_the_delegates_keys() {
    let pod = labels(&[("app", "web"), ("example.com/tier", "1"), ("hash", "x")]);
    let selector = labels(&[("app", "web"), ("example.com/tier", "1")]);
    let wanted = labels(&[(&ours("app"), "web"), (&ours("tier"), "1")]);
    assert_eq!(rewritten(&selector, [(&pod, None)].into_iter()), Ok(wanted.clone()));
    assert_eq!(
        rewritten(&selector, [].into_iter()),
        Ok(wanted),
        "also before there are pods"
    );
}

#[test]
fn keys_that_collide_on_the_pods_are_told_apart() {
    let pod = labels(&[("app", "web"), ("a.com/app", "1")]);
    let selector = labels(&[("a.com/app", "1")]);
    assert_eq!(
        rewritten(&selector, [(&pod, None)].into_iter()),
        Ok(labels(&[(&colliding_key("a.com/app"), "1")]))
    );
    assert_eq!(
        rewritten(&pod, [].into_iter()),
        Ok(labels(&[(&ours("app"), "web"), (&colliding_key("a.com/app"), "1")]))
    );
}

#[test]
fn labels_that_keep_their_keys_are_selected_by_them() {
    let pod = labels(&[("app", "web"), ("tier", "1")]);
    let pods = [(&pod, Some("^app="))];
    assert_eq!(
        rewritten(&pod, pods.into_iter()),
        Ok(labels(&[("app", "web"), (&ours("tier"), "1")]))
    );
    assert_eq!(
        rewritten(&pod, [(&pod, Some("("))].into_iter()),
        rewritten(&pod, [(&pod, None)].into_iter()),
        "a pod whose regexp is none has no delegate"
    );
}

#[test]
fn pods_that_disagree_are_named() {
    let (one, two) = (labels(&[("a.com/x", "1")]), labels(&[("a.com/x", "1"), ("x", "2")]));
    let selector = one.clone();
    let disagree = rewritten(&selector, [(&one, None), (&two, None)].into_iter()).unwrap_err();
    assert_eq!(
        (disagree.key.as_str(), disagree.first.as_str()),
        ("a.com/x", ours("x").as_str())
    );
    assert_eq!(disagree.second, colliding_key("a.com/x"));
    let message = disagree.to_string();
    assert!(
        message.contains("a.com/x") && message.contains("whose keys end in x"),
        "{message}"
    );
    let disagree = rewritten(&selector, [(&one, Some("x")), (&one, None)].into_iter()).unwrap_err();
    assert!(disagree.to_string().contains(names::NO_PREFIX_LABEL_REGEXP));
}

#[test]
fn a_label_that_looks_like_a_hashed_key_misleads_nobody() {
    let lookalike = colliding_key("a.com/x").replace(names::PREFIX, "");
    let pod = labels(&[("a.com/x", "1"), (&lookalike, "2"), ("a", "3"), ("b.com/a", "4")]);
    let selector = labels(&[("a.com/x", "1")]);
    let delegate = delegate_labels(&pod, None);
    let new = rewritten(&selector, [(&pod, None)].into_iter()).unwrap();
    assert!(
        new.iter().all(|(key, value)| delegate.get(key) == Some(value)),
        "{new:?} of {delegate:?}"
    );
}

#[test]
fn the_original_is_read_back() {
    let known = [("app", "web"), ("tier", "1")];
    let annotation = write_original(&labels(&known));
    let (app, tier) = (ours("app"), ours("tier"));
    for (what, selector, wanted) in [
        ("rewritten", vec![(app.as_str(), "web"), (&tier, "1")], known.to_vec()),
        ("partly kept", vec![("app", "web"), (&tier, "1")], known.to_vec()),
        ("put back", known.to_vec(), known.to_vec()),
        (
            "applied as it was",
            vec![(&app, "web"), (&tier, "1"), ("app", "web"), ("tier", "1")],
            known.to_vec(),
        ),
        (
            "applied with a new value",
            vec![(&app, "web"), (&tier, "1"), ("app", "new"), ("tier", "1")],
            vec![("app", "new"), ("tier", "1")],
        ),
        (
            "applied with a key less",
            vec![(&app, "web"), ("app", "web")],
            vec![("app", "web")],
        ),
        (
            "applied with another key",
            vec![(&app, "web"), (&tier, "1"), ("other", "1")],
            vec![("other", "1")],
        ),
        ("replaced", vec![("app", "new")], vec![("app", "new")]),
        (
            "edited under our keys",
            vec![(&app, "new"), (&tier, "1")],
            vec![("app", "new"), ("tier", "1")],
        ),
        (
            "edited, a kept key beside it",
            vec![("app", "web"), (&tier, "2")],
            vec![("app", "web"), ("tier", "2")],
        ),
        ("edited, one less", vec![(&app, "web")], vec![("app", "web")]),
        (
            "edited, one more of ours",
            vec![(&app, "web"), (&tier, "1"), ("multicluster.admiralty.io/z", "1")],
            vec![(&app, "web"), (&tier, "1"), ("multicluster.admiralty.io/z", "1")],
        ),
    ] {
        assert_eq!(
            original(&labels(&selector), Some(&annotation)),
            labels(&wanted),
            "{what}"
        );
    }
    let selector = labels(&[("app", "web")]);
    for broken in [
        None,
        Some("{"),
        Some(""),
        Some("[]"),
        Some("{}"),
        Some("7"),
        Some(r#"{"a": 1}"#),
        Some("a b=c"),
    ] {
        assert_eq!(original(&selector, broken), selector, "{broken:?}");
    }
}

#[test]
fn the_annotation_is_json_yaml_or_pairs() {
    let wanted = Some(labels(&[("app", "web"), ("example.com/tier", "1")]));
    for text in [
        r#"{"app":"web","example.com/tier":"1"}"#,
        "app: web\nexample.com/tier: \"1\"\n",
        "app=web,example.com/tier=1",
        "app=web, example.com/tier=1",
    ] {
        assert_eq!(parse_original(text), wanted, "{text}");
    }
    for text in ["", "app", "app=web,", "=web", "app: [web]", "../x=1", "app=a b"] {
        assert_eq!(parse_original(text), None, "{text}");
    }
}

fn some_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("([ab]\\.io/)?[a-c]", "[0-2]", 1..6)
}

proptest! {
    #[test]
    fn a_rewritten_selector_finds_the_delegates_of_what_it_selected(
        selector in prop::collection::btree_map("([ab]\\.io/)?[a-c]", "[0-2]", 1..3),
        others in prop::collection::vec((some_labels(), prop::option::of("[a-c]=[0-2]")), 1..4),
    ) {
        let pods: Vec<(Labels, Option<String>)> = others
            .into_iter()
            .map(|(mut labels, no_prefix)| { labels.extend(selector.clone()); (labels, no_prefix) })
            .collect();
        let Ok(new) = rewritten(&selector, pods.iter().map(|(labels, regexp)| (labels, regexp.as_deref()))) else {
            return Ok(());
        };
        prop_assert_eq!(new.len(), selector.len());
        for (labels, regexp) in &pods {
            let regexp = regexp.as_deref().map(|text| Regex::new(text).unwrap());
            let delegate = delegate_labels(labels, regexp.as_ref());
            for (key, value) in &new {
                prop_assert_eq!(delegate.get(key), Some(value), "{} of {:?}", key, delegate);
            }
        }
        prop_assert_eq!(original(&new, Some(&write_original(&selector))), selector);
    }

    #[test]
    fn what_is_written_is_read(selector in some_labels()) {
        prop_assert_eq!(parse_original(&write_original(&selector)), Some(selector));
    }
}
