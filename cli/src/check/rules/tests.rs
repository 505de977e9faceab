use serde_json::json;

use super::*;
use crate::facts::{Facts, Program, Version};

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// A source with nothing wrong.
fn healthy() -> Installation {
    let program = || Program {
        wanted: 2,
        ready: 2,
        image: "r:5000/p/x:0.1.0".into(),
        ..Program::default()
    };
    let names = [
        installed::AGENT,
        installed::WEBHOOK,
        installed::EXTENDER,
        installed::SCHEDULER,
    ];
    let programs: std::collections::BTreeMap<_, _> = names.map(|name| (name.to_owned(), program())).into();
    let mut installation = Installation {
        facts: Facts {
            version: Some(Version { major: 1, minor: 36 }),
            webhook: Some(true),
            deployments: Some(programs.clone()),
            summary: Some(None),
            ..Facts::default()
        },
        definitions: crds::all(),
        webhooks: [
            ("MutatingWebhookConfiguration", (0, 1)),
            ("ValidatingWebhookConfiguration", (0, 7)),
        ]
        .into(),
        namespaces: vec!["default".into()],
        clock_ahead: Some(0),
        lease_age: Some(3),
        ..Installation::default()
    };
    installation.seen.programs = programs;
    for name in [installed::WEBHOOK_TLS, installed::EXTENDER_TLS] {
        installation
            .seen
            .certificates
            .insert(name.into(), Some(Timestamp::from_second(NOW + 99 * 86400).unwrap()));
    }
    for crd in &mut installation.definitions {
        let status = json!({ "conditions": [{
            "type": "Established", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] });
        crd.status = Some(serde_json::from_value(status).unwrap());
    }
    let target = json!({
        "apiVersion": "a/v1", "kind": "ClusterTarget", "metadata": { "name": "eu" }, "spec": { "self": true },
        "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "TargetReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    });
    let target: multicluster_api::ClusterTarget = serde_json::from_value(target).unwrap();
    installation.seen.targets = vec![(&target).into()];
    installation.seen.nodes = vec![serde_json::from_value(json!({ "metadata": { "name": "admiralty-eu" } })).unwrap()];
    installation
}

/// What is found wrong when something is changed.
fn wrong(edit: impl FnOnce(&mut Installation)) -> Vec<(String, Level)> {
    let mut installation = healthy();
    edit(&mut installation);
    let findings = judge(&installation, now());
    let wrong: Vec<_> = findings
        .into_iter()
        .filter(|finding| finding.level > Level::Ok)
        .collect();
    assert!(
        wrong.iter().all(|finding| !finding.fix.is_empty()),
        "a finding without advice: {wrong:?}"
    );
    wrong
        .into_iter()
        .map(|finding| (finding.check, finding.level))
        .collect()
}

#[test]
fn a_healthy_installation_has_nothing_wrong() {
    assert_eq!(wrong(|_| {}), []);
}

#[test]
fn what_is_damaged_is_found() {
    use Level::{Error, Warning};
    type Damage = fn(&mut Installation);
    let cases: [(Damage, &str, Level); 14] = [
        (
            |i| i.facts.version = Some(Version { major: 1, minor: 29 }),
            "Kubernetes",
            Error,
        ),
        (|i| drop(i.definitions.pop()), "definitions", Error),
        (|i| i.definitions[0].status = None, "definitions", Error),
        (
            |i| drop(i.seen.programs.remove(installed::WEBHOOK)),
            "Deployment multicluster-webhook",
            Error,
        ),
        (
            |i| i.seen.programs.get_mut(installed::AGENT).unwrap().ready = 1,
            "Deployment multicluster-agent",
            Warning,
        ),
        (
            |i| i.seen.programs.get_mut(installed::AGENT).unwrap().image = "x:0.2.0".into(),
            "versions",
            Warning,
        ),
        (
            |i| drop(i.seen.programs.remove(installed::SCHEDULER)),
            "scheduler",
            Warning,
        ),
        (
            |i| i.seen.certificates.retain(|name, _| name != installed::WEBHOOK_TLS),
            "certificate multicluster-webhook-tls",
            Error,
        ),
        (
            |i| {
                i.webhooks
                    .entry("MutatingWebhookConfiguration")
                    .and_modify(|seen| seen.0 = 1)
                    .or_default()
                    .1 = 1
            },
            "MutatingWebhookConfiguration",
            Error,
        ),
        (|i| i.namespaces.clear(), "namespaces", Warning),
        (|i| i.own_namespace_served = true, "namespaces", Error),
        (
            |i| drop(i.conditions.insert("Source default/a".into(), None)),
            "Source default/a",
            Error,
        ),
        (|i| i.clock_ahead = Some(-60), "clock", Warning),
        (|i| i.lease_age = Some(100), "leader", Error),
    ];
    for (damage, check, level) in cases {
        assert_eq!(wrong(damage), [(check.to_owned(), level)]);
    }
}

#[test]
fn an_old_definition_is_told_from_a_current_one() {
    let definition = &mut crds::all()[0];
    let schema = definition.spec.versions[0]
        .schema
        .as_mut()
        .unwrap()
        .open_api_v3_schema
        .as_mut()
        .unwrap();
    let spec = schema.properties.as_mut().unwrap().get_mut("spec").unwrap();
    spec.properties.as_mut().unwrap().remove("kubeconfigSecret");
    let (old, current) = (fields(definition), fields(&crds::all()[0]));
    assert!(old.is_subset(&current) && !current.is_subset(&old));
}

#[test]
fn a_target_that_is_not_ready_is_an_error() {
    assert_eq!(
        wrong(|i| i.seen.nodes.clear()),
        [("ClusterTarget eu".to_owned(), Level::Error)]
    );
    assert_eq!(
        wrong(|i| i.seen.targets.clear()),
        [("targets".to_owned(), Level::Warning)]
    );
}

#[test]
fn tags_are_read_from_images() {
    for (image, expected) in [
        ("a", None),
        ("r:5000/a", None),
        ("r:5000/a:1", Some("1")),
        ("a@sha256:1", Some("sha256:1")),
    ] {
        assert_eq!(tag(image), expected, "{image}");
    }
}
