use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;

fn issued() -> Issued {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    Issued {
        wanted: "spec".into(),
        renew: Some("1".into()),
        at,
        expires: at + Duration::from_secs(3600),
    }
}

fn secret(change: impl FnOnce(&mut Value)) -> Secret {
    let mut secret = json!({
        "metadata": {
            "name": "eu", "uid": "s", "resourceVersion": "7",
            "annotations": issued().annotations("content"),
            "ownerReferences": [{
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Kubeconfig", "name": "eu", "uid": "k",
                "controller": true,
            }],
        },
        "type": "multicluster.admiralty.io/kubeconfig",
        "data": { "config": ByteString(b"content".to_vec()) },
    });
    change(&mut secret);
    serde_json::from_value(secret).unwrap()
}

fn held(change: impl FnOnce(&mut Value)) -> Held {
    Held::of(Some(&secret(change)), "k", "eu")
}

#[test]
fn a_secret_says_what_was_written() {
    assert_eq!(Held::of(None, "k", "eu"), Held::Missing);
    let version = Version {
        uid: "s".into(),
        resource_version: "7".into(),
    };
    let expected = Held::Ours {
        version,
        issued: Some(issued()),
    };
    assert_eq!(held(|_| {}), expected);
}

#[test]
fn what_somebody_has_damaged_is_of_no_use() {
    let damages: [fn(&mut Value); 6] = [
        |secret| secret["data"]["config"] = json!(ByteString(b"other".to_vec())),
        |secret| secret["data"] = Value::Null,
        |secret| secret["metadata"]["annotations"] = Value::Null,
        |secret| secret["metadata"]["annotations"][names::EXPIRES_AT] = json!("tomorrow"),
        |secret| secret["metadata"]["annotations"][names::ISSUED_AT] = Value::Null,
        |secret| secret["metadata"]["annotations"][names::DIGEST] = json!("0"),
    ];
    for damage in damages {
        // An annotation without a value is none.
        let without_nulls = |secret: &mut Value| {
            damage(secret);
            if let Some(annotations) = secret["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|_, value| !value.is_null());
            }
        };
        let held = held(without_nulls);
        assert!(matches!(held, Held::Ours { issued: None, .. }), "{held:?}");
    }
}

#[test]
fn another_s_secret_is_foreign_and_one_of_a_former_kubeconfig_of_the_name_is_taken_over() {
    let owner = |field: &'static str, value: &'static str| {
        move |secret: &mut Value| secret["metadata"]["ownerReferences"][0][field] = json!(value)
    };
    assert!(matches!(held(|secret| secret["type"] = json!("Opaque")), Held::Foreign(why) if why.contains("Opaque")));
    assert!(matches!(
        held(|secret| secret["metadata"]["ownerReferences"] = json!([])),
        Held::Foreign(_)
    ));
    assert!(matches!(held(owner("kind", "Target")), Held::Foreign(_)));
    assert!(matches!(
        held(owner("apiVersion", "example.com/v1alpha1")),
        Held::Foreign(_)
    ));
    let other = |secret: &mut Value| {
        owner("uid", "other")(secret);
        owner("name", "us")(secret);
    };
    assert!(matches!(held(other), Held::Foreign(why) if why.contains("us")));
    assert!(matches!(held(owner("uid", "former")), Held::Ours { issued: None, .. }));
}
