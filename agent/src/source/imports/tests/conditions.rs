//! What a ServiceExport says of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::source::imports::clusters::ClusterName;
use crate::source::imports::conditions::{Progress, Said, conditions, merge};
use crate::source::imports::exportable::Unexportable;

fn progress(all: &[(&str, Progress)]) -> BTreeMap<ClusterName, Progress> {
    let of = |(name, progress): &(&str, Progress)| (ClusterName::of(name), progress.clone());
    all.iter().map(of).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn short(conditions: &[Said]) -> Vec<(bool, &'static str)> {
    conditions.iter().map(|said| (said.holds, said.reason)).collect()
}

type Row<'a> = (
    Result<(), &'a Unexportable>,
    &'a [(&'a str, Progress)],
    [(bool, &'a str); 3],
);

#[test]
fn reasons_are_those_of_the_api() {
    let taken = || Progress::Taken("ServiceImport shop/web".into());
    let refused = || Progress::Refused("quota".into());
    let table: [Row<'_>; 7] = [
        (
            Err(&Unexportable::NoService),
            &[],
            [(false, "NoService"), (false, "Failed"), (false, "NoConflicts")],
        ),
        (
            Err(&Unexportable::ExternalName),
            &[],
            [(false, "InvalidServiceType"), (false, "Failed"), (false, "NoConflicts")],
        ),
        (
            Ok(()),
            &[],
            [(true, "Valid"), (false, "Pending"), (false, "NoConflicts")],
        ),
        (
            Ok(()),
            &[("us", Progress::Pending), ("eu", Progress::Imported)],
            [(true, "Valid"), (true, "Exported"), (false, "NoConflicts")],
        ),
        (
            Ok(()),
            &[("us", refused()), ("eu", Progress::Imported)],
            [(true, "Valid"), (true, "Exported"), (false, "NoConflicts")],
        ),
        (
            Ok(()),
            &[("us", taken()), ("eu", Progress::Imported)],
            [(true, "Valid"), (true, "Exported"), (true, "NameTaken")],
        ),
        (
            Ok(()),
            &[("us", refused())],
            [(true, "Valid"), (false, "Failed"), (false, "NoConflicts")],
        ),
    ];
    for (valid, all, expected) in table {
        assert_eq!(short(&conditions(valid, &progress(all))), expected, "{all:?}");
    }
}

#[test]
fn messages_name_the_clusters() {
    let all: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
        .map(|name| (name, Progress::Refused("no".into())))
        .into();
    let [_, Said { message, .. }, _] = conditions(Ok(()), &progress(&all));
    assert!(
        message.contains("a: no; b: no") && message.ends_with("and 2 more"),
        "{message}"
    );
}

#[test]
fn what_stays_the_same_is_not_written_and_keeps_its_time() {
    let done = progress(&[("us", Progress::Imported)]);
    let first = merge(&[], conditions(Ok(()), &done), 1, at(10)).unwrap();
    assert_eq!(merge(&first, conditions(Ok(()), &done), 1, at(20)), None);
    let conflict = progress(&[("us", Progress::Imported), ("eu", Progress::Taken("x".into()))]);
    let second = merge(&first, conditions(Ok(()), &conflict), 1, at(20)).unwrap();
    let time = |all: &[Condition], type_: &str| {
        let found = all.iter().find(|condition| condition.type_ == type_).unwrap();
        found.last_transition_time.0
    };
    assert_eq!((time(&second, "Ready"), time(&second, "Conflict")), (at(10), at(20)));
}
