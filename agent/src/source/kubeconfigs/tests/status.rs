use std::time::Duration;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn object() -> Kubeconfig {
    let mut object = Kubeconfig::new("eu", Default::default());
    object.metadata.generation = Some(3);
    object.metadata.uid = Some("uid".into());
    object
}

/// Credentials that expire so many seconds from now.
fn issued(seconds: i64) -> Issued {
    let expires = Timestamp::from_second(now().as_second() + seconds).unwrap();
    Issued {
        wanted: "a".into(),
        renew: None,
        at: expires - Duration::from_secs(3600),
        expires,
    }
}

fn said(object: &Kubeconfig, issued: Option<Issued>, problem: Option<&'static str>) -> KubeconfigStatus {
    let problem = problem.map(|reason| Problem::new(reason, "do this"));
    status(
        object,
        &Report {
            identity: Some(&Identity::new("default", "eu").unwrap()),
            issued: issued.as_ref(),
            problem: problem.as_ref(),
            now: now(),
        },
    )
}

#[test]
fn it_is_ready_while_its_credentials_are_good() {
    for (seconds, problem, expected) in [
        (Some(60), None, ("True", "Issued")),
        (Some(60), Some("IssuerNotFound"), ("True", "IssuerNotFound")),
        (Some(0), Some("IssuerNotFound"), ("False", "IssuerNotFound")),
        (Some(0), None, ("False", "Issuing")),
        (None, Some("Denied"), ("False", "Denied")),
        (None, None, ("False", "Issuing")),
    ] {
        let status = said(&object(), seconds.map(issued), problem);
        let condition = &status.conditions[0];
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), expected);
        assert_eq!(problem.is_some(), condition.message.contains("do this"));
        assert_eq!(status.not_after.is_some(), seconds.is_some());
        assert_eq!(status.observed_generation, Some(3));
        assert_eq!(status.identity.as_deref(), Some("ns/default/id/eu"));
    }
}

#[test]
fn it_keeps_the_time_of_its_last_change_and_says_nothing_twice() {
    let mut object = object();
    let first = said(&object, Some(issued(60)), None);
    let earlier = Time(now() - Duration::from_secs(100));
    object.status = Some(first);
    object.status.as_mut().unwrap().conditions[0].last_transition_time = earlier.clone();
    let again = said(&object, Some(issued(60)), None);
    assert_eq!(object.status.as_ref(), Some(&again));
    let troubled = said(&object, Some(issued(60)), Some("Denied"));
    assert_eq!(troubled.conditions[0].last_transition_time, earlier);
    let failed = said(&object, None, Some("Denied"));
    assert_eq!(failed.conditions[0].last_transition_time, Time(now()));
}
