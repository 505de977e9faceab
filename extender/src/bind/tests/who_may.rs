//! Whose pods are bound, and whose chaperons are gone on with.

use super::*;
use crate::bind::BindError;
use crate::core::attempt::source_user;

#[tokio::test]
async fn a_pod_that_no_webhook_saw_is_not_bound() {
    let world = world(pod());
    world.index.namespace_left("default");
    let refused = world.binder.bind(to(&eu())).await.unwrap_err();
    assert!(refused.to_string().contains("does not serve"), "{refused}");
    assert_eq!(world.eu_api.writes(), [""; 0]);
    assert_eq!(world.source.writes(), [""; 0]);
}

#[tokio::test]
async fn a_chaperon_says_who_made_it() {
    let world = world(pod());
    world.index.identified(&eu(), Some("alice".into()));
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert_eq!(source_user(&world.eu_api.chaperon().await), Some("alice"));
}

#[tokio::test]
async fn a_chaperon_of_another_user_is_not_taken_for_ours() {
    let world = world(pod());
    world.index.identified(&eu(), Some("alice".into()));
    let mut theirs = crate::core::delegate::chaperon(&pod(), "c1", &eu()).unwrap();
    crate::core::delegate::sign(&mut theirs, Some("mallory"));
    theirs.metadata.uid = Some("theirs".into());
    world.eu_api.put_chaperon(theirs);
    let refused = world.binder.bind(to(&eu())).await;
    assert!(matches!(refused, Err(BindError::Foreign { .. })), "{refused:?}");
    assert!(world.source.writes().is_empty() && world.index.in_flight() == 0);
}
