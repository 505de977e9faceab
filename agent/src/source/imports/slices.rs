//! Which endpoint is in which EndpointSlice.
//!
//! A change of one endpoint is to cost the write of one slice. So an endpoint stays in the slice that it is in; new ones
//! go to where there is room. When many have gone, half empty slices become one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::endpoints::Endpoint;

/// Most endpoints of a slice, as many as Kubernetes' own controller puts into one.
pub const MOST: usize = 100;
/// Two slices that together have no more than this become one. Less than [`MOST`], so that none is split soon after.
const MERGE: usize = MOST / 2;

/// The endpoints of a slice.
pub type Slice = BTreeMap<IpAddr, Endpoint>;

/// Distribute endpoints over slices. `held` are the slices that exist, with the addresses in them; new ones are called
/// `prefix`, a hyphen, and a number. What is not in the answer is not needed any more.
pub fn assign(
    endpoints: &BTreeMap<IpAddr, Endpoint>,
    held: &BTreeMap<String, BTreeSet<IpAddr>>,
    prefix: &str,
) -> BTreeMap<String, Slice> {
    let mut slices: BTreeMap<String, Slice> = BTreeMap::new();
    let mut homeless = endpoints.clone();
    for (name, addresses) in held {
        let slice = slices.entry(name.clone()).or_default();
        for address in addresses {
            if slice.len() == MOST {
                break;
            }
            if let Some((address, endpoint)) = homeless.remove_entry(address) {
                slice.insert(address, endpoint);
            }
        }
    }
    slices.retain(|_, slice| !slice.is_empty());
    place(&mut slices, homeless, held, prefix);
    merge(&mut slices);
    slices
}

/// Fill slices that are written anyway, then the fullest of the others, then new ones.
fn place(
    slices: &mut BTreeMap<String, Slice>,
    homeless: BTreeMap<IpAddr, Endpoint>,
    held: &BTreeMap<String, BTreeSet<IpAddr>>,
    prefix: &str,
) {
    let mut homeless = homeless.into_iter().peekable();
    let mut by_use: Vec<_> = slices.iter_mut().collect();
    by_use.sort_by_key(|(name, slice)| {
        let untouched = held.get(*name).is_some_and(|addresses| addresses.len() == slice.len());
        (untouched, MOST - slice.len())
    });
    for (_, slice) in by_use {
        slice.extend(homeless.by_ref().take(MOST - slice.len()));
    }
    let mut number = 0;
    while homeless.peek().is_some() {
        let name = format!("{prefix}-{number}");
        if let Entry::Vacant(free) = slices.entry(name) {
            free.insert(homeless.by_ref().take(MOST).collect());
        }
        number += 1;
    }
}

fn merge(slices: &mut BTreeMap<String, Slice>) {
    loop {
        let mut by_size: Vec<_> = slices.iter().map(|(name, slice)| (slice.len(), name.clone())).collect();
        by_size.sort();
        let [(least, from), (next, into), ..] = by_size.as_slice() else {
            return;
        };
        if least + next > MERGE {
            return;
        }
        let moved = slices.remove(from).unwrap_or_default();
        slices.entry(into.clone()).or_default().extend(moved);
    }
}
