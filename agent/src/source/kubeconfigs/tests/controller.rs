use http::Method;
use multicluster_targets::kubeconfig;
use serde_json::{Value, json};

use super::world::{Issuer, World, content};
use super::*;
use crate::fake::failure;

const HOUR: Duration = Duration::from_secs(3600);

fn by_token(object: &mut Value) {
    object["spec"]["token"] = json!({});
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_issued_and_nothing_else_is_done() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;

    let secret = world.secret("eu").unwrap();
    assert_eq!(secret["type"], names::KUBECONFIG_SECRET);
    assert_eq!(secret["metadata"]["labels"][names::MANAGED_BY], names::MANAGED_BY_AGENT);
    let object = world.fake.get("kubeconfigs", "default", "eu").unwrap();
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["uid"], &owner["controller"]),
        (&object["metadata"]["uid"], &json!(true))
    );
    let text = k8s_openapi::ByteString(content(&secret).into_bytes());
    kubeconfig::client(&text, None).await.unwrap();
    assert_eq!(object["status"]["identity"], "ns/default/id/default");
    let time = |field: &str| object["status"][field].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(time("renewalTime") > Timestamp::now() && time("renewalTime") < time("notAfter"));
    assert_eq!(object["status"]["observedGeneration"], 1);
    let expiry = format!(
        "kubeconfig_expiry_timestamp_seconds{{namespace=\"default\",name=\"eu\"}} {}\n",
        time("notAfter").as_second()
    );
    assert!(world.shown().contains(&expiry), "{}", world.shown());

    world.until("the request to go", || world.requests().is_empty()).await;
    let writes = world.fake.writes();
    pass(2000).await;
    assert_eq!(
        (world.fake.writes(), world.fake.events()),
        (writes, vec!["Issued".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_is_issued_and_lives_as_long_as_the_api_server_says() {
    let world = World::new(Issuer::Sleeps);
    world.give_tokens(Some(HOUR / 2));
    world.put(by_token);
    world.is("True", "Issued").await;
    assert!(content(&world.secret("eu").unwrap()).contains("s3cret-1"));
    let object = world.fake.get("kubeconfigs", "default", "eu").unwrap();
    let expires: Timestamp = object["status"]["notAfter"].as_str().unwrap().parse().unwrap();
    assert!(expires < Timestamp::now() + HOUR / 2);
    assert_eq!(world.fake.count(&Method::POST, "serviceaccounts"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_asked_for_damaged_or_gone_is_renewed_at_once() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;

    let mut before = world.secret("eu").unwrap();
    let ago = |time: Duration| (Timestamp::now() - time).to_string();
    world.edit_secret(|secret| secret["metadata"]["annotations"][names::ISSUED_AT] = json!(ago(HOUR * 3)));
    world.other_than(&before).await;

    before = world.secret("eu").unwrap();
    world.put(|object| object["metadata"]["annotations"][names::RENEW] = json!("now"));
    world.other_than(&before).await;

    before = world.secret("eu").unwrap();
    world.edit_secret(|secret| secret["data"]["config"] = json!("ZGFtYWdl"));
    let repaired = || content(&world.secret("eu").unwrap()) != "damage";
    world.until("the damage to be repaired", repaired).await;
    world.other_than(&before).await;

    before = world.secret("eu").unwrap();
    world.put(|object| object["spec"]["cluster"]["server"] = json!("https://other.example:6443"));
    world.other_than(&before).await;
    assert!(content(&world.secret("eu").unwrap()).contains("https://other.example:6443"));

    before = world.secret("eu").unwrap();
    world.fake.remove("secrets", "default", "eu");
    world.other_than(&before).await;
    world.is("True", "Issued").await;
    world.until("all events", || world.fake.events().len() == 6).await;
    let renewed = world.fake.events().iter().filter(|reason| *reason == "Renewed").count();
    assert_eq!(renewed, 4);
}

#[tokio::test(start_paused = true)]
async fn another_s_secret_is_never_touched() {
    let world = World::new(Issuer::Signs);
    let theirs = json!({ "metadata": { "name": "eu", "namespace": "default" }, "type": "Opaque", "data": {} });
    world.fake.put("secrets", theirs);
    let before = world.secret("eu");
    world.put(|_| {});
    world.is("False", "SecretNameTaken").await;
    pass(1000).await;
    assert_eq!(world.secret("eu"), before);
    assert_eq!(
        (world.fake.events(), world.requests()),
        (vec!["IssuingFailed".to_owned()], vec![])
    );

    world.fake.remove("secrets", "default", "eu");
    world.is("True", "Issued").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_called_otherwise_now_is_deleted_once_there_is_another() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;
    world.set_issuer(Issuer::Sleeps);
    world.put(|object| object["spec"]["secretName"] = json!("new"));
    world.is("False", "Issuing").await;
    assert!(world.secret("eu").is_some());
    world.set_issuer(Issuer::Signs);
    world
        .until("the new Secret alone", || {
            world.secret("new").is_some() && world.secret("eu").is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_credentials_from_us_is_named_and_then_waited_for() {
    let said = |type_: &str, status: &str, reason: &str, message: &str| {
        Issuer::Says(json!({ "type": type_, "status": status, "reason": reason, "message": message }))
    };
    let missing = "Referenced \"Issuer\" not found: issuer.cert-manager.io \"multicluster-identities\" not found";
    for (issuer, reason) in [
        (Issuer::Sleeps, "NotIssued"),
        (said("Ready", "False", "Pending", missing), "IssuerNotFound"),
        (
            said("Ready", "False", "Pending", "Referenced issuer is not ready"),
            "IssuerNotReady",
        ),
        (said("Ready", "False", "Denied", "no"), "Denied"),
        (said("Ready", "False", "Failed", "broken"), "IssuerFailed"),
        (said("InvalidRequest", "True", "x", "csr"), "InvalidRequest"),
        (Issuer::SignsAnotherKey, "UnusableCredentials"),
    ] {
        let world = World::new(issuer);
        world.put(|_| {});
        world.is("False", reason).await;
        pass(200).await;
        let counted = format!("kubeconfig_issue_errors_total{{reason=\"{reason}\"}} ");
        assert!(world.shown().contains(&counted), "{reason}");
        assert!(world.secret("eu").is_none());
        assert_eq!(world.fake.events(), ["IssuingFailed"], "{reason}");
        // One request at a time, whatever happens.
        assert!(world.requests().len() <= 1);
        world.set_issuer(Issuer::Signs);
        world.is("True", "Issued").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_refuses_to_be_asked_is_named_too() {
    let forbidden = |plural: &'static str, method: Method| {
        move |seen: &Method, path: &crate::fake::Path| {
            let refused = path.plural == plural && *seen == method;
            refused.then(|| failure(403, "Forbidden", "no", plural, &path.name))
        }
    };
    let world = World::new(Issuer::Signs);
    world.fake.rule("a", forbidden("certificaterequests", Method::POST));
    world.put(|_| {});
    world.is("False", "Forbidden").await;

    // The API server's words for a kind that it does not know.
    world.fake.rule("a", |_, path| {
        (path.plural == "certificaterequests").then(|| failure(404, "NotFound", "page not found", "", ""))
    });
    world.is("False", "CertManagerMissing").await;
    world.fake.rule("a", forbidden("secrets", Method::POST));
    world.is("False", "Forbidden").await;
    world.fake.lift("a");
    world.is("True", "Issued").await;

    let world = World::new(Issuer::Signs);
    world.give_tokens(None);
    world.put(by_token);
    world.is("False", "ServiceAccountNotFound").await;
    world.give_tokens(Some(HOUR));
    world.is("True", "Issued").await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_makes_no_sense_is_told_and_left_alone() {
    let world = World::new(Issuer::Signs);
    world.put(|object| object["spec"]["cluster"]["server"] = json!("http://plain.example"));
    world.is("False", "InvalidSpec").await;
    pass(1000).await;
    assert!(world.secret("eu").is_none() && world.requests().is_empty());
    world.put(|object| object["spec"]["cluster"]["server"] = json!("https://eu.example"));
    world.is("True", "Issued").await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_leaves_what_is_still_good() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;
    let before = world.secret("eu").unwrap();
    world.set_issuer(Issuer::Says(
        json!({ "type": "Ready", "status": "False", "reason": "Denied", "message": "no" }),
    ));
    world.put(|object| object["metadata"]["annotations"][names::RENEW] = json!("now"));
    world.is("True", "Denied").await;
    assert_eq!(world.secret("eu").unwrap(), before);
    assert_eq!(world.fake.events(), ["Issued", "IssuingFailed"]);
    world.set_issuer(Issuer::Signs);
    world.is("True", "Issued").await;
    assert_ne!(world.secret("eu").unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_makes_its_own_request_and_leaves_none_of_the_last_one_s() {
    let mut world = World::new(Issuer::Sleeps);
    world.put(|_| {});
    world.until("a request", || !world.requests().is_empty()).await;
    let first = world.requests()[0]["metadata"]["uid"].clone();
    world.lose().await;
    assert_eq!(world.requests().len(), 1);

    // Requests of others stay; one of ours whose Kubeconfig is gone does not.
    let request = |name: &str, labels: Value| json!({ "metadata": { "name": name, "namespace": names::INSTALL_NAMESPACE, "labels": labels }, "spec": {} });
    let ours = json!({ names::MANAGED_BY: names::MANAGED_BY_AGENT, names::KUBECONFIG_UID: "gone" });
    world.fake.put("certificaterequests", request("theirs", json!({})));
    world
        .fake
        .put("certificaterequests", request("kubeconfig-gone-7", ours));
    world.lead();
    let renewed = || {
        let requests = world.requests();
        let theirs = requests.iter().any(|request| request["metadata"]["name"] == "theirs");
        theirs && requests.len() == 2 && requests.iter().all(|request| request["metadata"]["uid"] != first)
    };
    world.until("another request", renewed).await;
    world
        .fake
        .remove("certificaterequests", names::INSTALL_NAMESPACE, "theirs");
    world.set_issuer(Issuer::Signs);
    world.is("True", "Issued").await;

    // What is good is left as it is.
    let before = world.secret("eu");
    assert!(world.shown().contains("name=\"eu\""));
    world.lose().await;
    assert!(!world.shown().contains("name=\"eu\""));
    world.lead();
    pass(100).await;
    assert_eq!(world.secret("eu"), before);
    assert!(world.shown().contains("name=\"eu\""));
}

#[tokio::test(start_paused = true)]
async fn a_kubeconfig_that_goes_takes_its_request_and_its_series_with_it() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;
    world.set_issuer(Issuer::Sleeps);
    world.put(|object| object["metadata"]["annotations"][names::RENEW] = json!("now"));
    world.until("a request", || !world.requests().is_empty()).await;
    world.fake.remove("kubeconfigs", "default", "eu");
    world.until("the request to go", || world.requests().is_empty()).await;
    world
        .until("the series to go", || !world.shown().contains("name=\"eu\""))
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_the_kind_or_without_the_right_to_see_it_nothing_happens() {
    for code in [403, 404] {
        let mut world = World::new(Issuer::Signs);
        world.lose().await;
        world.fake.rule("a", move |_, path| {
            let listed = ["kubeconfigs", "secrets"].contains(&path.plural.as_str()) && path.name.is_empty();
            listed.then(|| failure(code, "Forbidden", "no", "", ""))
        });
        world.lead();
        world.put(|_| {});
        pass(300).await;
        assert!(world.secret("eu").is_none());
        world.fake.lift("a");
        world.is("True", "Issued").await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_written_anywhere_else() {
    let world = World::new(Issuer::Signs);
    world.put(|_| {});
    world.is("True", "Issued").await;
    let text = content(&world.secret("eu").unwrap());
    let key = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("client-key-data:"))
        .unwrap();
    let key = key.trim().trim_matches('"').to_owned();
    world.give_tokens(Some(HOUR));
    world.put(by_token);
    world
        .until("a token", || content(&world.secret("eu").unwrap()).contains("s3cret"))
        .await;
    pass(100).await;
    for plural in ["kubeconfigs", "certificaterequests", "events"] {
        let all = format!("{:?}", world.fake.everywhere(plural));
        assert!(
            !all.contains("s3cret") && !all.contains(&key) && !all.contains("PRIVATE"),
            "{plural}"
        );
    }
}
