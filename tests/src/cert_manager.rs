//! cert-manager: its controller and its cainjector, as processes.

use std::fs;

use anyhow::Result;

use crate::{Cluster, Component, free_port};

/// The namespace of cert-manager's own resources, such as the secrets of ClusterIssuers.
const NAMESPACE: &str = "cert-manager";

impl Cluster {
    /// Installs cert-manager: custom resource definitions, controller, cainjector. Its webhook (defaults and validation of
    /// its own resources) does not run.
    pub async fn install_cert_manager(&self) -> Result<()> {
        self.apply_cert_manager_crds().await?;
        self.apply_yaml(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}"
        ))
        .await?;

        let kubeconfig = self.write_kubeconfig("cert-manager", Some("system:masters"))?;
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let controller = vec![
            kubeconfig.clone(),
            "--leader-elect=false".into(),
            format!("--cluster-resource-namespace={NAMESPACE}"),
            format!("--metrics-listen-address=127.0.0.1:{}", free_port()?),
        ];
        self.launch(Component::CertManager, "cert-manager-controller", controller)?;
        let cainjector = vec![kubeconfig, "--leader-elect=false".into()];
        self.launch(Component::CaInjector, "cert-manager-cainjector", cainjector)
    }

    pub(crate) async fn apply_cert_manager_crds(&self) -> Result<()> {
        let mut crds = Vec::new();
        for path in self.testbed().binaries().cert_manager_crds()? {
            let file = self.log_dir().join(path.file_name().unwrap_or_default());
            fs::write(&file, fill_in(&fs::read_to_string(&path)?))?;
            crds.push(file);
        }
        self.apply_crds(&crds).await
    }
}

/// The definitions are Helm templates, but only their labels are templated.
fn fill_in(template: &str) -> String {
    template
        .replace(r#"{{ template "cert-manager.name" . }}"#, "cert-manager")
        .replace("{{ .Release.Name }}", "cert-manager")
}
