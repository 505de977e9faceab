//! What the chart renders, without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::manifests::described;
use testbed::product::repository;

use super::helm::{Helm, name_of};

pub async fn lint(helm: Helm) -> Result<()> {
    let chart = helm.chart();
    helm.run(&["lint", "--strict", &chart]).await.map(drop)
}

/// Values and schema name the same, so that no misspelt value passes, and each has a comment: `described` fails otherwise.
pub async fn values(_helm: Helm) -> Result<()> {
    let chart = repository().join("manifests/chart");
    let values = described(&std::fs::read_to_string(chart.join("values.yaml"))?)?;
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(chart.join("values.schema.json"))?)?;
    let mut known = BTreeSet::new();
    leaves(&schema, &schema, "", &mut known)?;
    // What Helm gives to a chart that is part of another one.
    known.remove("global");
    for value in values.iter().filter(|value| value.default.is_some()) {
        let within = format!("{}.", value.name);
        let before = known.len();
        known.retain(|name| *name != value.name && !name.starts_with(&within));
        ensure!(known.len() < before, "{} is not in the schema", value.name);
    }
    ensure!(known.is_empty(), "in the schema, but not in values.yaml: {known:?}");
    Ok(())
}

/// Names of what has no properties of its own.
fn leaves(root: &Value, schema: &Value, name: &str, known: &mut BTreeSet<String>) -> Result<()> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root
            .pointer(reference.trim_start_matches('#'))
            .with_context(|| reference.to_owned())?,
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        known.insert(name.to_owned());
        return Ok(());
    };
    ensure!(schema["additionalProperties"] == false, "{name} takes anything");
    for (key, property) in properties {
        let name = if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        };
        leaves(root, property, &name, known)?;
    }
    Ok(())
}

/// The objects of each role.
pub async fn roles(helm: Helm) -> Result<()> {
    for role in ["source", "target", "both"] {
        let mut names: Vec<String> = helm
            .template(&[&format!("role={role}")])
            .await?
            .iter()
            .map(name_of)
            .collect();
        names.sort();
        insta::with_settings!({ prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("role-{role}"), names.join("\n"));
        });
    }
    Ok(())
}

/// Values, and what they change in what is rendered without them.
const CHANGES: &[(&str, &[&str])] = &[
    (
        "images",
        &[
            "images.registry=registry.example.com/team",
            "images.tag=v9",
            "images.pullPolicy=Never",
            "images.pullSecrets=[\"pull\"]",
            "webhook.image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
    ),
    ("own-scheduler", &["scheduler.mode=own"]),
    (
        "issuer",
        &[
            "certificates.issuerRef.name=corporate",
            "certificates.issuerRef.kind=ClusterIssuer",
        ],
    ),
    (
        "existing-certificates",
        &[
            "certificates.mode=existing",
            "certificates.existing.webhook.secretName=a",
            "certificates.existing.webhook.caBundle=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
            "certificates.existing.extender.secretName=b",
            "certificates.existing.schedulerClient.secretName=c",
        ],
    ),
    ("no-kubeconfigs", &["kubeconfigs.enabled=false"]),
    ("no-kubelet-api", &["kubeletApi.enabled=false"]),
    (
        "kubelet-api",
        &[
            "kubeletApi.port=10260",
            "kubeletApi.signer=example.com/serving",
            "kubeletApi.approve=false",
        ],
    ),
    (
        "authproxy",
        &[
            "authproxy.enabled=true",
            "authproxy.dnsNames=[\"eu.example.com\"]",
            "authproxy.ipAddresses=[\"192.0.2.1\"]",
            "authproxy.service.type=LoadBalancer",
            "authproxy.service.annotations={\"example.com/nlb\": \"true\"}",
        ],
    ),
    (
        "programs",
        &[
            "clusterName=eu",
            "staleAfterSeconds=20",
            "agent.network=flat",
            "agent.publishNodes=false",
            "agent.dns.enabled=false",
            "extender.scorePolicy=pack",
            "webhook.defaultTolerationSeconds=60",
            "logs.level=debug",
            "tracing.endpoint=http://collector.tracing:4318",
            "tracing.ratio=0.5",
            "agent.extraArgs=[\"--leader-elect-lease-duration=8s\"]",
            "agent.extraEnv=[{\"name\": \"HTTPS_PROXY\", \"value\": \"http://proxy:3128\"}]",
        ],
    ),
    (
        "placement",
        &[
            "agent.replicas=3",
            "agent.podDisruptionBudget.minAvailable=2",
            "agent.priorityClassName=",
            "agent.nodeSelector={\"disk\": \"ssd\"}",
            "agent.tolerations=[{\"operator\": \"Exists\"}]",
            "agent.affinity={\"nodeAffinity\": {}}",
            "agent.topologySpreadConstraints=[]",
            "agent.podAnnotations={\"a\": \"b\"}",
            "agent.podLabels={\"c\": \"d\"}",
            "agent.resources.limits.memory=2Gi",
            "webhook.podDisruptionBudget.enabled=false",
        ],
    ),
    ("network-policies", &["networkPolicies.enabled=true"]),
    (
        "monitoring",
        &[
            "monitoring.podMonitor.enabled=true",
            "monitoring.podMonitor.labels={\"release\": \"prometheus\"}",
            "monitoring.prometheusRule.enabled=true",
            "monitoring.dashboard.enabled=true",
        ],
    ),
    (
        "service-monitor",
        &[
            "monitoring.serviceMonitor.enabled=true",
            "monitoring.serviceMonitor.labels={\"release\": \"prometheus\"}",
            "monitoring.serviceMonitor.interval=15s",
        ],
    ),
    (
        "definitions-go",
        &[
            "crds.keep=false",
            "uninstall.timeoutSeconds=60",
            "namespace.create=true",
            "namespace.quota=0",
        ],
    ),
    (
        "no-definitions-no-hook",
        &["crds.install=false", "uninstall.hook=false"],
    ),
];

pub async fn changes(helm: Helm) -> Result<()> {
    let plain = by_name(helm.template(&[]).await?);
    for (name, values) in CHANGES {
        let given = by_name(helm.template(values).await?);
        let mut lines = vec![];
        for name in plain.keys().chain(given.keys()).collect::<BTreeSet<_>>() {
            match (plain.get(name), given.get(name)) {
                (Some(before), Some(after)) => differences(before, after, name, &mut lines),
                (Some(_), None) => lines.push(format!("- {name}")),
                (None, Some(after)) => match after.get("spec") {
                    Some(spec) => lines.push(format!("+ {name}: {}", short(spec))),
                    None => lines.push(format!("+ {name}")),
                },
                (None, None) => {}
            }
        }
        insta::with_settings!({ prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("values-{name}"), lines.join("\n"));
        });
    }
    Ok(())
}

/// With `scorePolicy=pack` kube-scheduler, the second one or the cluster's own, does not spread replicas over clusters.
pub async fn packing(helm: Helm) -> Result<()> {
    for (mode, name) in [
        ("second", "multicluster-kube-scheduler"),
        ("own", "multicluster-own-scheduler"),
    ] {
        for (policy, wanted) in [("spread", 1), ("pack", 0)] {
            let values = [
                format!("scheduler.mode={mode}"),
                format!("extender.scorePolicy={policy}"),
            ];
            let objects = by_name(helm.template(&values.each_ref().map(String::as_str)).await?);
            let map = objects.get(&format!("ConfigMap {name}"));
            let map = map.with_context(|| format!("no ConfigMap {name} among {:?}", objects.keys()))?;
            let text = map["data"]["config.yaml"].as_str().context("no configuration")?;
            let config: Value = serde_saphyr::from_str(text)?;
            let profiles = config["profiles"].as_array().into_iter().flatten();
            let plugins = profiles
                .filter_map(|profile| profile["pluginConfig"].as_array())
                .flatten();
            let mut spreading = plugins.filter(|plugin| plugin["name"] == "PodTopologySpread");
            let spreading = spreading.next().context("spreading is kube-scheduler's own")?;
            ensure!(
                spreading["args"]["defaultingType"] == "List",
                "{mode}, {policy}: {text}"
            );
            let constraints = spreading["args"]["defaultConstraints"].as_array().map_or(0, Vec::len);
            ensure!(constraints == wanted, "{mode}, {policy}: {text}");
        }
    }
    Ok(())
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (name_of(&object), object)).collect()
}

fn differences(before: &Value, after: &Value, path: &str, lines: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                let path = format!("{path} .{key}");
                match (before.get(key), after.get(key)) {
                    (Some(before), Some(after)) => differences(before, after, &path, lines),
                    (Some(before), None) => lines.push(format!("{path}: {} is gone", short(before))),
                    (None, Some(after)) => lines.push(format!("{path}: {}", short(after))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                differences(before, after, &format!("{path} {number}"), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            let gone = before.iter().filter(|item| !after.contains(item));
            lines.extend(gone.map(|item| format!("{path} - {}", short(item))));
            let new = after.iter().filter(|item| !before.contains(item));
            lines.extend(new.map(|item| format!("{path} + {}", short(item))));
        }
        (before, after) => lines.push(format!("{path}: {} → {}", short(before), short(after))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Text with what YAML and templates give a meaning to is text where it arrives.
pub async fn hostile(helm: Helm) -> Result<()> {
    for text in [
        "\"}\n---\nkind: Secret",
        "{{ .Values }}",
        "x: y # z",
        "- a",
        "*a",
        "'",
        "\\",
        "yes",
        "1e3",
        "\t",
    ] {
        let given = Value::from(text).to_string();
        let values = [
            format!("logs.level={given}"),
            format!("agent.extraArgs=[{given}]"),
            format!("agent.extraEnv=[{{\"name\": \"A\", \"value\": {given}}}]"),
            format!("agent.podAnnotations={{\"a\": {given}}}"),
            format!("agent.nodeSelector={{\"n\": {given}}}"),
            format!("authproxy.service.annotations={{\"s\": {given}}}"),
            "authproxy.enabled=true".to_owned(),
            "authproxy.inClusterOnly=true".to_owned(),
        ];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let objects = by_name(helm.template(&values).await.with_context(|| given.clone())?);
        let pod = &objects["Deployment multicluster-agent"]["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        ensure!(container["args"][0] == text, "{given}: {}", container["args"]);
        let env = |name: &str| {
            let mut all = container["env"].as_array().into_iter().flatten();
            all.find(|variable| variable["name"] == name)
                .map(|found| found["value"].clone())
        };
        ensure!(
            env("A") == Some(text.into()) && env("LOG_LEVEL") == Some(text.into()),
            "{given}"
        );
        ensure!(pod["metadata"]["annotations"]["a"] == text, "{given}");
        ensure!(pod["spec"]["nodeSelector"]["n"] == text, "{given}");
        let service = &objects["Service multicluster-authproxy"];
        ensure!(service["metadata"]["annotations"]["s"] == text, "{given}");
    }
    Ok(())
}

/// Who gives a variable that the chart sets already is told so, and does not get a Deployment with two of them.
pub async fn own_variables(helm: Helm) -> Result<()> {
    let all = ["programs", "kubelet-api", "authproxy"].map(|name| CHANGES.iter().find(|(other, _)| *other == name));
    let mut values: Vec<&str> = all
        .iter()
        .flatten()
        .flat_map(|(_, values)| values.iter().copied())
        .collect();
    values.retain(|value| !value.starts_with("agent.extraEnv") && !value.starts_with("kubeletApi.approve"));
    values.extend([
        "kubeletApi.approve=true",
        "agent.slowAfterSeconds=2",
        "agent.massFailureThreshold=0.5",
        "agent.dns.defaultPolicy=simple",
        "agent.dns.ttl=5",
        "extender.scheduleTimeoutSeconds=60",
    ]);
    let mut names = BTreeSet::new();
    for object in helm.template(&values).await? {
        if object["kind"] == "Deployment" {
            let env = &object["spec"]["template"]["spec"]["containers"][0]["env"];
            let variables = env.as_array().into_iter().flatten();
            names.extend(variables.filter_map(|variable| variable["name"].as_str().map(str::to_owned)));
        }
    }
    ensure!(names.len() > 30, "few variables: {names:?}");
    let list = std::fs::read_to_string(repository().join("manifests/chart/templates/_validate.tpl"))?;
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !list.contains(&format!("\"{name}\"")))
        .collect();
    ensure!(missing.is_empty(), "not refused in extraEnv: {missing:?}");
    Ok(())
}
