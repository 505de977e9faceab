//! The rules over what was read. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use multicluster_api::{crds, names};

use super::Finding;
use super::gather::Installation;
use crate::connect::preflight::OLDEST_SOURCE;
use crate::installed;
use crate::output::Level;
use crate::status::report::Status;

/// More than so many seconds apart, certificates and tokens may seem not to be good yet.
const CLOCK: i64 = 30;
/// The agent renews its Lease every few seconds.
const LEASE: i64 = 60;
const APPLY: &str = "apply the manifests, or upgrade the chart, of one version";

/// Judge an installation.
pub fn judge(installation: &Installation, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![role(installation)];
    let is_source = installation.facts.is_source() == Some(true);
    findings.extend(kubernetes(installation, is_source));
    findings.extend(definitions(&installation.definitions));
    findings.extend(components(installation, is_source, now));
    findings.extend(certificates(installation, is_source, now));
    if is_source {
        findings.extend(webhooks(installation));
        findings.push(scheduler(installation));
        findings.push(namespaces(installation));
    }
    findings.extend(conditions(installation));
    findings.extend(targets(installation, is_source, now));
    findings.extend(clocks(installation));
    findings
}

fn role(installation: &Installation) -> Finding {
    let facts = &installation.facts;
    match (facts.is_source(), facts.is_target()) {
        (Some(true), Some(true)) => Finding::ok("role", "a source, and a target"),
        (Some(true), _) => Finding::ok("role", "a source"),
        (_, Some(true)) => Finding::ok("role", "a target"),
        (Some(false), Some(false)) => Finding::error(
            "role",
            "neither a source nor a target",
            "install the product with the role that the cluster has",
        ),
        _ => Finding::warning(
            "role",
            "cannot be seen",
            "ask for the permission to read Deployments in multicluster-scheduler",
        ),
    }
}

fn kubernetes(installation: &Installation, is_source: bool) -> Option<Finding> {
    let version = installation.facts.version?;
    Some(match is_source && version < OLDEST_SOURCE {
        true => Finding::error(
            "Kubernetes",
            version.to_string(),
            format!("a source needs {OLDEST_SOURCE}: upgrade the cluster"),
        ),
        false => Finding::ok("Kubernetes", version.to_string()),
    })
}

/// Present, established, and as this program knows them: an old definition drops fields that are new.
fn definitions(found: &[CustomResourceDefinition]) -> Vec<Finding> {
    let wanted = crds::all();
    let (mut missing, mut wrong, mut old) = (vec![], vec![], vec![]);
    for wanted in &wanted {
        let name = wanted.name_any();
        let Some(found) = found.iter().find(|crd| crd.name_any() == name) else {
            missing.push(name);
            continue;
        };
        let conditions = found
            .status
            .as_ref()
            .and_then(|status| status.conditions.clone())
            .unwrap_or_default();
        if !conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
        {
            wrong.push(name);
        } else if !fields(wanted).is_subset(&fields(found)) {
            old.push(name);
        }
    }
    let mut findings = vec![];
    for (names, what) in [
        (&missing, "missing"),
        (&wrong, "not established"),
        (&old, "older than this program"),
    ] {
        if !names.is_empty() {
            findings.push(Finding::error(
                "definitions",
                format!("{what}: {}", names.join(", ")),
                APPLY,
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("definitions", format!("all {} are there", wanted.len())));
    }
    findings
}

/// Paths of the fields that a definition knows.
fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    fn collect(schema: &serde_json::Value, path: &str, into: &mut BTreeSet<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            collect(inner, &path, into);
            collect(&inner["items"], &path, into);
            into.insert(path);
        }
    }
    let mut found = BTreeSet::new();
    for version in &crd.spec.versions {
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| serde_json::to_value(&schema.open_api_v3_schema).ok());
        // `metadata` and the like are added by the API server.
        for part in ["spec", "status"] {
            collect(
                &schema.clone().unwrap_or_default()["properties"][part],
                part,
                &mut found,
            );
        }
    }
    found
}

fn components(installation: &Installation, is_source: bool, now: Timestamp) -> Vec<Finding> {
    let status = Status::of(&installation.seen, now);
    let mut findings: Vec<Finding> = vec![];
    let needed = [installed::AGENT, installed::WEBHOOK, installed::EXTENDER];
    for name in &needed[..if is_source { 3 } else { 1 }] {
        if installation.facts.deployments.is_some() && !installation.seen.programs.contains_key(*name) {
            findings.push(Finding::error(format!("Deployment {name}"), "missing", APPLY));
        }
    }
    for component in &status.components {
        let check = format!("Deployment {}", component.name);
        let message = format!("{}/{} ready", component.ready, component.wanted);
        let trouble = component
            .trouble
            .clone()
            .map(|trouble| format!(": {trouble}"))
            .unwrap_or_default();
        let fix = format!(
            "kubectl -n {} describe deployment {}",
            names::INSTALL_NAMESPACE,
            component.name
        );
        findings.push(match component.level {
            Level::Ok => Finding::ok(check, message),
            level => Finding {
                level,
                ..Finding::warning(check, message + &trouble, fix)
            },
        });
    }
    let ours = |name: &&str| *name != installed::SCHEDULER;
    let programs = installation
        .seen
        .programs
        .iter()
        .filter(|(name, _)| ours(&name.as_str()));
    let versions: BTreeSet<&str> = programs.filter_map(|(_, program)| tag(&program.image)).collect();
    if versions.len() > 1 {
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(Finding::warning(
            "versions",
            format!("components differ: {versions}"),
            APPLY,
        ));
    }
    findings
}

/// The tag of an image, or its digest; none where the registry has a port and the image no tag.
fn tag(image: &str) -> Option<&str> {
    let name = image.rsplit('/').next()?;
    name.split_once('@')
        .or_else(|| name.split_once(':'))
        .map(|(_, tag)| tag)
}

fn certificates(installation: &Installation, is_source: bool, now: Timestamp) -> Vec<Finding> {
    let status = Status::of(&installation.seen, now);
    let mut findings = vec![];
    let needed = [installed::WEBHOOK_TLS, installed::EXTENDER_TLS];
    for name in needed
        .iter()
        .filter(|_| is_source && !installation.seen.certificates.is_empty())
    {
        if !installation.seen.certificates.contains_key(*name) {
            findings.push(Finding::error(
                format!("certificate {name}"),
                "its Secret is missing",
                format!(
                    "kubectl -n {} describe certificates; is cert-manager running?",
                    names::INSTALL_NAMESPACE
                ),
            ));
        }
    }
    if is_source && installation.seen.certificates.is_empty() {
        findings.push(Finding::error(
            "certificates",
            "there are none, or your user may not read them",
            format!(
                "kubectl -n {} get secrets,certificates; is cert-manager running?",
                names::INSTALL_NAMESPACE
            ),
        ));
    }
    for certificate in status.certificates {
        let check = format!("certificate {}", certificate.secret);
        let fix = format!(
            "renew it: kubectl -n {} describe certificates; is cert-manager running?",
            names::INSTALL_NAMESPACE
        );
        let expires = certificate
            .expires
            .map_or_else(|| "its Secret holds none".into(), |end| format!("good until {end}"));
        findings.push(match certificate.level {
            Level::Ok => Finding::ok(check, expires),
            level => Finding {
                level,
                ..Finding::warning(check, expires, fix)
            },
        });
    }
    findings
}

fn webhooks(installation: &Installation) -> Vec<Finding> {
    let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    let judge = |kind: &&'static str| match installation.webhooks.get(kind) {
        None => Finding::error(*kind, "missing, so that elected pods stay ordinary ones", APPLY),
        Some((0, all)) => Finding::ok(
            *kind,
            format!("{all} webhooks, and the API server knows their authority"),
        ),
        Some((without, _)) => Finding::error(
            *kind,
            format!("{without} webhooks have no caBundle"),
            "is cert-manager's cainjector running? Is the Certificate multicluster-webhook ready?",
        ),
    };
    kinds.iter().map(judge).collect()
}

fn scheduler(installation: &Installation) -> Finding {
    match installation.seen.programs.contains_key(installed::SCHEDULER) {
        true => Finding::ok("scheduler", "a second kube-scheduler calls the extender"),
        false => Finding::warning(
            "scheduler",
            "there is no second kube-scheduler; whether the cluster's own one calls the extender cannot be read",
            "see that its configuration has the extender: manifests/own-scheduler",
        ),
    }
}

fn namespaces(installation: &Installation) -> Finding {
    let label = format!("{}={}", names::NAMESPACE_LABEL, names::NAMESPACE_LABEL_ENABLED);
    match (installation.own_namespace_served, installation.namespaces.len()) {
        (true, _) => Finding::error(
            "namespaces",
            format!(
                "{} is labelled {label}: the webhook stands in its own way",
                names::INSTALL_NAMESPACE
            ),
            format!(
                "kubectl label namespace {} {}-",
                names::INSTALL_NAMESPACE,
                names::NAMESPACE_LABEL
            ),
        ),
        (false, 0) => Finding::warning(
            "namespaces",
            "no namespace is served, so no pod can be elected",
            format!("kubectl label namespace NAME {label}"),
        ),
        (false, _) => Finding::ok("namespaces", format!("served: {}", installation.namespaces.join(", "))),
    }
}

fn conditions(installation: &Installation) -> Vec<Finding> {
    let judge = |(what, ready): (
        &String,
        &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
    )| match ready {
        Some(ready) if ready.status == "True" => Finding::ok(what, "Ready"),
        Some(ready) => Finding::error(
            what,
            format!("not Ready: {}: {}", ready.reason, ready.message),
            "the message says what to mend; docs/events.md explains the reason",
        ),
        None => Finding::error(
            what,
            "nobody has looked at it",
            "is its controller running: the agent, or cert-manager?",
        ),
    };
    installation.conditions.iter().map(judge).collect()
}

fn targets(installation: &Installation, is_source: bool, now: Timestamp) -> Vec<Finding> {
    let status = Status::of(&installation.seen, now);
    if status.targets.is_empty() && is_source {
        return vec![Finding::warning(
            "targets",
            "there are none",
            "kubectl multicluster connect",
        )];
    }
    let judge = |target: &crate::status::report::TargetStatus| {
        let check = format!(
            "{} {}",
            target.kind,
            target
                .namespace
                .iter()
                .chain([&target.name])
                .cloned()
                .collect::<Vec<_>>()
                .join("/")
        );
        match (target.ready, target.level) {
            (true, Level::Ok) => Finding::ok(check, "Ready"),
            (true, level) => {
                let end = target.credentials_expire.clone().unwrap_or_default();
                let fix = "connect again to renew the token; for an identity see its Kubeconfig";
                Finding {
                    level,
                    ..Finding::warning(check, format!("its credentials end at {end}"), fix)
                }
            }
            (false, _) => Finding::error(
                check,
                format!("not Ready: {}: {}", target.reason, target.message),
                format!(
                    "kubectl describe node {}; docs/events.md explains the reason",
                    target.virtual_node
                ),
            ),
        }
    };
    status.targets.iter().map(judge).collect()
}

fn clocks(installation: &Installation) -> Vec<Finding> {
    let mut findings = vec![];
    if let Some(ahead) = installation.clock_ahead {
        let seen = format!("the API server's clock and this machine's are {} s apart", ahead.abs());
        findings.push(match ahead.abs() > CLOCK {
            true => Finding::warning(
                "clock",
                seen,
                "set the clocks by NTP: certificates and tokens have a beginning and an end",
            ),
            false => Finding::ok("clock", seen),
        });
    }
    if let Some(age) = installation.lease_age {
        findings.push(match age {
            LEASE.. => Finding::error(
                "leader",
                format!("the agent has not renewed its Lease for {age} s"),
                format!(
                    "kubectl -n {} logs deployment/{}",
                    names::INSTALL_NAMESPACE,
                    installed::AGENT
                ),
            ),
            age if age < -CLOCK => Finding::warning(
                "leader",
                format!("the agent's clock is {} s ahead of the API server's", -age),
                "set the clocks of the nodes by NTP",
            ),
            _ => Finding::ok("leader", "the agent renews its Lease"),
        });
    }
    findings
}

#[cfg(test)]
mod tests;
