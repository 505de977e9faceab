//! How a Service's selector changes on the way to a target.

use std::collections::BTreeMap;

/// Labels, or an equality selector.
pub type Labels = BTreeMap<String, String>;

/// Selected pods carry a label under different keys on their delegates: no one selector finds them all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the delegates of the selected pods carry label {key} under different keys ({first}, {second}); give all of them the \
     same annotation multicluster.admiralty.io/no-prefix-label-regexp, and no other label with the same name after the slash"
)]
pub struct Disagree {
    /// The key in the selector.
    pub key: String,
    /// What it is on some of the delegates.
    pub first: String,
    /// What it is on others.
    pub second: String,
}

/// An original selector as it is found on delegates. `pods`: labels and no-prefix regexp of the pods that it selects. When
/// there are none, for a pod that has exactly the selector's labels.
pub fn rewritten<'a>(
    selector: &Labels,
    pods: impl Iterator<Item = (&'a Labels, Option<&'a str>)>,
) -> Result<Labels, Disagree> {
    let _ = pods;
    Ok(selector.clone())
}

/// The selector as the user wrote it, from a Service's selector and its annotation
/// [`ORIGINAL_SELECTOR`](crate::names::ORIGINAL_SELECTOR), if it has one. A user's later change of the spec wins over the
/// annotation.
pub fn original(selector: &Labels, annotation: Option<&str>) -> Labels {
    annotation.and_then(parse_original).unwrap_or_else(|| selector.clone())
}

/// The annotation's value: a JSON or YAML mapping, or `k=v,k2=v2`.
pub fn parse_original(_text: &str) -> Option<Labels> {
    None
}

/// The annotation's value, for [`parse_original`].
pub fn write_original(_selector: &Labels) -> String {
    String::new()
}
