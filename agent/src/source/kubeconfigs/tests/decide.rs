use proptest::prelude::*;

use super::super::held::Version;
use super::*;

const LIFE: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn purpose(wanted: &str, renew: Option<&str>) -> Purpose {
    Purpose {
        wanted: wanted.into(),
        renew: renew.map(Into::into),
    }
}

fn ours(issued: Option<Issued>) -> Held {
    Held::Ours {
        version: Version::default(),
        issued,
    }
}

/// Credentials for `a`, issued at second 0.
fn good() -> Held {
    ours(Some(Issued {
        wanted: "a".into(),
        renew: None,
        at: at(0),
        expires: at(LIFE),
    }))
}

fn step(held: &Held, wanted: &Purpose, second: i64) -> Step {
    decide(&Facts {
        uid: "uid",
        purpose: wanted,
        held,
        pending: None,
        failed: None,
        now: at(second),
    })
}

#[test]
fn credentials_are_renewed_at_two_thirds_of_their_life() {
    let (held, a) = (good(), purpose("a", None));
    let Step::Rest(renewal) = step(&held, &a, 0) else {
        panic!()
    };
    let second = renewal.as_second() - at(0).as_second();
    assert!((LIFE * 61 / 100..=LIFE * 2 / 3).contains(&second), "{second}");
    assert_eq!(step(&held, &a, second - 1), Step::Rest(renewal));
    assert_eq!(step(&held, &a, second + 1), Step::Issue);
    assert_eq!(step(&held, &a, LIFE * 10), Step::Issue);
}

#[test]
fn what_is_missing_damaged_or_out_of_date_is_issued_at_once() {
    let a = purpose("a", None);
    for (held, wanted) in [
        (Held::Missing, &a),
        (ours(None), &a),
        (good(), &purpose("b", None)),
        (good(), &purpose("a", Some("now"))),
    ] {
        assert_eq!(step(&held, wanted, 1), Step::Issue, "{held:?}");
    }
}

#[test]
fn another_s_secret_is_left_alone() {
    let foreign = Held::Foreign(String::new());
    assert_eq!(step(&foreign, &purpose("a", None), 0), Step::Taken);
}

#[test]
fn a_request_is_looked_at_until_it_is_of_no_use() {
    let (a, b) = (purpose("a", None), purpose("b", None));
    let second = Duration::from_secs(1);
    for (held, pending, expected) in [
        (Held::Missing, (&a, second), Step::Look),
        (ours(None), (&a, second), Step::Look),
        (Held::Missing, (&a, PATIENCE), Step::GiveUp),
        (Held::Missing, (&b, second), Step::Drop),
        (Held::Foreign(String::new()), (&a, second), Step::Drop),
        (good(), (&a, second), Step::Drop),
    ] {
        let facts = Facts {
            uid: "uid",
            purpose: &a,
            held: &held,
            pending: Some(pending),
            failed: None,
            now: at(1),
        };
        assert_eq!(decide(&facts), expected, "{facts:?}");
    }
}

#[test]
fn a_failure_is_waited_for_unless_something_else_is_wanted() {
    let (a, b, held) = (purpose("a", None), purpose("b", None), Held::Missing);
    let pause = Duration::from_secs(5);
    for (failed, expected) in [
        ((&a, pause), Step::Wait(pause)),
        ((&a, Duration::ZERO), Step::Issue),
        ((&b, pause), Step::Issue),
    ] {
        let facts = Facts {
            uid: "uid",
            purpose: &a,
            held: &held,
            pending: None,
            failed: Some(failed),
            now: at(0),
        };
        assert_eq!(decide(&facts), expected, "{facts:?}");
    }
}

#[test]
fn pauses_double_up_to_a_minute() {
    let pauses: Vec<_> = (1..8).map(|failures| pause(failures).as_secs()).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(pause(u32::MAX).as_secs(), 60);
}

#[test]
fn a_thousand_of_one_moment_are_not_renewed_at_once() {
    let issued = good().issued().unwrap().clone();
    let renewals = (0..1000).map(|n| renewal(&format!("uid-{n}"), &issued).as_second());
    let mut renewals: Vec<_> = renewals.collect();
    renewals.sort_unstable();
    let most = renewals.chunk_by(|a, b| a / 10 == b / 10).map(<[i64]>::len).max();
    // 180 seconds for all.
    assert!(most < Some(120), "{most:?}");
}

proptest! {
    /// Whatever the clocks: what was just issued is good for a while, is renewed before it expires, and is not asked for in
    /// a loop.
    #[test]
    fn what_was_issued_is_left_in_peace_and_renewed_in_time(
        uid in "[a-f0-9]{8}",
        now in 0_i64..4_000_000_000,
        life in SHORTEST.as_secs() as i64..100_000_000,
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let expires = now + Duration::from_secs(life as u64);
        let issued = Issued { wanted: "a".into(), renew: None, at: now, expires };
        let (held, a) = (ours(Some(issued)), purpose("a", None));
        let facts = |now| Facts { uid: &uid, purpose: &a, held: &held, pending: None, failed: None, now };
        let Step::Rest(renewal) = decide(&facts(now)) else { panic!() };
        prop_assert!(renewal > now + Duration::from_secs(30) && renewal < expires);
        prop_assert_eq!(decide(&facts(renewal)), Step::Issue);
    }

    /// Annotations are anybody's: no time in them makes us panic.
    #[test]
    fn no_times_panic(at in any::<i64>(), expires in any::<i64>(), now in any::<i64>()) {
        let time = |second: i64| Timestamp::from_second(second % Timestamp::MAX.as_second()).unwrap();
        let issued = Issued { wanted: "a".into(), renew: None, at: time(at), expires: time(expires) };
        let (held, a) = (ours(Some(issued)), purpose("a", None));
        decide(&Facts { uid: "", purpose: &a, held: &held, pending: None, failed: None, now: time(now) });
    }
}
