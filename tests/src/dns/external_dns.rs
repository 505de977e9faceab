//! external-dns, with a ServiceAccount of its own that may do what its zone's sources need.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::server::Etcd;
use super::{Route53, Zone};
use crate::product::admin_get;
use crate::{Binaries, Cluster, Process, Testbed, eventually, free_port};

/// Where the ServiceAccounts are.
const NAMESPACE: &str = "external-dns";
/// How long it may take to start, on a machine that is busy otherwise.
const START: Duration = Duration::from_secs(60);

/// Starts the external-dns of one zone and waits until it has synchronised once.
pub(super) async fn start(
    testbed: &Testbed,
    binaries: &Binaries,
    source: &Cluster,
    zone: Zone,
    etcd: &Etcd,
    route53: &Route53,
) -> Result<Process> {
    let name = format!("external-dns-{}", zone.name().replace('.', "-"));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": rights(&name, zone) });
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    source.apply_yaml(&namespace.to_string()).await?;
    source.apply_yaml(&list.to_string()).await?;
    let kubeconfig = testbed.dir().join(format!("{name}.kubeconfig"));
    fs::write(&kubeconfig, source.service_account_kubeconfig(NAMESPACE, &name).await?)?;

    let port = free_port()?;
    let mut args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--metrics-address=127.0.0.1:{port}"),
        format!("--domain-filter={}", zone.name()),
        "--registry=noop".to_owned(),
        "--policy=sync".to_owned(),
        // The shortest that it knows: what is measured is our part, and these intervals are users' choice.
        "--interval=1s".to_owned(),
        "--min-event-sync-interval=1s".to_owned(),
        "--events".to_owned(),
        "--managed-record-types=A".to_owned(),
        "--managed-record-types=AAAA".to_owned(),
        "--managed-record-types=CNAME".to_owned(),
    ];
    let sources: &[&str] = match zone {
        Zone::Status => &["ingress", "service", "gateway-httproute"],
        _ => &["crd"],
    };
    args.extend(sources.iter().map(|source| format!("--source={source}")));
    match zone {
        Zone::Weighted => args.push("--provider=aws".to_owned()),
        _ => args.push("--provider=coredns".to_owned()),
    }
    let mut env = route53.env();
    env.push(("ETCD_URLS".to_owned(), etcd.url.clone()));
    let process = testbed.spawn(&name, &binaries.find("external-dns")?, args, env)?;
    eventually(&format!("{name} to synchronise"), START, async || {
        process.check()?;
        let metrics = admin_get(port, "/metrics").await?;
        let last = "external_dns_controller_last_sync_timestamp_seconds ";
        Ok(metrics
            .lines()
            .find_map(|line| line.strip_prefix(last))
            .is_some_and(|at| at != "0")
            .then_some(()))
    })
    .await?;
    Ok(process)
}

/// What the sources of a zone need: external-dns's documentation names these rules.
fn rights(name: &str, zone: Zone) -> Vec<Value> {
    let watch = ["get", "list", "watch"];
    let rules = match zone {
        Zone::Status => json!([
            { "apiGroups": [""], "resources": ["services", "pods", "nodes", "namespaces"], "verbs": watch },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch },
            { "apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": watch },
            { "apiGroups": ["gateway.networking.k8s.io"], "resources": ["gateways", "httproutes"], "verbs": watch },
        ]),
        _ => json!([
            { "apiGroups": ["externaldns.k8s.io"], "resources": ["dnsendpoints"], "verbs": watch },
            { "apiGroups": ["externaldns.k8s.io"], "resources": ["dnsendpoints/status"], "verbs": ["update"] },
        ]),
    };
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": NAMESPACE } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": name }, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }],
        }),
    ]
}
