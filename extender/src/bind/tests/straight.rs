//! Nobody is killed on the way.

use super::*;
use crate::bind::BindError;

const CREATED: &str = "POST default/podchaperons";
const BOUND: &str = "POST a/binding";

#[tokio::test]
async fn a_pod_is_bound_once_its_delegate_is_scheduled() {
    let world = world(pod());
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert_eq!(world.eu_api.writes(), [CREATED]);
    assert_eq!(world.source.writes(), [BOUND]);
    assert_eq!(world.index.in_flight(), 1, "until a summary shows it");
}

#[tokio::test]
async fn unschedulable_there_means_elsewhere_at_once() {
    let world = world(pod());
    let refused = world
        .bind(eu(), &world.eu_api, Progress::Refused("0/1 nodes".into()))
        .await;
    assert_eq!(refused.unwrap_err().to_string(), "eu: 0/1 nodes");
    assert_eq!(world.eu_api.writes()[..1], [CREATED]);
    assert!(world.eu_api.writes()[1].starts_with("DELETE podchaperons/a-"));
    assert_eq!((world.source.writes().len(), world.index.in_flight()), (0, 0));
    assert!(world.index.failures().of("1").is_some());
}

#[tokio::test]
async fn an_ordinary_pod_is_bound_plainly() {
    let mut ordinary = pod();
    ordinary.metadata.annotations.as_mut().unwrap().remove(names::ELECT);
    let world = world(ordinary);
    let refused = world.binder.bind(to(&eu())).await;
    assert!(matches!(refused, Err(BindError::WrongNode(_))), "{refused:?}");
    let request = BindRequest {
        node: "real".into(),
        ..to(&eu())
    };
    world.binder.bind(request).await.unwrap();
    assert_eq!(world.source.writes(), [BOUND]);
}

#[tokio::test]
async fn requests_that_make_no_sense_create_nothing() {
    let world = world(pod());
    for (what, request, expected) in [
        (
            "no name",
            BindRequest {
                name: String::new(),
                ..to(&eu())
            },
            "invalid",
        ),
        (
            "another pod of that name",
            BindRequest {
                uid: "2".into(),
                ..to(&eu())
            },
            "gone",
        ),
        (
            "an ordinary node",
            BindRequest {
                node: "real".into(),
                ..to(&eu())
            },
            "refused",
        ),
    ] {
        assert_eq!(
            world.binder.bind(request).await.unwrap_err().outcome(),
            expected,
            "{what}"
        );
    }
    let foreign = TargetRef::namespaced("prod", "eu");
    index_tests::ready(&world.index, &foreign, Some(world.eu_api.client()), vec![node("n1")]);
    let refused = world.binder.bind(to(&foreign)).await.unwrap_err().to_string();
    assert!(refused.contains("another namespace"), "{refused}");
    world.index.failed(&us(), "no secret".into());
    let refused = world.binder.bind(to(&us())).await.unwrap_err().to_string();
    assert!(refused.contains("no secret"), "{refused}");
    assert_eq!((world.eu_api.writes().len(), world.source.writes().len()), (0, 0));
}

#[tokio::test]
async fn the_last_slot_goes_to_one_pod() {
    let world = world(pod());
    let wanted = crate::core::builders::wanted(&[("cpu", "3")], serde_json::json!({}));
    world.index.assume(&eu(), "other", &wanted, false).unwrap();
    let refused = world.binder.bind(to(&eu())).await.unwrap_err();
    assert_eq!(refused.outcome(), "refused");
    assert!(world.eu_api.writes().is_empty() && world.index.failures().of("1").is_none());
}

#[tokio::test]
async fn a_target_that_rejects_the_chaperon_is_left_out_for_a_while() {
    let world = world(pod());
    world.eu_api.deny_chaperons();
    let error = world.binder.bind(to(&eu())).await.unwrap_err();
    assert_eq!((error.outcome(), world.index.in_flight()), ("error", 0));
    assert!(world.index.failures().of("1").is_some());
}

#[tokio::test]
async fn a_pod_deleted_while_its_delegate_was_scheduled_leaves_nothing() {
    let world = world(pod());
    let delete = async {
        world.eu_api.chaperon().await;
        world.source.set_pod(None);
    };
    let (error, ()) = tokio::join!(world.bind(eu(), &world.eu_api, scheduled()), delete);
    assert_eq!(error.unwrap_err().outcome(), "gone");
    assert!(world.eu_api.writes()[1].starts_with("DELETE"));
    assert_eq!(world.index.in_flight(), 0);
}

#[tokio::test]
async fn two_calls_at_a_time_share_one_bind() {
    let world = world(pod());
    let (first, second, third) = tokio::join!(
        world.bind(eu(), &world.eu_api, scheduled()),
        world.binder.bind(to(&eu())),
        world.binder.bind(to(&us())),
    );
    first.unwrap();
    second.unwrap();
    assert!(matches!(third, Err(BindError::Busy(_))));
    assert_eq!(
        (world.eu_api.writes(), world.source.writes()),
        (vec![CREATED.into()], vec![BOUND.into()])
    );
    assert!(world.us_api.writes().is_empty());
}
