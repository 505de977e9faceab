//! cert-manager, as the pods that a user installs: controller, cainjector, webhook.
//!
//! Its own manifests are published as a Helm chart only, which no Go module carries. These stand in for them: the same
//! Deployments, with more rights than theirs.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Cluster, Image};
use crate::Testbed;

const NAMESPACE: &str = "cert-manager";
/// The webhook's port.
const PORT: u16 = 10250;
/// The programs: the name of the Deployment, ours, and what it is told.
const PARTS: [(&str, &str, &[&str]); 3] = [
    (
        "cert-manager",
        "cert-manager-controller",
        &[
            "--cluster-resource-namespace=cert-manager",
            "--leader-election-namespace=cert-manager",
        ],
    ),
    (
        "cert-manager-cainjector",
        "cert-manager-cainjector",
        &["--leader-election-namespace=cert-manager"],
    ),
    (
        "cert-manager-webhook",
        "cert-manager-webhook",
        &[
            "--secure-port=10250",
            "--dynamic-serving-ca-secret-namespace=cert-manager",
            "--dynamic-serving-ca-secret-name=cert-manager-webhook-ca",
            "--dynamic-serving-dns-names=cert-manager-webhook,cert-manager-webhook.cert-manager,cert-manager-webhook.cert-manager.svc",
        ],
    ),
];

fn image(program: &str) -> String {
    format!("testbed.local/{program}:1")
}

/// The images, written into the testbed's folder.
pub fn cert_manager_images(testbed: &Testbed) -> Result<Vec<PathBuf>> {
    let folder = testbed.dir().join("images");
    let write = |(_, program, _): (_, &str, _)| {
        let file = testbed.binaries().find(program)?;
        Image::of(&image(program), &format!("/{program}"), file).write(&folder)
    };
    PARTS.into_iter().map(write).collect()
}

impl Cluster {
    /// Installs cert-manager, of the images of [`cert_manager_images`]. `kubectl wait` tells when it is there.
    pub async fn install_cert_manager_pods(&self) -> Result<()> {
        self.apply_cert_manager_crds().await?;
        for object in manifests() {
            self.apply_yaml(&object.to_string()).await?;
        }
        Ok(())
    }
}

fn manifests() -> Vec<Value> {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": NAMESPACE, "namespace": NAMESPACE },
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": NAMESPACE },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": NAMESPACE, "namespace": NAMESPACE }],
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "cert-manager-webhook", "namespace": NAMESPACE },
            "spec": {
                "selector": { "app": "cert-manager-webhook" },
                "ports": [{ "name": "https", "port": 443, "targetPort": PORT }],
            },
        }),
        webhook("MutatingWebhookConfiguration", "/mutate"),
        webhook("ValidatingWebhookConfiguration", "/validate"),
    ];
    objects.extend(PARTS.map(|(name, program, args)| deployment(name, program, args)));
    objects
}

fn deployment(name: &str, program: &str, args: &[&str]) -> Value {
    let namespace =
        json!({ "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } });
    let mut container = json!({ "name": name, "image": image(program), "args": args, "env": [namespace] });
    if name == "cert-manager-webhook" {
        container["readinessProbe"] = json!({
            "httpGet": { "path": "/healthz", "port": 6080 }, "periodSeconds": 2,
        });
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "serviceAccountName": NAMESPACE, "containers": [container] },
            },
        },
    })
}

/// As in its chart: its authority is filled in by the cainjector.
fn webhook(kind: &str, path: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {
            "name": "cert-manager-webhook",
            "annotations": { "cert-manager.io/inject-ca-from-secret": "cert-manager/cert-manager-webhook-ca" },
        },
        "webhooks": [{
            "name": "webhook.cert-manager.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": { "service": { "name": "cert-manager-webhook", "namespace": NAMESPACE, "path": path } },
            "rules": [{
                "apiGroups": ["cert-manager.io", "acme.cert-manager.io"], "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"], "resources": ["*/*"],
            }],
            "timeoutSeconds": 10,
        }],
    })
}
