//! An ingress controller: Debian's nginx on the node's address, told by the cluster's Ingresses where to go.
//!
//! It stands in for those that users have, which no Go module builds. It knows what the tutorial needs: hosts, paths by prefix, and
//! Services' ready endpoints, by their pods' own addresses; and it publishes its address, as others do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::EndpointSlice,
    networking::v1::{HTTPIngressPath, Ingress},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::AbortHandle;

use super::Cluster;
use crate::Process;

/// The class of Ingresses that are served.
const CLASS: &str = "nginx";
/// How often the cluster is asked.
const PERIOD: Duration = Duration::from_millis(500);
const NGINX: &str = "/usr/sbin/nginx";

/// A running ingress controller. Dropped, it ends.
pub struct Ingresses {
    _nginx: Arc<Process>,
    follower: AbortHandle,
}

impl Ingresses {
    /// Starts it in the cluster, at port 80 of its node.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let folder = cluster.log_dir().join("nginx");
        fs::create_dir_all(&folder)?;
        ensure!(
            Path::new(NGINX).is_file(),
            "{NGINX} is missing: run tests/real-nodes-setup"
        );
        let file = folder.join("nginx.conf");
        let address = cluster.address().to_string();
        fs::write(&file, configuration(&folder, &address, &BTreeMap::new()))?;
        let args = [
            "-c".to_owned(),
            file.display().to_string(),
            "-p".to_owned(),
            folder.display().to_string(),
        ];
        let nginx = Arc::new(cluster.spawn("nginx", Path::new(NGINX), &args)?);
        let follower = Follower {
            client: cluster.client(),
            nginx: nginx.clone(),
            folder,
            file,
            address,
        };
        let follower = tokio::spawn(follower.run()).abort_handle();
        Ok(Self {
            _nginx: nginx,
            follower,
        })
    }
}

impl Drop for Ingresses {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Servers' addresses by host and path.
type Routes = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

struct Follower {
    client: Client,
    nginx: Arc<Process>,
    folder: PathBuf,
    file: PathBuf,
    address: String,
}

impl Follower {
    async fn run(self) {
        loop {
            if let Err(error) = self.turn().await {
                // The log of nginx is where one looks.
                let log = self.folder.join("controller.log");
                let _ = fs::write(log, format!("{error:#}\n"));
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn turn(&self) -> Result<()> {
        let ingresses = Api::<Ingress>::all(self.client.clone())
            .list(&ListParams::default())
            .await?;
        let mut routes = Routes::new();
        for ingress in ingresses {
            let spec = ingress.spec.clone().unwrap_or_default();
            if spec.ingress_class_name.as_deref() != Some(CLASS) {
                continue;
            }
            let namespace = ingress.namespace().unwrap_or_default();
            for rule in spec.rules.unwrap_or_default() {
                let host = routes.entry(rule.host.unwrap_or_else(|| "_".into())).or_default();
                for path in rule.http.map(|http| http.paths).unwrap_or_default() {
                    let servers = self.servers(&namespace, &path).await?;
                    host.insert(path.path.unwrap_or_else(|| "/".into()), servers);
                }
            }
            self.publish(&ingress).await?;
        }
        let wanted = configuration(&self.folder, &self.address, &routes);
        if fs::read_to_string(&self.file)? != wanted {
            fs::write(&self.file, wanted)?;
            self.nginx.signal(Signal::SIGHUP)?;
        }
        Ok(())
    }

    /// Addresses and ports of the ready endpoints behind a path.
    async fn servers(&self, namespace: &str, path: &HTTPIngressPath) -> Result<BTreeSet<String>> {
        let backend = path.backend.service.as_ref().context("a backend that is no Service")?;
        let port = backend.port.clone().unwrap_or_default();
        let service = Api::<Service>::namespaced(self.client.clone(), namespace)
            .get_opt(&backend.name)
            .await?;
        let ports = service.and_then(|service| service.spec?.ports).unwrap_or_default();
        let chosen = ports
            .into_iter()
            .find(|of| (of.name.is_some() && of.name == port.name) || Some(of.port) == port.number);
        let Some(chosen) = chosen else {
            return Ok(BTreeSet::new());
        };
        let of = ListParams::default().labels(&format!("kubernetes.io/service-name={}", backend.name));
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), namespace)
            .list(&of)
            .await?;
        let mut servers = BTreeSet::new();
        for slice in slices {
            let ports = slice.ports.unwrap_or_default();
            let number = ports
                .into_iter()
                .find(|port| port.name == chosen.name)
                .and_then(|port| port.port);
            let Some(number) = number else { continue };
            for endpoint in slice.endpoints.unwrap_or_default() {
                let ready = endpoint.conditions.and_then(|conditions| conditions.ready);
                if ready.unwrap_or(true) {
                    servers.extend(endpoint.addresses.iter().map(|address| format!("{address}:{number}")));
                }
            }
        }
        Ok(servers)
    }

    async fn publish(&self, ingress: &Ingress) -> Result<()> {
        let known = ingress
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.as_deref());
        if known == Some(&self.address) {
            return Ok(());
        }
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), &ingress.namespace().unwrap_or_default());
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": self.address }] } } });
        api.patch_status(&ingress.name_any(), &PatchParams::default(), &Patch::Merge(status))
            .await?;
        Ok(())
    }
}

fn configuration(folder: &Path, address: &str, routes: &Routes) -> String {
    let folder = folder.display();
    let (mut upstreams, mut servers) = (String::new(), String::new());
    for (number, (host, paths)) in routes.iter().enumerate() {
        let mut locations = String::new();
        for (place, (path, addresses)) in paths.iter().enumerate() {
            let answer = if addresses.is_empty() {
                "return 503;".to_owned()
            } else {
                let members: String = addresses.iter().map(|address| format!("server {address}; ")).collect();
                let _ = writeln!(upstreams, "  upstream u{number}_{place} {{ {members}}}");
                format!("proxy_pass http://u{number}_{place};")
            };
            let _ = writeln!(locations, "    location {path} {{ {answer} }}");
        }
        let _ = writeln!(
            servers,
            "  server {{\n    listen {address}:80;\n    server_name {host};\n{locations}  }}"
        );
    }
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 512; }}\nhttp {{\n  access_log {folder}/access.log;\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         {upstreams}  server {{ listen {address}:80 default_server; return 404; }}\n{servers}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lead_to_endpoints_and_nobody_elsewhere() {
        let servers = BTreeSet::from(["10.0.0.1:8080".to_owned(), "10.0.0.2:8080".to_owned()]);
        let paths = BTreeMap::from([("/".to_owned(), servers), ("/none".to_owned(), BTreeSet::new())]);
        let text = configuration(
            Path::new("f"),
            "10.0.0.9",
            &Routes::from([("a.example".to_owned(), paths)]),
        );
        assert!(
            text.contains("upstream u0_0 { server 10.0.0.1:8080; server 10.0.0.2:8080; }"),
            "{text}"
        );
        assert!(text.contains("location / { proxy_pass http://u0_0; }"), "{text}");
        assert!(text.contains("location /none { return 503; }"), "{text}");
        assert!(text.contains("default_server; return 404;"), "{text}");
    }
}
