use super::*;

fn context() -> Context<'static> {
    Context {
        cluster_name: "management",
        source_user: Some("system:serviceaccount:s:agent"),
        selector: None,
    }
}

fn object(fields: Value) -> Value {
    let mut object = json!({"metadata": {"namespace": "n", "name": "o", "uid": "u1", "resourceVersion": "7"}});
    merge(&mut object, fields);
    object
}

fn merge(into: &mut Value, from: Value) {
    match from {
        Value::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                merge(&mut into[name.as_str()], value);
            }
        }
        value => *into = value,
    }
}

fn copy(kind: Kind, fields: Value) -> Result<Copy, NotCopied> {
    Copy::of(&ObjectKey::new(kind, "n", "o"), &object(fields), &context())
}

fn service(spec: Value) -> Value {
    let mut whole = json!({"selector": {"app": "web"}});
    merge(&mut whole, spec);
    let copy = copy(Kind::Service, json!({"spec": whole})).unwrap();
    copy.manifest()["spec"].clone()
}

#[test]
fn a_copy_says_whose_it_is() {
    let manifest = copy(Kind::ConfigMap, json!({"data": {"k": "v"}})).unwrap().manifest();
    let metadata = &manifest["metadata"];
    assert_eq!(
        (&manifest["kind"], &manifest["apiVersion"]),
        (&json!("ConfigMap"), &json!("v1"))
    );
    assert_eq!((&metadata["namespace"], &metadata["name"]), (&json!("n"), &json!("o")));
    assert_eq!(
        metadata["labels"],
        json!({names::PARENT_CLUSTER_NAME: "management", names::PARENT_UID: "u1"})
    );
    assert_eq!(
        metadata["annotations"][names::SOURCE_USER],
        "system:serviceaccount:s:agent"
    );
    assert_eq!(
        metadata["annotations"].as_object().unwrap().len(),
        3,
        "and the digest and the keys: {metadata}"
    );
    assert_eq!(metadata.as_object().unwrap().len(), 4, "no UID, no version: {metadata}");
    assert_eq!(manifest["data"], json!({"k": "v"}));
    assert!(manifest.get("binaryData").is_none() && manifest.get("immutable").is_none());
}

#[test]
fn labels_and_annotations_of_users_go_along_and_no_others() {
    let copy = copy(
        Kind::ConfigMap,
        json!({"metadata": {
            "labels": {"app": "web", "multicluster.admiralty.io/parent-uid": "another", "odd": 1},
            "annotations": {
                "example.com/note": "x",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "deployment.kubernetes.io/revision": "3",
                "multicluster.admiralty.io/dns-policy": "latency",
                "multicluster.admiralty.io/source-user": "somebody",
            },
            "finalizers": ["example.com/f"],
            "ownerReferences": [{"uid": "o"}],
        }}),
    )
    .unwrap();
    assert_eq!(copy.labels.len(), 3);
    assert_eq!(
        (copy.labels["app"].as_str(), copy.labels[names::PARENT_UID].as_str()),
        ("web", "u1")
    );
    let keys: Vec<_> = copy.annotations.keys().map(String::as_str).collect();
    assert_eq!(keys, ["example.com/note", names::SOURCE_USER]);
    assert_eq!(copy.annotations[names::SOURCE_USER], "system:serviceaccount:s:agent");
    let metadata = copy.manifest()["metadata"].clone();
    assert!(metadata.get("finalizers").is_none() && metadata.get("ownerReferences").is_none());
}

#[test]
fn the_digest_is_that_of_what_is_written() {
    let digest = |fields: Value| copy(Kind::ConfigMap, fields).unwrap().digest();
    let one = digest(json!({"data": {"k": "v"}}));
    assert_eq!(
        one,
        digest(json!({"data": {"k": "v"}, "metadata": {"resourceVersion": "8"}}))
    );
    for other in [
        json!({"data": {"k": "w"}}),
        json!({"data": {"k": "v"}, "metadata": {"uid": "u2"}}),
        json!({"data": {"k": "v"}, "metadata": {"labels": {"a": "b"}}}),
        json!({"data": {"k": "v"}, "metadata": {"annotations": {"a": "b"}}}),
        json!({"data": {"k": "v"}, "immutable": true}),
    ] {
        assert_ne!(one, digest(other.clone()), "{other}");
    }
}

#[test]
fn what_every_cluster_has_of_its_own_stays() {
    let key = ObjectKey::new(Kind::ConfigMap, "n", "kube-root-ca.crt");
    assert!(Copy::of(&key, &object(json!({})), &context()).unwrap_err().quiet);
    for kind in [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
        names::KUBECONFIG_SECRET,
    ] {
        let refused = copy(Kind::Secret, json!({"type": kind, "data": {"token": "c2VjcmV0"}})).unwrap_err();
        assert!(!refused.quiet && refused.message.contains(kind) && refused.message.contains("projected"));
        assert!(!refused.to_string().contains("c2VjcmV0"));
    }
    let tls = copy(
        Kind::Secret,
        json!({"type": "kubernetes.io/tls", "data": {"tls.key": "eA=="}}),
    )
    .unwrap();
    assert_eq!(tls.manifest()["type"], "kubernetes.io/tls");
}

#[test]
fn what_is_to_stay_stays() {
    let annotated = |value: &str| {
        copy(
            Kind::ConfigMap,
            json!({"metadata": {"annotations": {names::FOLLOW: value}}}),
        )
    };
    assert!(annotated("false").unwrap_err().quiet);
    assert_eq!(
        annotated("true").unwrap().body,
        copy(Kind::ConfigMap, json!({})).unwrap().body
    );
    for wrong in ["", "False", "no"] {
        let refused = annotated(wrong).unwrap_err();
        assert!(
            !refused.quiet && refused.message.contains("write \"true\" or \"false\""),
            "{refused}"
        );
    }
}

#[test]
fn services_select_the_delegates_and_keep_the_original() {
    let copy = copy(Kind::Service, json!({"spec": {"selector": {"app": "web"}}})).unwrap();
    assert_eq!(
        copy.body["spec"]["selector"],
        json!({"multicluster.admiralty.io/app": "web"})
    );
    assert_eq!(copy.annotations[names::ORIGINAL_SELECTOR], r#"{"app":"web"}"#);
    assert_eq!(
        (
            copy.annotations[names::GLOBAL].as_str(),
            copy.annotations[names::CILIUM_GLOBAL].as_str()
        ),
        ("true", "true")
    );
    // The source's Service may be rewritten already; and the pods' own keys count.
    let rewritten = object(json!({
        "metadata": {"annotations": {names::ORIGINAL_SELECTOR: r#"{"app":"web"}"#, names::CILIUM_GLOBAL: "false"}},
        "spec": {"selector": {"multicluster.admiralty.io/app": "web"}},
    }));
    let selector = Labels::from([("app".to_owned(), "web".to_owned())]);
    let with = Context {
        selector: Some(&selector),
        ..context()
    };
    let copy = Copy::of(&ObjectKey::new(Kind::Service, "n", "o"), &rewritten, &with).unwrap();
    assert_eq!(copy.body["spec"]["selector"], json!({"app": "web"}));
    assert_eq!(copy.annotations[names::ORIGINAL_SELECTOR], r#"{"app":"web"}"#);
    assert_eq!(copy.annotations[names::CILIUM_GLOBAL], "false", "the user's word");
}

#[test]
fn services_leave_to_the_target_what_it_chooses() {
    let spec = service(json!({
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "externalIPs": ["198.51.100.1"], "loadBalancerIP": "198.51.100.2",
        "healthCheckNodePort": 30001, "allocateLoadBalancerNodePorts": false,
        "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
        "loadBalancerClass": "multicluster.admiralty.io/none",
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
        "ports": [
            {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP", "nodePort": 30080, "appProtocol": "h2c"},
            {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP", "nodePort": 30053},
        ],
        "someNewField": {"a": 1},
    }));
    assert_eq!(
        spec,
        json!({
            "type": "LoadBalancer",
            "ipFamilyPolicy": "SingleStack",
            "allocateLoadBalancerNodePorts": false,
            "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP", "appProtocol": "h2c"},
                {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
            ],
            "someNewField": {"a": 1},
            "selector": {"multicluster.admiralty.io/app": "web"},
        })
    );
    assert_eq!(
        service(json!({"loadBalancerClass": "example.com/lb"}))["loadBalancerClass"],
        "example.com/lb"
    );
}

#[test]
fn headless_services_stay_headless() {
    let spec = service(json!({"clusterIP": "None", "clusterIPs": ["None"]}));
    assert_eq!((&spec["clusterIP"], spec.get("clusterIPs")), (&json!("None"), None));
}

#[test]
fn a_target_of_the_other_family_works() {
    for (policy, families, kept) in [
        ("SingleStack", json!(["IPv6"]), None),
        ("PreferDualStack", json!(["IPv4", "IPv6"]), None),
        (
            "RequireDualStack",
            json!(["IPv6", "IPv4"]),
            Some(json!(["IPv6", "IPv4"])),
        ),
    ] {
        let spec = service(json!({"ipFamilyPolicy": policy, "ipFamilies": families}));
        assert_eq!(
            (spec["ipFamilyPolicy"].as_str(), spec.get("ipFamilies")),
            (Some(policy), kept.as_ref())
        );
    }
}

#[test]
fn services_that_select_nothing_have_no_copy() {
    for spec in [
        json!({}),
        json!({"type": "ExternalName", "externalName": "example.com", "selector": {"a": "b"}}),
    ] {
        assert!(copy(Kind::Service, json!({"spec": spec})).unwrap_err().quiet);
    }
}

#[test]
fn routes_keep_their_specs() {
    let spec = json!({"ingressClassName": null, "rules": [{"host": "a.example.com"}], "tls": [{"secretName": "s"}]});
    let ingress = copy(Kind::Ingress, json!({"spec": spec, "status": {"loadBalancer": {}}})).unwrap();
    let manifest = ingress.manifest();
    assert!(manifest["spec"].get("ingressClassName").is_none() && manifest.get("status").is_none());
    let fields: Vec<_> = ingress.fields().into_keys().collect();
    assert_eq!(fields, ["/spec/rules", "/spec/tls"], "the class of the target stays");
    let spec =
        json!({"parentRefs": [{"name": "g"}, {"name": "h", "namespace": "infra"}], "hostnames": ["a.example.com"]});
    let route = copy(Kind::HttpRoute, json!({"spec": spec, "status": {"parents": []}})).unwrap();
    assert_eq!(route.manifest()["spec"], spec);
    assert!(route.manifest().get("status").is_none());
    assert_eq!(route.fields().into_keys().collect::<Vec<_>>(), ["/spec"]);
}

#[test]
fn what_cannot_be_changed_in_place_is_known_beforehand() {
    let secret = |kind: &str, data: &str, immutable: bool| {
        copy(
            Kind::Secret,
            json!({"type": kind, "data": {"k": data}, "immutable": immutable}),
        )
        .unwrap()
    };
    let map = |data: &str, immutable: bool| {
        copy(Kind::ConfigMap, json!({"data": {"k": data}, "immutable": immutable})).unwrap()
    };
    let service = |spec: Value| {
        let mut whole = json!({"selector": {"app": "web"}});
        merge(&mut whole, spec);
        copy(Kind::Service, json!({"spec": whole})).unwrap()
    };
    let again = copy(
        Kind::Secret,
        json!({"metadata": {"uid": "u2"}, "type": "Opaque", "data": {"k": "a"}}),
    )
    .unwrap();
    let balanced = |class: Value| service(json!({"type": "LoadBalancer", "loadBalancerClass": class}));
    for (what, from, to, replace) in [
        (
            "data",
            secret("Opaque", "a", false),
            secret("Opaque", "b", false),
            false,
        ),
        ("made anew in the source", secret("Opaque", "a", false), again, false),
        (
            "type",
            secret("Opaque", "a", false),
            secret("kubernetes.io/tls", "a", false),
            true,
        ),
        (
            "immutable now",
            secret("Opaque", "a", false),
            secret("Opaque", "a", true),
            false,
        ),
        (
            "immutable data",
            secret("Opaque", "a", true),
            secret("Opaque", "b", true),
            true,
        ),
        (
            "mutable again",
            secret("Opaque", "a", true),
            secret("Opaque", "a", false),
            true,
        ),
        ("immutable map", map("a", true), map("b", true), true),
        ("immutable map as it was", map("a", true), map("a", true), false),
        ("mutable map", map("a", false), map("b", false), false),
        (
            "headless now",
            service(json!({})),
            service(json!({"clusterIP": "None"})),
            true,
        ),
        (
            "headless no more",
            service(json!({"clusterIP": "None"})),
            service(json!({"clusterIP": "10.0.0.1"})),
            true,
        ),
        (
            "another type",
            service(json!({})),
            service(json!({"type": "NodePort"})),
            false,
        ),
        (
            "another class",
            balanced(json!("a.io/b")),
            balanced(json!("a.io/c")),
            true,
        ),
        ("a class at all", balanced(Value::Null), balanced(json!("a.io/c")), true),
        (
            "no load balancer more",
            balanced(json!("a.io/b")),
            service(json!({"type": "ClusterIP"})),
            false,
        ),
    ] {
        assert_eq!(to.must_replace(&from.followed().fixed), replace, "{what}");
    }
}

#[test]
fn odd_objects_are_no_trouble() {
    for fields in [
        json!({"spec": [], "data": 7, "type": {}, "metadata": {"labels": "x", "annotations": [1]}}),
        json!({"spec": {"selector": {"a": "b"}, "ports": [1, null, {"nodePort": "x"}], "clusterIP": {}}}),
        json!({"metadata": {"uid": 3}}),
    ] {
        for kind in Kind::ALL {
            if let Ok(copy) = copy(kind, fields.clone()) {
                let _ = (copy.manifest(), copy.digest(), copy.fields());
            }
        }
    }
    for kind in Kind::ALL {
        assert!(Copy::of(&ObjectKey::new(kind, "n", "o"), &Value::Null, &context()).is_err());
    }
}
