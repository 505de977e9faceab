//! metrics-server as a pod, as its own manifests install it: see the folder `manifests` of its module.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Cluster, Image};
use crate::Testbed;
use crate::metrics_server::{NAME, NAMESPACE, RIGHTS, arguments};

const IMAGE: &str = "testbed.local/metrics-server:1";
const PORT: u16 = 10251;

/// The image, written into the testbed's folder.
pub async fn metrics_server_image(testbed: &Testbed) -> Result<PathBuf> {
    let program = testbed.binaries().with_metrics_server().await?.find(NAME)?;
    Image::of(IMAGE, "/metrics-server", program).write(&testbed.dir().join("images"))
}

impl Cluster {
    /// Installs metrics-server, of the image of [`metrics_server_image`]. It asks every node, the virtual ones too, each 10
    /// seconds, and believes no kubelet whose certificate the cluster's authority has not signed.
    pub async fn install_metrics_server(&self) -> Result<()> {
        self.apply_yaml(RIGHTS).await?;
        for object in manifests(&self.authority().pair().certificate) {
            self.apply_yaml(&object.to_string()).await?;
        }
        Ok(())
    }
}

fn manifests(authority: &str) -> Vec<Value> {
    let labels = json!({ "k8s-app": NAME });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": "system:aggregated-metrics-reader",
                "labels": {
                    "rbac.authorization.k8s.io/aggregate-to-admin": "true",
                    "rbac.authorization.k8s.io/aggregate-to-edit": "true",
                    "rbac.authorization.k8s.io/aggregate-to-view": "true",
                },
            },
            "rules": [
                { "apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"] },
            ],
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "metrics-server-kubelets", "namespace": NAMESPACE }, "data": { "ca.crt": authority },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels },
            "spec": { "selector": labels, "ports": [{ "name": "https", "port": 443, "targetPort": "https" }] },
        }),
        deployment(&labels),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": { "name": "v1beta1.metrics.k8s.io" },
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1",
                "groupPriorityMinimum": 100, "versionPriority": 100,
                // Its serving certificate is its own.
                "insecureSkipTLSVerify": true,
                "service": { "name": NAME, "namespace": NAMESPACE },
            },
        }),
    ]
}

fn deployment(labels: &Value) -> Value {
    let mut args = arguments(PORT);
    args.extend(["--cert-dir=/tmp", "--kubelet-certificate-authority=/kubelets/ca.crt"].map(String::from));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": NAME,
                    "containers": [{
                        "name": NAME,
                        "image": IMAGE,
                        "args": args,
                        "ports": [{ "name": "https", "containerPort": PORT }],
                        "readinessProbe": {
                            "httpGet": { "path": "/readyz", "port": "https", "scheme": "HTTPS" },
                            "periodSeconds": 2,
                            "failureThreshold": 30,
                        },
                        "volumeMounts": [
                            { "name": "tmp", "mountPath": "/tmp" },
                            { "name": "kubelets", "mountPath": "/kubelets" },
                        ],
                    }],
                    "volumes": [
                        { "name": "tmp", "emptyDir": {} },
                        { "name": "kubelets", "configMap": { "name": "metrics-server-kubelets" } },
                    ],
                },
            },
        },
    })
}
