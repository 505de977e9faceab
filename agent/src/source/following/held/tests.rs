use super::*;

const CONTEXT: Context<'static> = Context {
    cluster_name: "management",
    source_user: Some("agent"),
    selector: None,
};

fn object() -> Value {
    json!({"metadata": {
        "uid": "t1", "resourceVersion": "7",
        "labels": {names::PARENT_CLUSTER_NAME: "management", names::PARENT_UID: "u1", "app": "web"},
        "annotations": {names::SOURCE_USER: "agent", names::DIGEST: "d"},
    }})
}

fn annotated(key: &str, value: &str) -> Value {
    let mut object = object();
    object["metadata"]["annotations"][key] = value.into();
    object
}

#[test]
fn a_copy_is_ours_by_its_label_and_its_user() {
    let held = Held::of(Kind::ConfigMap, &object(), &CONTEXT);
    assert!(held.ours && !held.deleting && held.has_annotations);
    assert_eq!((held.uid.as_str(), held.resource_version.as_str()), ("t1", "7"));
    assert_eq!(
        (held.source_uid.as_deref(), held.digest.as_deref()),
        (Some("u1"), Some("d"))
    );
    let of = |context: Context<'_>| Held::of(Kind::ConfigMap, &object(), &context).ours;
    assert!(!of(Context {
        cluster_name: "other",
        ..CONTEXT
    }));
    assert!(!of(Context {
        source_user: Some("other"),
        ..CONTEXT
    }));
    assert!(
        !of(Context {
            source_user: None,
            ..CONTEXT
        }),
        "somebody else signed it"
    );
    let mut unsigned = object();
    unsigned["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(names::SOURCE_USER);
    assert!(
        Held::of(
            Kind::ConfigMap,
            &unsigned,
            &Context {
                source_user: None,
                ..CONTEXT
            }
        )
        .ours
    );
    for foreign in [
        json!({}),
        json!({"metadata": {"name": "o"}}),
        json!({"metadata": {"labels": {"app": "web"}}}),
        unsigned,
    ] {
        assert!(!Held::of(Kind::ConfigMap, &foreign, &CONTEXT).ours, "{foreign}");
    }
}

#[test]
fn one_that_is_on_its_way_out_is_seen() {
    let mut object = object();
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert!(Held::of(Kind::ConfigMap, &object, &CONTEXT).deleting);
}

#[test]
fn followed_keys_are_those_that_are_there() {
    let keys = r#"{"labels":["app","gone"],"annotations":["gone"],"fields":["/spec/tls","/metadata/finalizers","/spec/a/b","/spec/"]}"#;
    let object = annotated(names::FOLLOWED_KEYS, keys);
    let followed = Held::of(Kind::Ingress, &object, &CONTEXT).followed;
    assert_eq!(followed.labels, BTreeSet::from(["app".into()]));
    assert!(followed.annotations.is_empty());
    assert_eq!(
        followed.fields,
        BTreeSet::from(["/spec/tls".into()]),
        "no field that copies do not have"
    );
    assert!(Held::of(Kind::ConfigMap, &object, &CONTEXT).followed.fields.is_empty());
    for broken in ["", "{", "[]", r#"{"labels":7}"#] {
        let object = annotated(names::FOLLOWED_KEYS, broken);
        assert_eq!(Held::of(Kind::Ingress, &object, &CONTEXT).followed, Followed::default());
    }
}

#[test]
fn addresses_are_those_of_the_load_balancer() {
    let mut object = object();
    object["status"]["loadBalancer"]["ingress"] = json!([
        {"hostname": "LB.example.com"}, {"ip": "198.51.100.7"}, {"ip": "2001:db8::1"}, {"ip": "198.51.100.7"},
        {"ip": "198.51.100.6", "hostname": "a.example.com"}, {"ip": "none"}, {"hostname": "a b"}, {}, 7,
    ]);
    let addresses = Held::of(Kind::Ingress, &object, &CONTEXT).addresses;
    let ip = |text: &str| Address::Ip(text.parse().unwrap());
    let name = |text: &str| Address::Hostname(text.into());
    let wanted = [
        ip("198.51.100.6"),
        ip("198.51.100.7"),
        ip("2001:db8::1"),
        name("a.example.com"),
        name("lb.example.com"),
    ];
    assert_eq!(addresses, wanted);
}

#[test]
fn the_fingerprint_does_not_see_the_status() {
    let seen = |object: &Value| Held::of(Kind::Service, object, &CONTEXT).fingerprint;
    let mut service = object();
    service["spec"] = json!({"type": "LoadBalancer"});
    let before = seen(&service);
    service["status"]["loadBalancer"]["ingress"] = json!([{"ip": "198.51.100.7"}]);
    service["metadata"]["resourceVersion"] = "8".into();
    assert_eq!(seen(&service), before);
    for (pointer, value) in [
        ("/spec/type", "ClusterIP"),
        ("/metadata/labels/app", "x"),
        ("/metadata/uid", "t2"),
    ] {
        let mut changed = service.clone();
        *changed.pointer_mut(pointer).unwrap() = value.into();
        assert_ne!(seen(&changed), before, "{pointer}");
    }
    assert_eq!(seen(&object()), "7", "of metadata alone the version is all there is");
}
