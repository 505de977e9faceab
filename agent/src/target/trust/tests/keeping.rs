//! The writes, against an API server.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::ResourceExt;
use multicluster_api::{TrustedIdentityProvider, names};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{cluster_source, empty_role, listed, provider, source, typed};
use crate::events::Events;
use crate::fake::{Fake, failure};
use crate::metrics::Metrics;
use crate::target::trust::keeper;

const PROVIDERS: &str = "trustedidentityproviders";
const USER: &str = "spiffe://eu/ns/default/id/web";

/// A cluster with a proxy's role, without an agent.
fn cluster() -> Fake {
    let fake = Fake::new("agent");
    fake.put("clusterroles", empty_role());
    fake
}

/// An agent, for as long as the guard lives.
fn agent(fake: &Fake) -> DropGuard {
    agent_with(fake, &Arc::new(Metrics::default()))
}

fn agent_with(fake: &Fake, metrics: &Arc<Metrics>) -> DropGuard {
    let (client, stop) = (fake.client(), CancellationToken::new());
    let events = Events::new(client.clone());
    tokio::spawn(keeper::run(client, events, metrics.clone(), stop.clone()));
    stop.drop_guard()
}

/// Time enough for anything that does not wait for long.
async fn soon() {
    tokio::time::sleep(Duration::from_millis(900)).await;
}

fn users(fake: &Fake) -> Vec<String> {
    listed(
        &typed(&fake.get("clusterroles", "", names::IMPERSONATION_ROLE).unwrap()),
        "users",
    )
}

/// Status, reason and message of a provider's condition.
fn ready(fake: &Fake, namespace: &str, name: &str) -> (String, String, String) {
    let object: TrustedIdentityProvider = typed(&fake.get(PROVIDERS, namespace, name).unwrap());
    let status = object.status.clone().unwrap_or_default();
    assert_eq!(status.observed_generation, object.metadata.generation);
    let condition = status
        .conditions
        .first()
        .unwrap_or_else(|| panic!("{} has no condition", object.name_any()));
    assert_eq!(
        (condition.type_.as_str(), condition.observed_generation),
        ("Ready", object.metadata.generation)
    );
    (
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    )
}

fn reason(fake: &Fake, namespace: &str, name: &str) -> String {
    ready(fake, namespace, name).1
}

#[tokio::test(start_paused = true)]
async fn a_user_comes_and_goes_with_source_and_provider() {
    let fake = cluster();
    let _agent = agent(&fake);
    soon().await;
    assert_eq!(fake.writes(), 0, "there is nothing to say");
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    soon().await;
    let (status, reason, message) = ready(&fake, "team", "eu");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Trusted"));
    assert!(message.contains("nobody may call yet"), "{message}");
    fake.put("sources", source("team", "eu", USER));
    fake.put("sources", source("other", "eu", "spiffe://eu/ns/default/id/not-there"));
    soon().await;
    assert_eq!(users(&fake), [USER]);
    assert_eq!(ready(&fake, "team", "eu").2, "it is believed, and its users may call");
    // Not within a second only, but at once: a write, and the first one after a pause is not held up.
    fake.remove("sources", "team", "eu");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(users(&fake).is_empty());
    fake.put("sources", source("team", "eu", USER));
    soon().await;
    fake.remove(PROVIDERS, "team", "eu");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(users(&fake).is_empty());
    assert_eq!(fake.count(&Method::PATCH, "clusterroles"), 4);
    assert!(fake.events().is_empty());
    let role = fake.get("clusterroles", "", names::IMPERSONATION_ROLE).unwrap();
    assert_eq!(role["metadata"]["labels"]["kept"], "yes");
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_not_written_again() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    fake.put("sources", source("team", "eu", USER));
    fake.put("clustersources", cluster_source("eu", "somebody else"));
    let first = agent(&fake);
    soon().await;
    assert_eq!(fake.writes(), 2, "the role and the condition");
    drop(first);
    let _second = agent(&fake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    fake.edit("sources", "team", "eu", |source| {
        source["metadata"]["labels"] = json!({ "a": "b" })
    });
    soon().await;
    assert_eq!(fake.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_know_all_takes_nothing_away() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    fake.put("sources", source("team", "eu", USER));
    let first = agent(&fake);
    soon().await;
    drop(first);
    fake.rule("no sources", |_, path| {
        (path.plural == "sources").then(|| failure(500, "InternalError", "no", "sources", ""))
    });
    let writes = fake.writes();
    let _second = agent(&fake);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((fake.writes(), users(&fake)), (writes, vec![USER.to_owned()]));
    fake.lift("no sources");
    fake.remove("sources", "team", "eu");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(users(&fake).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_others_write_into_the_role_does_not_stay() {
    let fake = cluster();
    let _agent = agent(&fake);
    soon().await;
    let admin = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    fake.edit("clusterroles", "", names::IMPERSONATION_ROLE, |role| {
        role["rules"] = admin;
        role["aggregationRule"] = json!({ "clusterRoleSelectors": [] });
    });
    soon().await;
    let role = fake.get("clusterroles", "", names::IMPERSONATION_ROLE).unwrap();
    assert_eq!((&role["rules"], &role["aggregationRule"]), (&json!([]), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_proxy_says_so() {
    let fake = Fake::new("agent");
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    let _agent = agent(&fake);
    soon().await;
    assert_eq!(reason(&fake, "team", "eu"), "RoleMissing");
    assert_eq!(fake.events(), ["RoleMissing"]);
    fake.put("clusterroles", empty_role());
    soon().await;
    assert_eq!(reason(&fake, "team", "eu"), "Trusted");
    fake.remove("clusterroles", "", names::IMPERSONATION_ROLE);
    soon().await;
    assert_eq!(reason(&fake, "team", "eu"), "RoleMissing");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_believed_learns_why_once() {
    let fake = cluster();
    let metrics = Arc::new(Metrics::default());
    let first = agent_with(&fake, &metrics);
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    soon().await;
    let mut young = provider("team", "us", "spiffe://eu/us/");
    young["metadata"]["creationTimestamp"] = json!("2030-01-02T00:00:00Z");
    fake.put(PROVIDERS, young);
    fake.put(PROVIDERS, provider("team", "wrong", "system:"));
    soon().await;
    assert_eq!(reason(&fake, "team", "us"), "PrefixTaken");
    assert_eq!(reason(&fake, "team", "wrong"), "InvalidSpec");
    let (status, _, message) = ready(&fake, "team", "us");
    assert!(status == "False" && message.contains("team/eu"), "{message}");
    drop(first);
    let _second = agent(&fake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut events = fake.events();
    events.sort();
    assert_eq!(events, ["InvalidSpec", "PrefixTaken"]);
    // The one who was first goes.
    fake.remove(PROVIDERS, "team", "eu");
    soon().await;
    assert_eq!(reason(&fake, "team", "us"), "Trusted");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_cannot_be_written_is_told_when_it_lasts() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    let _agent = agent(&fake);
    soon().await;
    fake.rule("no escalate", |method, path| {
        let refused = *method == Method::PATCH && path.plural == "clusterroles";
        refused.then(|| failure(403, "Forbidden", "attempting to grant more", "clusterroles", ""))
    });
    fake.put("sources", source("team", "eu", USER));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(reason(&fake, "team", "eu"), "Trusted", "it may be over soon");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (_, reason_now, message) = ready(&fake, "team", "eu");
    assert!(
        reason_now == "RoleNotWritten" && message.contains("attempting to grant more"),
        "{message}"
    );
    fake.lift("no escalate");
    soon().await;
    assert_eq!(
        (reason(&fake, "team", "eu"), users(&fake)),
        ("Trusted".into(), vec![USER.to_owned()])
    );
    assert_eq!(fake.events(), ["RoleNotWritten"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_holds_up_for_seconds() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    let _agent = agent(&fake);
    soon().await;
    fake.rule("hangs", |method, path| {
        (*method == Method::PATCH && path.plural == "clusterroles").then_some((0, Value::Null))
    });
    fake.put("sources", source("team", "eu", USER));
    soon().await;
    fake.lift("hangs");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(users(&fake), [USER]);
}

#[tokio::test(start_paused = true)]
async fn conditions_do_not_hold_up_a_revocation() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    fake.put("sources", source("team", "eu", USER));
    let _agent = agent(&fake);
    soon().await;
    fake.rule("hangs", |method, path| {
        (*method == Method::PATCH && path.plural == PROVIDERS).then_some((0, Value::Null))
    });
    for i in 0..100 {
        fake.put(PROVIDERS, provider("crowd", &format!("p{i}"), &format!("p{i}/")));
    }
    soon().await;
    fake.remove("sources", "team", "eu");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(users(&fake).is_empty());
    fake.lift("hangs");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(reason(&fake, "crowd", "p99"), "Trusted");
}

#[tokio::test(start_paused = true)]
async fn changes_in_a_row_are_written_together() {
    let fake = cluster();
    fake.put(PROVIDERS, provider("team", "eu", "spiffe://eu/"));
    let _agent = agent(&fake);
    soon().await;
    for i in 0..500 {
        fake.put(
            "sources",
            source("team", &format!("s{i}"), &format!("spiffe://eu/ns/default/id/s{i}")),
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    soon().await;
    let writes = fake.count(&Method::PATCH, "clusterroles");
    assert!((2..10).contains(&writes) && users(&fake).len() == 500, "{writes}");
}
