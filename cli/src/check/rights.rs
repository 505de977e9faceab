//! Can the components do what they need? The API server is asked on behalf of their ServiceAccounts.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use multicluster_api::names;

use super::Finding;
use crate::contexts::Cluster;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::installed;
use crate::words::is_forbidden;

/// What a ServiceAccount cannot do without: verbs, group, resource (with subresource), namespace (empty for all).
type Right = (&'static [&'static str], &'static str, &'static str, &'static str);

const AGENT: &[Right] = &[
    (&["create"], "coordination.k8s.io", "leases", names::INSTALL_NAMESPACE),
    (&["create", "patch"], "events.k8s.io", "events", ""),
];
const AGENT_IN_SOURCE: &[Right] = &[
    (&["create", "delete", "patch", "watch"], "", "nodes", ""),
    (&["patch"], "", "nodes/status", ""),
    (&["delete", "patch", "watch"], "", "pods", ""),
    (&["patch"], "", "pods/status", ""),
    (&["list", "watch"], names::GROUP, "targets", ""),
    (&["list", "watch"], names::GROUP, "clustertargets", ""),
    (&["patch"], names::GROUP, "targets/status", ""),
];
const AGENT_IN_TARGET: &[Right] = &[
    (&["create", "delete", "watch"], "", "pods", ""),
    (&["list", "watch"], "", "nodes", ""),
    (&["watch"], names::GROUP, "podchaperons", ""),
    (&["patch"], names::GROUP, "podchaperons/status", ""),
    (&["list", "watch"], names::GROUP, "sources", ""),
    (&["list", "watch"], names::GROUP, "clustersources", ""),
    (&["create"], names::GROUP, "clustersummaries", ""),
    (&["create"], "rbac.authorization.k8s.io", "rolebindings", ""),
];
const EXTENDER: &[Right] = &[
    (&["get"], "", "pods", ""),
    (&["create"], "", "pods/binding", ""),
    (&["patch"], "", "pods/status", ""),
    (&["patch"], "", "nodes", ""),
    (&["list", "watch"], "", "namespaces", ""),
    (&["list", "watch"], names::GROUP, "targets", ""),
    (&["list", "watch"], names::GROUP, "clustertargets", ""),
];
const SCHEDULER: &[Right] = &[
    (&["list", "watch"], "", "nodes", ""),
    (&["list", "watch"], "", "pods", ""),
    (
        &["get", "update"],
        "coordination.k8s.io",
        "leases",
        names::INSTALL_NAMESPACE,
    ),
];

/// Ask for each component that the cluster has.
pub async fn check(cluster: &Cluster, facts: &Facts) -> Result<Vec<Finding>, Failure> {
    let mut wanted: Vec<(&str, Vec<Right>)> = vec![(installed::AGENT, AGENT.to_vec())];
    if facts.is_source() == Some(true) {
        wanted[0].1.extend(AGENT_IN_SOURCE);
        wanted.push((installed::EXTENDER, EXTENDER.to_vec()));
        let has_scheduler = facts
            .deployments
            .as_ref()
            .is_some_and(|all| all.contains_key(installed::SCHEDULER));
        wanted.extend(has_scheduler.then(|| (installed::SCHEDULER, SCHEDULER.to_vec())));
    }
    if facts.is_target() == Some(true) {
        wanted[0].1.extend(AGENT_IN_TARGET);
    }
    let mut findings = vec![];
    for (account, rights) in wanted {
        findings.push(of_account(cluster, account, &rights).await?);
    }
    Ok(findings)
}

async fn of_account(cluster: &Cluster, account: &str, rights: &[Right]) -> Result<Finding, Failure> {
    let check = format!("permissions of {account}");
    let single = rights
        .iter()
        .flat_map(|right| right.0.iter().map(move |verb| (*verb, right)));
    let asked =
        join_all(single.map(async |(verb, right)| Ok((verb, right, may(cluster, account, verb, right).await?)))).await;
    let mut lacking = vec![];
    for answer in asked {
        match answer {
            Ok((_, _, true)) => {}
            Ok((verb, (_, group, resource, _), false)) => lacking.push(match *group {
                "" => format!("{verb} {resource}"),
                group => format!("{verb} {resource}.{group}"),
            }),
            Err(error) if is_forbidden(&error) => {
                let fix = "ask for the permission to create subjectaccessreviews";
                return Ok(Finding::warning(check, "cannot be asked for by your user", fix));
            }
            Err(error) => return Err(cluster.problem(&error)),
        }
    }
    Ok(match lacking.is_empty() {
        true => Finding::ok(
            check,
            format!(
                "all {} that were asked for",
                rights.iter().map(|right| right.0.len()).sum::<usize>()
            ),
        ),
        false => Finding::error(
            check,
            format!("it may not {}", lacking.join(", ")),
            "apply the manifests, or upgrade the chart, of one version: a role or its binding is missing or has been changed",
        ),
    })
}

async fn may(cluster: &Cluster, account: &str, verb: &str, right: &Right) -> Result<bool, kube::Error> {
    let (_, group, resource, namespace) = *right;
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (resource, None),
    };
    // Leases by which a leader is chosen are granted by name.
    let name = (resource == "leases" && verb != "create").then(|| installed::SCHEDULER_LEASE.to_owned());
    let namespace_of = names::INSTALL_NAMESPACE;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace_of}:{account}")),
            groups: Some(vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace_of}"),
                "system:authenticated".into(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                group: Some(group.into()),
                resource: Some(resource.into()),
                subresource,
                name,
                namespace: Some(namespace.into()).filter(|namespace: &String| !namespace.is_empty()),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(cluster.client.clone());
    Ok(reviews
        .create(&PostParams::default(), &review)
        .await?
        .status
        .is_some_and(|status| status.allowed))
}
