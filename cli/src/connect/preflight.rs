//! Can these clusters be connected? Judged before anything is written. Pure.

use std::net::IpAddr;

use crate::facts::{Facts, Known, Version};

/// The oldest Kubernetes for a source: `matchConditions` of webhooks.
pub const OLDEST_SOURCE: Version = Version { major: 1, minor: 30 };

/// What stands in the way, and what to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Nothing can be done before these are mended.
    pub problems: Vec<String>,
    /// It may work all the same.
    pub warnings: Vec<String>,
}

/// Judge two clusters.
pub fn judge(source: &Facts, target: &Facts) -> Verdict {
    let mut verdict = Verdict::default();
    let (from, to) = (&source.context, &target.context);
    if source.id.is_some() && source.id == target.id {
        verdict.problems.push(format!(
            "{from} and {to} are the same cluster. A cluster is its own target by a Target with self: true, which needs no \
             credentials: kubectl --context {from} apply -f - <<< '{{apiVersion: multicluster.admiralty.io/v1alpha1, kind: \
             Target, metadata: {{name: self, namespace: default}}, spec: {{self: true}}}}'"
        ));
        return verdict;
    }
    let (is_source, is_target) = (source.is_source(), target.is_target());
    let swapped = is_source == Some(false) && target.is_source() == Some(true) && source.is_target() == Some(true);
    if swapped {
        verdict.problems.push(format!(
            "the clusters are swapped: {to} has the webhook and the extender of a source, and {from} has only the agent of a \
             target. Write --source {to} --target {from}"
        ));
        return verdict;
    }
    verdict.role(is_source, from, "source", "webhook, extender and scheduler");
    verdict.role(is_target, to, "target", "agent in the role of a target");
    for (facts, kinds) in [
        (source, &["targets", "clustertargets", "kubeconfigs"][..]),
        (
            target,
            &[
                "sources",
                "clustersources",
                "trustedidentityproviders",
                "podchaperons",
                "clustersummaries",
            ],
        ),
    ] {
        let missing: Vec<_> = kinds
            .iter()
            .filter(|kind| !facts.kinds.contains(**kind))
            .copied()
            .collect();
        // A cluster without any has been told about above.
        if !missing.is_empty() && !facts.kinds.is_empty() {
            verdict.problems.push(format!(
                "{}: the definitions of {} are missing: install the product of this version there",
                facts.context,
                missing.join(", ")
            ));
        }
    }
    if source.version.is_some_and(|version| version < OLDEST_SOURCE) {
        let version = source.version.map(|version| version.to_string()).unwrap_or_default();
        verdict.problems.push(format!(
            "{from} runs Kubernetes {version}, and a source needs {OLDEST_SOURCE}: upgrade it"
        ));
    }
    verdict
}

impl Verdict {
    fn role(&mut self, has: Known<bool>, context: &str, role: &str, parts: &str) {
        match has {
            Some(true) => {}
            Some(false) => self.problems.push(format!(
                "{context} cannot be the {role}: the product is not installed there as a {role} (no {parts}). Install it first, \
                 with the role {role}"
            )),
            None => self.warnings.push(format!(
                "{context}: whether the product is installed there as a {role} cannot be seen, since your user may not read \
                 its Deployments"
            )),
        }
    }

    /// Judge the address under which the source is to reach the target.
    pub fn server(&mut self, source_server: &str, server: &str) {
        match (is_loopback(source_server), is_loopback(server)) {
            (_, false) => {}
            (false, true) => self.problems.push(format!(
                "{server} is an address of this machine, and the source ({source_server}) is elsewhere: write --server URL with \
                 the address under which the source reaches the target"
            )),
            (true, true) => self.warnings.push(format!(
                "{server} is an address of this machine: it only works if the source's pods reach it. With kind and the like, \
                 write --server URL with the address of the target's control plane in their network"
            )),
        }
    }
}

/// Does a URL lead to the machine that reads it?
pub fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests;
