//! Which objects are taken back, against a made-up API server.

use std::sync::Arc;

use http::{Method, Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;

const US: &str = "alice";

fn copy(namespace: &str, name: &str, user: Option<&str>) -> Value {
    json!({
        "name": name, "namespace": namespace, "uid": format!("{namespace}/{name}"),
        "labels": { names::PARENT_CLUSTER_NAME: "source", names::PARENT_UID: "1" },
        "annotations": { names::DIGEST: "abc", names::SOURCE_USER: user },
    })
}

fn metadata(value: Value) -> ObjectMeta {
    let mut value = value;
    // A null annotation is none.
    if let Some(annotations) = value["annotations"].as_object_mut() {
        annotations.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn only_what_is_marked_as_a_copy_is_one() {
    assert!(is_copy(&metadata(copy("a", "b", Some(US)))));
    for (part, key) in [
        ("labels", names::PARENT_CLUSTER_NAME),
        ("labels", names::PARENT_UID),
        ("annotations", names::DIGEST),
    ] {
        let mut object = copy("a", "b", Some(US));
        object[part].as_object_mut().unwrap().remove(key);
        assert!(!is_copy(&metadata(object)), "without {key}");
    }
    assert!(!is_copy(&ObjectMeta::default()));
}

/// An API server with these ConfigMaps, where Secrets are forbidden and the definition of HTTPRoutes is missing. Returns
/// the paths of what was deleted.
fn api(config_maps: Vec<Value>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let deleted = Arc::new(Mutex::new(vec![]));
    let log = deleted.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (code, body) = match (request.method(), plural.as_str()) {
            (&Method::GET, "configmaps") => {
                let object = |metadata: &Value| json!({ "metadata": metadata });
                let items: Vec<_> = config_maps.iter().map(object).collect();
                (200, json!({ "metadata": {}, "items": items }))
            }
            (&Method::GET, "secrets") => (
                403,
                json!({ "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no secrets" }),
            ),
            (&Method::GET, "httproutes") => (404, json!({ "status": "Failure", "code": 404, "reason": "NotFound" })),
            (&Method::DELETE, _) => {
                log.lock().push(path);
                (200, json!({ "metadata": {}, "kind": "Status", "status": "Success" }))
            }
            _ => (200, json!({ "metadata": {}, "items": [] })),
        };
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        async move { Ok::<_, std::io::Error>(Response::builder().status(code).body(body).unwrap()) }
    });
    (Client::new(service, "default"), deleted)
}

#[tokio::test]
async fn ours_go_and_all_others_stay() {
    let mut own = copy("a", "own", Some(US));
    own["labels"].as_object_mut().unwrap().remove(names::PARENT_UID);
    let mut unsigned = copy("a", "unsigned", None);
    unsigned["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(names::SOURCE_USER);
    let (client, deleted) = api(vec![
        copy("a", "ours", Some(US)),
        copy("a", "theirs", Some("bob")),
        copy("kept", "ours", Some(US)),
        own,
        unsigned,
    ]);
    let others = Others::from_iter([Some("kept")]);
    let whose = Whose {
        cluster_name: "source",
        namespace: None,
        others: &others,
        user: Some(US),
    };
    let recalled = recall(&client, &whose).await;
    assert_eq!(
        *deleted.lock(),
        [
            "/api/v1/namespaces/a/configmaps/ours",
            "/api/v1/namespaces/a/configmaps/unsigned"
        ]
    );
    assert_eq!(recalled.deleted, 2);
    // A kind that may not be looked at is told, and one that does not exist is not.
    let left: Vec<_> = recalled.left.into_iter().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], "configmaps: some are of user bob");
    assert!(left[1].starts_with("secrets: "), "{left:?}");
}

#[test]
fn what_another_target_serves_is_looked_after() {
    let some = Others::from_iter([Some("one"), Some("two")]);
    assert!(some.look_after("one") && !some.look_after("three"));
    assert!(Others::from_iter([Some("one"), None]).look_after("three"));
    assert!(!Others::default().look_after("one"));
}
