//! Values that cannot work: what Helm answers names the value, and says what to write.

use anyhow::{Result, ensure};

use super::helm::Helm;

/// Values, and what the answer must have.
const REFUSED: &[(&[&str], &[&str])] = &[
    // By the schema.
    (&["role=sourc"], &["role", "'source', 'target', 'both'"]),
    (&["rolle=source"], &["'rolle' not allowed"]),
    (&["webhook.replicas=0"], &["/webhook/replicas", "want 1"]),
    (&["webhook.replicas=two"], &["/webhook/replicas", "want integer"]),
    (
        &["agent.image.digest=sha256:abc"],
        &["/agent/image/digest", "sha256:[a-f0-9]{64}"],
    ),
    (&["images.registry=https://example.com"], &["/images/registry"]),
    (&["images.pullPolicy=Sometimes"], &["/images/pullPolicy", "'Never'"]),
    (&["clusterName=a b"], &["/clusterName"]),
    (&["staleAfterSeconds=1"], &["/staleAfterSeconds", "want 5"]),
    (
        &["agent.dns.defaultPolicy=nearest"],
        &["/agent/dns/defaultPolicy", "'weighted'"],
    ),
    (&["kubeletApi.port=80"], &["/kubeletApi/port", "want 1,024"]),
    (&["certificates.mode=manual"], &["/certificates/mode", "'selfManaged'"]),
    (&["tracing.endpoint=collector:4318"], &["/tracing/endpoint", "https?"]),
    (&["tracing.ratio=2"], &["/tracing/ratio", "want 1"]),
    (&["tracing.ratio=1.5"], &["/tracing/ratio", "0("]),
    (
        &["webhook.resources.requests.cpu=lots"],
        &["/webhook/resources/requests/cpu"],
    ),
    (
        &["authproxy.enabled=true", "authproxy.dnsNames=[\"EU_1\"]"],
        &["/authproxy/dnsNames/0"],
    ),
    // By what only the chart knows.
    (
        &["webhook.replicas=1"],
        &[
            "webhook.podDisruptionBudget.minAvailable: 1 of 1",
            "webhook.podDisruptionBudget.enabled",
        ],
    ),
    (
        &["role=target", "agent.podDisruptionBudget.minAvailable=2"],
        &["agent.podDisruptionBudget.minAvailable: 2 of 2"],
    ),
    (
        &[
            "monitoring.podMonitor.enabled=true",
            "monitoring.serviceMonitor.enabled=true",
        ],
        &["monitoring.serviceMonitor.enabled: with monitoring.podMonitor.enabled"],
    ),
    (
        &["role=target", "scheduler.mode=own"],
        &["scheduler.mode: own is for a source", "source or both for role"],
    ),
    (
        &["authproxy.enabled=true"],
        &["authproxy.dnsNames: write the name", "authproxy.inClusterOnly=true"],
    ),
    (
        &[
            "role=source",
            "authproxy.enabled=true",
            "authproxy.dnsNames=[\"a.example.com\"]",
        ],
        &["authproxy.enabled: the proxy is for a target"],
    ),
    (
        &["certificates.mode=existing"],
        &["certificates.existing.webhook.caBundle: write"],
    ),
    (
        &[
            "certificates.mode=existing",
            "certificates.existing.webhook.caBundle=bm9uZQ==",
        ],
        &["certificates.existing.webhook.caBundle: this is no certificate"],
    ),
    (
        &[
            "certificates.mode=existing",
            "role=target",
            "authproxy.enabled=true",
            "authproxy.inClusterOnly=true",
        ],
        &["certificates.existing.authproxy.secretName: write"],
    ),
    (
        &["certificates.mode=selfManaged", "certificates.issuerRef.name=mine"],
        &["certificates.issuerRef.name: an issuer is for certificates.mode certManager"],
    ),
    (
        &["identities.enabled=true", "kubeconfigs.enabled=false"],
        &["identities.enabled: ", "kubeconfigs.enabled is false"],
    ),
    (
        &["agent.extraEnv=[{\"name\": \"ROLES\", \"value\": \"source\"}]"],
        &["agent.extraEnv: ROLES is there already"],
    ),
    (
        &["agent.extraEnv=[{\"name\": \"A\", \"value\": \"1\"}, {\"name\": \"A\", \"value\": \"2\"}]"],
        &["agent.extraEnv: A is there already"],
    ),
    (
        &["webhook.podLabels={\"app.kubernetes.io/name\": \"mine\"}"],
        &["webhook.podLabels: app.kubernetes.io/name is the chart's own"],
    ),
];

pub async fn all(helm: Helm) -> Result<()> {
    for (values, words) in REFUSED {
        let Err(answer) = helm.template(values).await else {
            anyhow::bail!("{values:?} is not refused");
        };
        // The command line names the values, too.
        let answer = format!("{answer:#}");
        let answer = answer.split_once("Error: ").map_or(answer.as_str(), |(_, said)| said);
        for word in *words {
            ensure!(answer.contains(word), "{values:?}: no {word} in {answer}");
        }
    }
    let chart = helm.chart();
    let elsewhere = helm.run(&["template", "m", &chart, "--namespace", "elsewhere"]).await;
    let answer = format!("{:#}", elsewhere.unwrap_err());
    ensure!(
        answer.contains("write --namespace multicluster-scheduler --create-namespace, not elsewhere"),
        "{answer}"
    );
    let old = helm
        .run(&[
            "template",
            "m",
            &chart,
            "--namespace",
            "multicluster-scheduler",
            "--kube-version",
            "1.29.9",
        ])
        .await;
    let answer = format!("{:#}", old.unwrap_err());
    ensure!(answer.contains(">=1.30"), "{answer}");
    Ok(())
}
