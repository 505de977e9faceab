//! How the source reaches the target, and proves who it is.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use multicluster_api::names;

use super::objects::Server;
use crate::args::{Connect, Credentials};
use crate::contexts::{Cluster, authority, base64, base64_of};
use crate::facts::Facts;
use crate::failure::{Failure, problem};
use crate::installed;

/// By identity where the target can tell identities, unless the flags say otherwise.
pub fn credentials(flags: &Connect, target: &Facts) -> Result<Credentials, Failure> {
    match (flags.credentials, target.has_authproxy()) {
        (Some(Credentials::Identity), false) if target.deployments.is_some() => Err(problem(format!(
            "{}: the authenticating proxy is not installed there, so no identity would be believed: install it, or write \
             --credentials token",
            target.context
        ))),
        (Some(credentials), _) => Ok(credentials),
        (None, true) => Ok(Credentials::Identity),
        (None, false) => Ok(Credentials::Token),
    }
}

/// The target's API server, for a token.
pub fn api_server(flags: &Connect, target: &Cluster) -> Result<Server, Failure> {
    let entry = &target.entry;
    let authority = match &flags.certificate_authority {
        Some(path) => Some(base64_of(path)?),
        None => authority(entry)?,
    };
    if authority.is_none() && entry.insecure_skip_tls_verify == Some(true) {
        return Err(problem(format!(
            "your kubeconfig does not check the certificate of {}, and the source must: write --certificate-authority FILE",
            target.context
        )));
    }
    Ok(Server {
        url: flags.server.clone().unwrap_or_else(|| target.server.clone()),
        authority,
        tls_server_name: flags.tls_server_name.clone().or_else(|| entry.tls_server_name.clone()),
        proxy_url: entry.proxy_url.clone(),
    })
}

/// The target's authenticating proxy, for an identity.
pub async fn authproxy(flags: &Connect, target: &Cluster) -> Result<Server, Failure> {
    let url = match &flags.server {
        Some(url) => url.clone(),
        None => {
            let services = Api::<Service>::namespaced(target.client.clone(), names::INSTALL_NAMESPACE);
            let service = services.get_opt(names::AUTHPROXY).await;
            let service = service.map_err(|error| target.problem(&error))?;
            service.as_ref().and_then(address).ok_or_else(|| {
                problem(format!(
                    "{}: the address of its authenticating proxy is not known: its Service {}/{} has no load balancer. Write \
                     --server https://HOST[:PORT] with the address under which sources reach it, or --credentials token",
                    target.context,
                    names::INSTALL_NAMESPACE,
                    names::AUTHPROXY
                ))
            })?
        }
    };
    let authority = match &flags.certificate_authority {
        Some(path) => base64_of(path)?,
        None => certificate(target, installed::AUTHPROXY_AUTHORITY, "--certificate-authority FILE").await?,
    };
    Ok(Server {
        url,
        authority: Some(authority),
        tls_server_name: flags.tls_server_name.clone(),
        proxy_url: None,
    })
}

/// The authority of the identities that the source issues, PEM in base64.
pub async fn identity_authority(source: &Cluster) -> Result<String, Failure> {
    certificate(source, installed::IDENTITY_AUTHORITY, "--credentials token").await
}

/// The public part of a Secret with a certificate.
async fn certificate(cluster: &Cluster, name: &str, instead: &str) -> Result<String, Failure> {
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), names::INSTALL_NAMESPACE);
    let secret = secrets.get_opt(name).await.map_err(|error| cluster.problem(&error))?;
    let pem = secret.and_then(|secret| secret.data?.remove(installed::CERTIFICATE_KEY));
    match pem {
        Some(ByteString(pem)) if !pem.is_empty() => Ok(base64(pem)),
        _ => Err(problem(format!(
            "{}: there is no certificate in Secret {}/{name}: see what its Certificate says, or write {instead}",
            cluster.context,
            names::INSTALL_NAMESPACE
        ))),
    }
}

/// The URL of a Service of type LoadBalancer.
fn address(service: &Service) -> Option<String> {
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?.port;
    let ingress = service
        .status
        .as_ref()?
        .load_balancer
        .as_ref()?
        .ingress
        .as_ref()?
        .first()?;
    let host = match (&ingress.hostname, &ingress.ip) {
        (Some(name), _) => name.clone(),
        (None, Some(ip)) if ip.contains(':') => format!("[{ip}]"),
        (None, Some(ip)) => ip.clone(),
        (None, None) => return None,
    };
    Some(match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_proxys_address_is_that_of_its_load_balancer() {
        let address = |port: i32, ingress: serde_json::Value| {
            let service = json!({
                "metadata": {}, "spec": { "ports": [{ "port": port }] },
                "status": { "loadBalancer": { "ingress": ingress } },
            });
            address(&serde_json::from_value(service).unwrap())
        };
        assert_eq!(
            address(443, json!([{ "hostname": "a.b" }])).as_deref(),
            Some("https://a.b")
        );
        assert_eq!(
            address(8443, json!([{ "ip": "1.2.3.4" }])).as_deref(),
            Some("https://1.2.3.4:8443")
        );
        assert_eq!(
            address(443, json!([{ "ip": "fd00::1" }])).as_deref(),
            Some("https://[fd00::1]")
        );
        assert_eq!(address(443, json!([])), None);
    }
}
