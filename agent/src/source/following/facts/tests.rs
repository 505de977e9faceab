use serde_json::json;

use super::*;

fn http_route(spec: Value) -> Value {
    json!({"metadata": {"namespace": "n", "name": "r"}, "spec": spec})
}

fn names(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

#[test]
fn a_pod_is_ready_until_it_is_deleted() {
    let pod = |deleted: Value, status: &str| {
        let pod = json!({
            "metadata": {
                "uid": "1", "namespace": "n", "deletionTimestamp": deleted,
                "labels": {"app": "web", "multicluster.admiralty.io/has-finalizer": "true"},
                "annotations": {"multicluster.admiralty.io/no-prefix-label-regexp": "^app="},
            },
            "spec": {"nodeName": "eu", "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}]}]},
            "status": {"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]},
        });
        PodFacts::of(&serde_json::from_value(pod).unwrap())
    };
    let facts = pod(Value::Null, "True");
    assert!(facts.ready && facts.references.config_maps.contains_key("m"));
    assert_eq!(
        (&*facts.uid, &*facts.namespace, facts.node.as_deref()),
        ("1", "n", Some("eu"))
    );
    assert_eq!(facts.no_prefix.as_deref(), Some("^app="));
    assert_eq!(
        facts.labels.keys().collect::<Vec<_>>(),
        ["app"],
        "ours are none of the user's"
    );
    assert!(!pod(Value::Null, "False").ready);
    assert!(!pod(json!("2026-01-01T00:00:00Z"), "True").ready);
}

#[test]
fn services_that_select_nothing_follow_nothing() {
    let service = |spec: Value| ServiceFacts::of(&json!({"metadata": {"namespace": "n", "name": "s"}, "spec": spec}));
    for spec in [
        json!({}),
        json!({"selector": {}}),
        json!({"selector": null}),
        json!({"selector": [1]}),
        json!({"type": "ExternalName", "externalName": "example.com", "selector": {"a": "b"}}),
    ] {
        assert_eq!(service(spec.clone()), None, "{spec}");
    }
    let facts = service(json!({"selector": {"app": "web"}, "type": "ClusterIP"})).unwrap();
    assert_eq!(facts.key, ObjectKey::new(Kind::Service, "n", "s"));
    assert_eq!(facts.selector["app"], "web");
}

#[test]
fn a_rewritten_service_is_known_by_its_original_selector() {
    let service = json!({
        "metadata": {
            "namespace": "n", "name": "s",
            "annotations": {"multicluster.admiralty.io/original-selector": r#"{"app":"web"}"#},
        },
        "spec": {"selector": {"multicluster.admiralty.io/app": "web"}},
    });
    let facts = ServiceFacts::of(&service).unwrap();
    assert_eq!(
        facts.selector.into_iter().collect::<Vec<_>>(),
        [("app".into(), "web".into())]
    );
}

#[test]
fn an_ingress_leads_to_services_and_names_secrets_and_hosts() {
    let ingress = json!({
        "metadata": {"namespace": "n", "name": "i"},
        "spec": {
            "defaultBackend": {"service": {"name": "default", "port": {"number": 80}}},
            "tls": [{"hosts": ["b.example.com", "c.example.com"], "secretName": "tls"}, {"hosts": ["d.example.com"]}],
            "rules": [
                {"host": "b.example.com", "http": {"paths": [
                    {"path": "/", "backend": {"service": {"name": "web"}}},
                    {"path": "/files", "backend": {"resource": {"apiGroup": "g", "kind": "Bucket", "name": "b"}}},
                ]}},
                {"host": "*.example.com"},
                {"host": "not a host"},
                {"http": {"paths": [{"backend": {"service": {"name": "../x"}}}]}},
            ],
        },
    });
    let facts = RouteFacts::of(Kind::Ingress, &ingress).unwrap();
    assert_eq!(names(&facts.services), ["default", "web"]);
    assert_eq!(names(&facts.secrets), ["tls"]);
    assert_eq!(
        hosts(Kind::Ingress, &ingress),
        ["*.example.com", "b.example.com", "c.example.com", "d.example.com"]
    );
    assert_eq!(
        ports(Kind::Ingress, &ingress),
        [(Some("http".into()), 80), (Some("https".into()), 443)]
    );
}

#[test]
fn an_http_route_leads_to_the_services_of_its_namespace() {
    let route = http_route(json!({
        "hostnames": ["b.example.com", "a.example.com", "a.example.com"],
        "parentRefs": [
            {"name": "own"}, {"name": "shared", "namespace": "infra", "sectionName": "https"},
            {"name": "mesh", "kind": "Service", "group": ""},
        ],
        "rules": [
            {"backendRefs": [
                {"name": "web", "port": 80},
                {"name": "api", "kind": "Service", "group": "", "namespace": "n"},
                {"name": "foreign", "namespace": "other"},
                {"name": "bucket", "kind": "Bucket", "group": "g"},
            ]},
            {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "mirror"}}}]},
        ],
    }));
    let facts = RouteFacts::of(Kind::HttpRoute, &route).unwrap();
    assert_eq!(names(&facts.services), ["api", "mirror", "web"]);
    assert!(facts.secrets.is_empty());
    assert_eq!(hosts(Kind::HttpRoute, &route), ["a.example.com", "b.example.com"]);
    assert_eq!(
        gateways(Kind::HttpRoute, &route),
        [("infra".into(), "shared".into()), ("n".into(), "own".into())]
    );
}

#[test]
fn ports_have_numbers_and_perhaps_names() {
    let service = json!({"spec": {"ports": [
        {"name": "http", "port": 80, "nodePort": 30080}, {"port": 443}, {"port": 70000}, {"port": "x"},
    ]}});
    assert_eq!(ports(Kind::Service, &service), [(Some("http".into()), 80), (None, 443)]);
}

#[test]
fn odd_objects_are_no_trouble() {
    for object in [
        json!(null),
        json!([]),
        json!({"metadata": 1, "spec": "x"}),
        http_route(json!([[{}]])),
        http_route(json!({"rules": {"a": 1}, "tls": [3], "parentRefs": [null]})),
    ] {
        for kind in Kind::ALL {
            let _ = (
                ServiceFacts::of(&object),
                RouteFacts::of(kind, &object),
                hosts(kind, &object),
            );
            let _ = (ports(kind, &object), gateways(kind, &object));
        }
    }
}
