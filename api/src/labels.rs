//! How label keys change on the way to a target.
//!
//! A delegate must not be adopted by the target's own ReplicaSets and Services, so its label keys move under our
//! prefix: `app` and `example.com/app` both become `multicluster.admiralty.io/app`. When a pod has both, one keeps the
//! short key (the one without a prefix, or else the first in order), and the others get a hash of their whole key
//! behind it, so that every value survives.

use std::collections::BTreeMap;

use regex::Regex;

use crate::names::PREFIX;
use crate::virtual_node::short_hash;

/// Longest name part of a label key.
const MAX_LABEL_NAME: usize = 63;
const HASH_DIGITS: usize = 8;

/// The key under which a label is found on delegates, when no other label of the pod collides with it.
pub fn delegate_key(key: &str) -> String {
    format!("{PREFIX}{}", name_part(key))
}

/// The key of a label that collides with another one.
pub fn colliding_key(key: &str) -> String {
    let mut name = name_part(key).to_owned();
    name.truncate(MAX_LABEL_NAME - HASH_DIGITS - 1);
    format!("{PREFIX}{name}-{}", short_hash(key, HASH_DIGITS))
}

/// The labels of a delegate, from those of its proxy pod. Labels that match `no_prefix` (as `key=value`) stay.
pub fn delegate_labels(labels: &BTreeMap<String, String>, no_prefix: Option<&Regex>) -> BTreeMap<String, String> {
    let keeps = |key: &str, value: &str| no_prefix.is_some_and(|regexp| regexp.is_match(&format!("{key}={value}")));
    let (kept, moved): (Vec<_>, Vec<_>) = labels.iter().partition(|(key, value)| keeps(key, value));
    let mut result: BTreeMap<String, String> = kept.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    // Keys without a prefix come first, the others in order: the first of a kind keeps the short key.
    let (plain, prefixed): (Vec<_>, Vec<_>) = moved.into_iter().partition(|(key, _)| !key.contains('/'));
    for (key, value) in plain.into_iter().chain(prefixed) {
        let short = delegate_key(key);
        let free = if result.contains_key(&short) {
            colliding_key(key)
        } else {
            short
        };
        result.insert(free, value.clone());
    }
    result
}

/// What comes after the slash of a key.
pub fn name_part(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn keys_move_under_our_prefix() {
        assert_eq!(
            delegate_labels(&labels(&[("app", "web"), ("topology.kubernetes.io/zone", "a")]), None),
            labels(&[
                ("multicluster.admiralty.io/app", "web"),
                ("multicluster.admiralty.io/zone", "a")
            ]),
        );
    }

    #[test]
    fn colliding_keys_both_survive() {
        let result = delegate_labels(&labels(&[("b.com/x", "2"), ("a.com/x", "1"), ("x", "0")]), None);
        assert_eq!(result["multicluster.admiralty.io/x"], "0");
        assert_eq!(result[&colliding_key("a.com/x")], "1");
        assert_eq!(result[&colliding_key("b.com/x")], "2");
    }

    #[test]
    fn labels_that_match_keep_their_key() {
        let no_prefix = Regex::new("^app=").unwrap();
        assert_eq!(
            delegate_labels(&labels(&[("app", "web"), ("tier", "1")]), Some(&no_prefix)),
            labels(&[("app", "web"), ("multicluster.admiralty.io/tier", "1")]),
        );
    }

    proptest! {
        #[test]
        fn no_label_is_lost_and_all_keys_are_valid(
            labels in prop::collection::btree_map("([a-c]\\.io/)?[a-d]{1,2}x{0,61}", "[a-z]{0,3}", 0..12)
        ) {
            let result = delegate_labels(&labels, None);
            prop_assert_eq!(result.len(), labels.len());
            let mut before: Vec<_> = labels.values().collect();
            let mut after: Vec<_> = result.values().collect();
            before.sort();
            after.sort();
            prop_assert_eq!(before, after);
            prop_assert!(result.keys().all(|key| key.len() <= PREFIX.len() + MAX_LABEL_NAME));
        }
    }
}
