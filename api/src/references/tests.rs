use proptest::prelude::*;
use serde_json::json;

use super::*;

fn of(spec: Value) -> References {
    let from_json = References::of(spec.as_object().unwrap());
    let view: PodSpecView = serde_json::from_value(spec).unwrap();
    assert_eq!(from_json, References::of_view(&view), "both ways of reading agree");
    from_json
}

fn names(names: &BTreeMap<String, Optional>) -> Vec<(&str, bool)> {
    names
        .iter()
        .map(|(name, optional)| (name.as_str(), optional.0))
        .collect()
}

#[test]
fn config_maps_of_volumes_and_environments() {
    let references = of(json!({
        "volumes": [
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "configMap": {"name": "may-be-missing", "optional": true}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "projected"}}, {"downwardAPI": {}}]}},
            {"name": "d", "projected": {"sources": null}},
            {"name": "e", "emptyDir": {}},
        ],
        "containers": [{"name": "c", "env": [
            {"name": "PLAIN", "value": "v"},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}},
            {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}],
        "initContainers": [{"name": "i", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "env-from"}}]}],
        "ephemeralContainers": [{"name": "e", "env": [
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "ephemeral", "key": "k", "optional": true}}},
        ]}],
    }));
    assert_eq!(
        names(&references.config_maps),
        [
            ("env", false),
            ("env-from", false),
            ("ephemeral", true),
            ("may-be-missing", true),
            ("projected", false),
            ("volume", false)
        ]
    );
    assert!(references.secrets.is_empty() && !references.is_empty());
}

#[test]
fn secrets_of_volumes_environments_and_registries() {
    let references = of(json!({
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume"}},
            {"name": "b", "projected": {"sources": [{"secret": {"name": "projected", "optional": true}}]}},
            {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
            {"name": "d", "azureFile": {"secretName": "azure", "shareName": "s"}},
            {"name": "e", "cephfs": {"monitors": [], "secretRef": {"name": "cephfs"}}},
            {"name": "f", "flexVolume": {"driver": "d", "secretRef": {"name": "flex"}}},
            {"name": "g", "iscsi": {"secretRef": {"name": "iscsi"}}},
            {"name": "h", "rbd": {"secretRef": {"name": "rbd"}}},
            {"name": "i", "scaleIO": {"secretRef": {"name": "scale-io"}}},
            {"name": "j", "storageos": {"secretRef": {"name": "storageos"}}},
        ],
        "containers": [{
            "name": "c",
            "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
            "envFrom": [{"secretRef": {"name": "env-from", "optional": true}}],
        }],
        "imagePullSecrets": [{"name": "registry"}, {}],
    }));
    assert_eq!(
        names(&references.secrets),
        [
            ("azure", false),
            ("cephfs", false),
            ("csi", false),
            ("env", false),
            ("env-from", true),
            ("flex", false),
            ("iscsi", false),
            ("projected", true),
            ("rbd", false),
            ("registry", true),
            ("scale-io", false),
            ("storageos", false),
            ("volume", false)
        ]
    );
    assert!(references.config_maps.is_empty());
}

#[test]
fn what_one_place_needs_is_needed() {
    let places = [
        json!({"name": "a", "secret": {"secretName": "s", "optional": true}}),
        json!({"name": "b", "secret": {"secretName": "s"}}),
    ];
    for volumes in [places.to_vec(), places.iter().rev().cloned().collect()] {
        let references = of(json!({"volumes": volumes, "containers": [], "imagePullSecrets": [{"name": "s"}]}));
        assert_eq!(names(&references.secrets), [("s", false)]);
    }
}

#[test]
fn what_the_target_has_of_its_own_is_left_out() {
    let token = json!({"name": "kube-api-access-x7k2p", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt"}},
        {"downwardAPI": {"items": []}},
    ]}});
    let legacy = json!({"name": "builder-token-x7k2p", "secret": {"secretName": "builder-token-x7k2p"}});
    let own = json!({"name": "ca", "configMap": {"name": "kube-root-ca.crt"}});
    let references = of(json!({"serviceAccountName": "builder", "volumes": [token, legacy, own], "containers": []}));
    assert!(references.is_empty(), "{references:?}");
    // The same Secret, mounted by a user under another name, or by a pod with another ServiceAccount, is a reference.
    let legacy = json!({"name": "default-token-x", "secret": {"secretName": "builder-token-x"}});
    assert_eq!(
        names(&of(json!({"volumes": [legacy], "containers": []})).secrets),
        [("builder-token-x", false)]
    );
    let legacy = json!({"name": "builder-token-x", "secret": {"secretName": "builder-token-x"}});
    assert!(!of(json!({"volumes": [legacy], "containers": []})).is_empty());
}

#[test]
fn what_no_object_can_be_called_is_no_reference() {
    for name in ["", "../secrets/other", "a/b", "UPPER", "a b", "a?watch=1"] {
        let references = of(json!({"volumes": [{"name": "v", "configMap": {"name": name}}], "containers": []}));
        assert!(references.is_empty(), "{name}");
    }
}

#[test]
fn one_part_of_an_odd_form_costs_that_part_alone() {
    let references = References::of(
        json!({
            "volumes": [{"name": "a", "configMap": 7}, 3, null, {"name": "b", "configMap": {"name": "b"}}],
            "containers": [[], {"env": {}, "envFrom": [{"configMapRef": {"name": ["x"]}}, {"secretRef": {"name": "s"}}]}],
            "initContainers": "none",
            "imagePullSecrets": {"name": "p"},
            "serviceAccountName": 9,
        })
        .as_object()
        .unwrap(),
    );
    assert_eq!(names(&references.config_maps), [("b", false)]);
    assert_eq!(names(&references.secrets), [("s", false)]);
}

fn json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "name",
        "secretName",
        "configMap",
        "secret",
        "projected",
        "sources",
        "optional",
        "env",
        "envFrom",
        "valueFrom",
        "configMapKeyRef",
        "secretRef",
        "csi",
        "serviceAccountToken",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z./]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_spec_is_too_odd(volumes in json(), containers in json(), secrets in json()) {
        let spec = json!({"volumes": volumes, "containers": containers, "imagePullSecrets": secrets});
        let references = References::of(spec.as_object().unwrap());
        for name in references.config_maps.keys().chain(references.secrets.keys()) {
            prop_assert!(is_subdomain(name));
        }
        if let Ok(view) = serde_json::from_value::<PodSpecView>(spec) {
            prop_assert_eq!(references, References::of_view(&view));
        }
    }
}
