//! What always holds.

use multicluster_api::names;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::testing::{Pod, api_default};

fn toleration() -> impl Strategy<Value = Value> {
    let key = select(vec!["", names::NOT_READY, names::UNREACHABLE, names::PROVIDER, "gpu"]);
    let effect = select(vec!["", "NoExecute", "NoSchedule"]);
    let seconds = select(vec![None, Some(0), Some(300), Some(60)]);
    (key, effect, seconds).prop_map(|(key, effect, seconds)| {
        let mut toleration = json!({"operator": "Exists"});
        for (field, value) in [("key", key), ("effect", effect)] {
            if !value.is_empty() {
                toleration[field] = value.into();
            }
        }
        if let Some(seconds) = seconds {
            toleration["tolerationSeconds"] = seconds.into();
        }
        toleration
    })
}

fn tolerations() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(
        prop_oneof![
            toleration(),
            Just(api_default(names::NOT_READY)),
            Just(api_default(names::UNREACHABLE))
        ],
        0..5,
    )
}

fn constraints() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let fields = vec![
        ("nodeSelector", json!({"disk": "ssd"})),
        ("affinity", json!({"podAntiAffinity": {}})),
        (
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}]),
        ),
        ("schedulerName", json!("mine")),
        ("terminationGracePeriodSeconds", json!(0)),
    ];
    (subsequence(fields, 0..=5), tolerations()).prop_map(|(mut fields, tolerations)| {
        fields.push(("tolerations", tolerations.into()));
        fields
    })
}

/// Pods in all ways that the mutation tells apart.
fn elected() -> impl Strategy<Value = Pod> {
    let annotations = vec![
        (names::USE_CONSTRAINTS_FROM_SPEC, String::new()),
        (names::NO_RESERVATION, String::new()),
        ("example.com/a~b/c", "\"\\\n".to_owned()),
    ];
    let given = prop::option::of(tolerations());
    let labels = select(vec![
        Value::Null,
        json!({}),
        json!({"a": "b"}),
        json!({names::HAS_FINALIZER: "x"}),
    ]);
    let finalizers = select(vec![
        Value::Null,
        json!([]),
        json!(["a/b"]),
        json!(["a/b", names::FINALIZER]),
    ]);
    (
        subsequence(annotations, 0..=3),
        given,
        labels,
        finalizers,
        constraints(),
    )
        .prop_map(|(annotations, given, labels, finalizers, fields)| {
            let mut pod = Pod::elected()
                .metadata("labels", labels)
                .metadata("finalizers", finalizers);
            for (key, value) in annotations {
                pod = pod.annotation(key, &value);
            }
            if let Some(tolerations) = given {
                let yaml = json!({"tolerations": tolerations}).to_string();
                pod = pod.annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &yaml);
            }
            fields
                .into_iter()
                .fold(pod, |pod, (field, value)| pod.spec(field, value))
        })
}

/// What another webhook may do between two calls.
fn meddled(mut pod: Pod, tolerations: Vec<Value>) -> Pod {
    let spec = &mut pod.0["spec"];
    spec["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "sidecar", "image": "envoy"}));
    spec["volumes"] = json!([{"name": "certs", "emptyDir": {}}]);
    spec["tolerations"].as_array_mut().unwrap().extend(tolerations);
    pod.label("sidecar", "injected")
        .annotation("sidecar.example.com/status", "injected")
        .spec("schedulerName", json!("theirs"))
        .spec("affinity", json!({"nodeAffinity": {}}))
}

/// The parts that no mutation may touch.
fn rest(pod: &Pod) -> Value {
    let mut rest = pod.0.clone();
    for field in [
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "schedulerName",
        "terminationGracePeriodSeconds",
    ] {
        rest["spec"].as_object_mut().unwrap().remove(field);
    }
    let metadata = rest["metadata"].as_object_mut().unwrap();
    if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    }
    for (map, key) in [
        ("labels", names::HAS_FINALIZER),
        ("annotations", names::SOURCE_POD_MANIFEST),
    ] {
        if let Some(map) = metadata.get_mut(map).and_then(Value::as_object_mut) {
            map.remove(key);
        }
    }
    metadata.retain(|_, value| *value != json!([]) && *value != json!({}));
    rest
}

proptest! {
    #[test]
    fn a_second_call_changes_nothing(pod in elected()) {
        let (_, once) = pod.mutated();
        let (patch, twice) = once.mutated();
        prop_assert!(patch.is_empty(), "{patch}");
        prop_assert_eq!(once.0, twice.0);
    }

    #[test]
    fn a_second_call_after_another_webhook_keeps_its_sidecar_and_our_constraints(
        pod in elected(), theirs in tolerations(),
    ) {
        let (_, once) = pod.mutated();
        let meddled = meddled(once.clone(), theirs);
        let (_, twice) = meddled.mutated();
        prop_assert_eq!(rest(&twice), rest(&meddled));
        for field in ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "schedulerName"] {
            prop_assert_eq!(twice.0["spec"].get(field), once.0["spec"].get(field));
        }
        let saved = |pod: &Pod| pod.0["metadata"]["annotations"][names::SOURCE_POD_MANIFEST].clone();
        prop_assert_eq!(saved(&twice), saved(&once));
        prop_assert!(twice.mutated().0.is_empty());
    }

    #[test]
    fn the_rest_of_the_pod_stays(pod in elected()) {
        prop_assert_eq!(rest(&pod.mutated().1), rest(&pod));
    }

    #[test]
    fn a_proxy_pod_is_marked_goes_to_virtual_nodes_only_and_is_held_once(pod in elected()) {
        let Pod(proxy) = pod.mutated().1;
        let finalizers = proxy["metadata"]["finalizers"].as_array().unwrap();
        prop_assert_eq!(finalizers.iter().filter(|finalizer| **finalizer == names::FINALIZER).count(), 1);
        prop_assert_eq!(&proxy["metadata"]["labels"][names::HAS_FINALIZER], "true");
        prop_assert_eq!(&proxy["spec"]["nodeSelector"][names::PROVIDER], names::PROVIDER_VALUE);
        prop_assert_eq!(&proxy["spec"]["schedulerName"], names::PROXY_SCHEDULER);
        prop_assert_eq!(&proxy["spec"]["terminationGracePeriodSeconds"], 0);
    }

    #[test]
    fn a_proxy_pod_always_says_how_long_it_stays(pod in elected()) {
        let Pod(proxy) = pod.mutated().1;
        let tolerations = proxy["spec"]["tolerations"].as_array().unwrap();
        // Or else the API server's plugin would add its own 300 seconds behind our back.
        for taint in [names::NOT_READY, names::UNREACHABLE] {
            let says = |t: &Value| {
                t.get("key").is_none_or(|key| key == taint) && t.get("effect").is_none_or(|effect| effect == "NoExecute")
            };
            prop_assert!(tolerations.iter().any(says), "{taint}: {tolerations:?}");
        }
    }

    #[test]
    fn no_json_panics(json in any_json(), key in select(vec!["metadata", "spec"])) {
        let _ = Pod(json.clone()).verdict();
        let mut pod = Pod::elected();
        pod.0[key] = json;
        let _ = pod.verdict();
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let key = select(vec![
        "metadata",
        "annotations",
        "labels",
        "finalizers",
        "tolerations",
        "nodeSelector",
        "nodeName",
        "key",
        names::ELECT,
    ]);
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(String::from), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
