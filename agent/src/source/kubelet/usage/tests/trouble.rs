//! When a problem is told.

use std::time::{Duration, Instant};

use crate::source::kubelet::usage::problem::Problem;
use crate::source::kubelet::usage::trouble::Trouble;

#[test]
fn what_lasts_is_told_once_and_so_is_its_end() {
    let (mut trouble, start) = (Trouble::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(!trouble.failed(&Problem::NotInstalled, at(0)));
    assert!(!trouble.failed(&Problem::NotInstalled, at(15)));
    assert!(trouble.failed(&Problem::NotInstalled, at(30)));
    assert!(!trouble.failed(&Problem::NotInstalled, at(45)));
    let forbidden = Problem::Forbidden("a".into());
    assert!(trouble.failed(&forbidden, at(60)));
    assert!(!trouble.failed(&Problem::Forbidden("b".into()), at(75)));
    assert!(trouble.over());
    assert!(!trouble.over() && !trouble.is_on());
    assert!(!trouble.failed(&forbidden, at(90)));
}

#[test]
fn what_comes_and_goes_is_not_told() {
    let (mut trouble, start) = (Trouble::default(), Instant::now());
    for round in 0..10 {
        assert!(!trouble.failed(&Problem::NotInstalled, start + Duration::from_secs(round * 15)));
        assert!(!trouble.over());
    }
}
