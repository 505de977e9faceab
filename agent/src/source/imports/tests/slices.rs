//! Which endpoint is in which slice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::source::imports::endpoints::Endpoint;
use crate::source::imports::slices::{MOST, Slice, assign};

fn ip(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn endpoints(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<IpAddr, Endpoint> {
    numbers
        .into_iter()
        .map(|number| (ip(number), Endpoint::default()))
        .collect()
}

fn held(slices: &BTreeMap<String, Slice>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let addresses = |slice: &Slice| slice.keys().copied().collect();
    slices
        .iter()
        .map(|(name, slice)| (name.clone(), addresses(slice)))
        .collect()
}

fn changed(before: &BTreeMap<String, Slice>, after: &BTreeMap<String, Slice>) -> usize {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .count()
}

#[test]
fn endpoints_fill_slices_of_a_hundred() {
    let slices = assign(&endpoints(0..250), &BTreeMap::new(), "web");
    let sizes: Vec<_> = slices
        .iter()
        .map(|(name, slice)| (name.as_str(), slice.len()))
        .collect();
    assert_eq!(sizes, [("web-0", 100), ("web-1", 100), ("web-2", 50)]);
}

#[test]
fn one_pod_more_or_less_changes_one_slice() {
    let before = assign(&endpoints(0..250), &BTreeMap::new(), "web");
    for numbers in [(0..251).collect::<Vec<_>>(), (0..250).filter(|n| *n != 7).collect()] {
        let after = assign(&endpoints(numbers), &held(&before), "web");
        assert_eq!(changed(&before, &after), 1);
    }
    // A pod takes another one's place: room was made in the slice that it left.
    let replaced = endpoints((0..250).filter(|n| *n != 7).chain([1000]));
    let after = assign(&replaced, &held(&before), "web");
    assert_eq!(changed(&before, &after), 1);
}

#[test]
fn what_is_left_after_most_have_gone_does_not_stay_scattered() {
    let before = assign(&endpoints(0..1000), &BTreeMap::new(), "web");
    let left = endpoints((0..1000).filter(|n| n % 100 == 0));
    assert_eq!(assign(&left, &held(&before), "web").len(), 1);
    assert!(assign(&endpoints([]), &held(&before), "web").is_empty());
}

#[test]
fn slices_that_somebody_has_changed_are_put_in_order() {
    let doubled = [("a", 0..150), ("b", 100..120)];
    let held = doubled
        .map(|(name, range)| (name.to_owned(), range.map(ip).collect()))
        .into();
    let slices = assign(&endpoints(0..150), &held, "web");
    let all: Vec<_> = slices.values().flat_map(BTreeMap::keys).collect();
    assert_eq!(all.len(), 150);
    assert!(slices.values().all(|slice| slice.len() <= MOST));
}

proptest! {
    #[test]
    fn each_endpoint_is_in_one_slice_and_a_second_look_changes_nothing(
        first in prop::collection::btree_set(0u32..600, 0..500),
        second in prop::collection::btree_set(0u32..600, 0..500),
    ) {
        let before = assign(&endpoints(first.iter().copied()), &BTreeMap::new(), "web");
        let after = assign(&endpoints(second.iter().copied()), &held(&before), "web");
        let mut all: Vec<_> = after.values().flat_map(BTreeMap::keys).copied().collect();
        all.sort();
        prop_assert_eq!(all, second.iter().copied().map(ip).collect::<Vec<_>>());
        prop_assert!(after.values().all(|slice| !slice.is_empty() && slice.len() <= MOST));
        prop_assert!(after.len() <= second.len() * 4 / MOST + 1, "{} for {}", after.len(), second.len());
        prop_assert_eq!(&assign(&endpoints(second), &held(&after), "web"), &after);
    }
}
