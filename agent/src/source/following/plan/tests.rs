use multicluster_api::names;

use super::*;
use crate::source::following::copy::Context;
use crate::source::following::object::{Kind, ObjectKey};

mod properties;

const CONTEXT: Context<'static> = Context {
    cluster_name: "management",
    source_user: Some("agent"),
    selector: None,
};

fn wanted(kind: Kind, object: &Value) -> Copy {
    let mut object = object.clone();
    object["metadata"]["namespace"] = "n".into();
    object["metadata"]["name"] = "o".into();
    Copy::of(&ObjectKey::new(kind, "n", "o"), &object, &CONTEXT).unwrap()
}

fn config_map(data: &str) -> Copy {
    let object = json!({"metadata": {"uid": "u1", "labels": {"app": data}}, "data": {"k": data}});
    wanted(Kind::ConfigMap, &object)
}

/// What an API server makes of a manifest.
fn made(manifest: &Value) -> Value {
    let mut object = manifest.clone();
    object["metadata"]["uid"] = "t1".into();
    object["metadata"]["resourceVersion"] = "7".into();
    object
}

fn held(kind: Kind, object: &Value) -> Held {
    Held::of(kind, object, &CONTEXT)
}

#[test]
fn what_is_to_be_done() {
    let copy = config_map("a");
    let ours = held(Kind::ConfigMap, &made(&copy.manifest()));
    let going = Held {
        deleting: true,
        ..ours.clone()
    };
    let foreign = Held {
        ours: false,
        ..ours.clone()
    };
    let uid = || "t1".to_owned();
    for (what, wanted, held, step) in [
        ("nothing wanted, nothing there", None, None, Step::Nothing),
        ("not there", Some(&copy), None, Step::Create(copy.manifest())),
        ("in step", Some(&copy), Some(&ours), Step::Nothing),
        (
            "needed no more",
            None,
            Some(&ours),
            Step::Delete {
                uid: uid(),
                resource_version: "7".into(),
            },
        ),
        ("going", None, Some(&going), Step::Nothing),
        ("needed again while it is going", Some(&copy), Some(&going), Step::Wait),
        ("somebody else's", Some(&copy), Some(&foreign), Step::Conflict),
        ("somebody else's, and not wanted", None, Some(&foreign), Step::Nothing),
    ] {
        assert_eq!(plan(wanted, held), step, "{what}");
    }
}

#[test]
fn a_change_is_one_patch_of_what_is_the_sources() {
    let mut object = made(&config_map("a").manifest());
    object["metadata"]["labels"]["theirs"] = "x".into();
    let Step::Patch { uid, operations } = plan(Some(&config_map("b")), Some(&held(Kind::ConfigMap, &object))) else {
        panic!("a patch");
    };
    assert_eq!(uid, "t1");
    assert_eq!(
        operations[0],
        json!({"op": "test", "path": "/metadata/uid", "value": "t1"})
    );
    let paths: Vec<_> = operations[1..]
        .iter()
        .map(|operation| operation["path"].as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"/metadata/labels/app")
            && paths.contains(&"/data")
            && !paths.contains(&"/metadata/labels/theirs")
    );
    assert!(
        paths.contains(&"/metadata/annotations/multicluster.admiralty.io~1digest"),
        "{paths:?}"
    );
}

#[test]
fn what_somebody_in_the_target_changed_is_put_back() {
    let copy = config_map("a");
    let changed = Held {
        digest: None,
        ..held(Kind::ConfigMap, &made(&copy.manifest()))
    };
    assert!(matches!(plan(Some(&copy), Some(&changed)), Step::Patch { .. }));
}

#[test]
fn what_cannot_be_changed_is_replaced() {
    let immutable = |data: &str| {
        wanted(
            Kind::ConfigMap,
            &json!({"metadata": {"uid": "u1"}, "data": {"k": data}, "immutable": true}),
        )
    };
    let held = held(Kind::ConfigMap, &made(&immutable("a").manifest()));
    assert_eq!(
        plan(Some(&immutable("b")), Some(&held)),
        Step::Replace { uid: "t1".into() }
    );
    assert_eq!(plan(Some(&immutable("a")), Some(&held)), Step::Nothing);
}

#[test]
fn what_the_target_chose_survives_and_what_the_source_took_back_goes() {
    let service = |spec: Value| wanted(Kind::Service, &json!({"metadata": {"uid": "u1"}, "spec": spec}));
    let before = service(json!({
        "type": "LoadBalancer", "selector": {"app": "web"}, "externalTrafficPolicy": "Local",
        "ports": [{"port": 80}],
    }));
    let mut object = made(&before.manifest());
    object["spec"]["clusterIP"] = "10.9.0.1".into();
    object["spec"]["healthCheckNodePort"] = 30001.into();
    object["metadata"]["finalizers"] = json!(["service.kubernetes.io/load-balancer-cleanup"]);
    let after = service(json!({"type": "ClusterIP", "selector": {"app": "web"}, "ports": [{"port": 81}]}));
    let Step::Patch { operations, .. } = plan(Some(&after), Some(&held(Kind::Service, &object))) else {
        panic!("a patch");
    };
    properties::apply(&mut object, &operations).unwrap();
    assert_eq!(
        object["spec"],
        json!({
            "type": "ClusterIP", "selector": {format!("{}app", names::PREFIX): "web"}, "ports": [{"port": 81}],
            "clusterIP": "10.9.0.1", "healthCheckNodePort": 30001, "externalTrafficPolicy": null,
        })
    );
    assert_eq!(object["metadata"]["finalizers"].as_array().unwrap().len(), 1);
}

#[test]
fn an_object_without_annotations_gets_them() {
    let context = Context {
        source_user: None,
        ..CONTEXT
    };
    let copy = Copy::of(
        &ObjectKey::new(Kind::ConfigMap, "n", "o"),
        &json!({"metadata": {"uid": "u1"}, "data": {"k": "v"}}),
        &context,
    )
    .unwrap();
    let mut object = made(&copy.manifest());
    object["metadata"].as_object_mut().unwrap().remove("annotations");
    let held = Held::of(Kind::ConfigMap, &object, &context);
    let Step::Patch { operations, .. } = plan(Some(&copy), Some(&held)) else {
        panic!("a patch");
    };
    properties::apply(&mut object, &operations).unwrap();
    assert_eq!(
        plan(Some(&copy), Some(&Held::of(Kind::ConfigMap, &object, &context))),
        Step::Nothing
    );
}
