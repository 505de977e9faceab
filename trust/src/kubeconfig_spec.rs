//! The spec of a Kubeconfig, parsed as input from outside: by the webhook to refuse it, and by the agent to follow it.

use std::time::Duration;

use multicluster_api::kubeconfig::{CertificateIdentity, KubeconfigCluster, KubeconfigSpec, TokenIdentity};
use multicluster_api::names;
use multicluster_api::syntax::is_subdomain;
use rustls_pki_types::ServerName;

use crate::identity::Identity;
use crate::{pem, urls};

/// Last part of the identity when none is given, and the ServiceAccount.
pub const DEFAULT_ID: &str = "default";
/// Life of credentials when none is given.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// Shortest life: Kubernetes makes no tokens for less.
pub const MIN_LIFETIME: Duration = Duration::from_secs(600);
/// Longest life of a certificate, 90 days. It cannot be taken back in the source, only in the target.
pub const MAX_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longest life of a token, a day.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Longest audience, in bytes.
const MAX_AUDIENCE: usize = 1024;

/// What a Kubeconfig asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the Secret, in the Kubeconfig's namespace.
    pub secret_name: String,
    /// The cluster that it leads to.
    pub cluster: Cluster,
    /// Who we are there.
    pub identity: Identity,
    /// How we prove it.
    pub proof: Proof,
}

/// A cluster, as a kubeconfig describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// https URL, as it was written.
    pub server: String,
    /// PEM certificates of the server's authorities in base64, on one line.
    pub certificate_authority_data: Option<String>,
    /// Name in the server's certificate.
    pub tls_server_name: Option<String>,
    /// URL of a proxy on the way there.
    pub proxy_url: Option<String>,
}

/// How we prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a certificate with the identity as its common name.
    Certificate {
        /// Life of a certificate.
        lifetime: Duration,
    },
    /// By a token.
    Token {
        /// The ServiceAccount, in the Kubeconfig's namespace.
        service_account: String,
        /// Whom the token is for; begins with [`names::AUDIENCE_PREFIX`].
        audience: String,
        /// Life of a token.
        lifetime: Duration,
    },
}

/// All that is wrong with a Kubeconfig. Each text names a field and says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidKubeconfig(pub Vec<String>);

impl Wanted {
    /// Read the spec of a Kubeconfig in this namespace.
    pub fn read(namespace: &str, spec: &KubeconfigSpec) -> Result<Self, InvalidKubeconfig> {
        let mut wrong = Vec::new();
        if !is_subdomain(&spec.secret_name) {
            wrong.push(not_a_name("spec.secretName"));
        }
        let cluster = read_cluster(&mut wrong, &spec.cluster);
        let (id, proof) = match (&spec.certificate, &spec.token) {
            (Some(_), Some(_)) => {
                wrong.push("write spec.certificate or spec.token, not both".into());
                return Err(InvalidKubeconfig(wrong));
            }
            (None, Some(token)) => read_token(&mut wrong, token, &cluster),
            (certificate, None) => read_certificate(&mut wrong, certificate.as_ref()),
        };
        match Identity::new(namespace, id) {
            Ok(identity) if wrong.is_empty() => Ok(Self {
                secret_name: spec.secret_name.clone(),
                cluster,
                identity,
                proof,
            }),
            Ok(_) => Err(InvalidKubeconfig(wrong)),
            Err(_) => {
                wrong.push(not_a_name(match &spec.token {
                    Some(_) => "spec.token.serviceAccountName",
                    None => "spec.certificate.id",
                }));
                Err(InvalidKubeconfig(wrong))
            }
        }
    }
}

fn read_certificate<'a>(wrong: &mut Vec<String>, certificate: Option<&'a CertificateIdentity>) -> (&'a str, Proof) {
    let field = "spec.certificate.expirationSeconds";
    let seconds = certificate.and_then(|certificate| certificate.expiration_seconds);
    let lifetime = read_lifetime(wrong, field, seconds, MAX_CERTIFICATE_LIFETIME);
    let id = certificate
        .and_then(|certificate| certificate.id.as_deref())
        .unwrap_or(DEFAULT_ID);
    (id, Proof::Certificate { lifetime })
}

fn read_token<'a>(wrong: &mut Vec<String>, token: &'a TokenIdentity, cluster: &Cluster) -> (&'a str, Proof) {
    let field = "spec.token.expirationSeconds";
    let lifetime = read_lifetime(wrong, field, token.expiration_seconds, MAX_TOKEN_LIFETIME);
    let audience = match &token.audience {
        Some(audience) => audience.clone(),
        None => default_audience(&cluster.server),
    };
    if token.audience.is_some() && !is_audience(&audience) {
        wrong.push(format!(
            "spec.token.audience cannot be used: write {}NAME without spaces, as oidc.audiences in the target has it, or \
             leave it out for the host and port of the server",
            names::AUDIENCE_PREFIX
        ));
    }
    let account = token.service_account_name.as_deref().unwrap_or(DEFAULT_ID);
    let proof = Proof::Token {
        service_account: account.to_owned(),
        audience,
        lifetime,
    };
    (account, proof)
}

/// The audience of tokens for this server when none is given: the host (in lower case) and port of its URL, 443 if that has
/// none, after [`names::AUDIENCE_PREFIX`].
pub fn default_audience(server: &str) -> String {
    let uri: http::Uri = server.parse().unwrap_or_default();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    format!("{}{host}:{}", names::AUDIENCE_PREFIX, uri.port_u16().unwrap_or(443))
}

/// An audience that this cluster's own API server can never be told to accept by accident: it has our prefix.
fn is_audience(audience: &str) -> bool {
    let name = audience.strip_prefix(names::AUDIENCE_PREFIX).unwrap_or_default();
    !name.is_empty() && audience.len() <= MAX_AUDIENCE && audience.bytes().all(|c| c.is_ascii_graphic())
}

fn read_cluster(wrong: &mut Vec<String>, cluster: &KubeconfigCluster) -> Cluster {
    let mut check = |result: Result<(), String>| wrong.extend(result.err());
    check(urls::https("spec.cluster.server", &cluster.server).map(drop));
    let data = cluster.certificate_authority_data.as_deref();
    let field = "spec.cluster.certificateAuthorityData";
    check(data.map_or(Ok(()), |data| pem::certificates(field, data).map(drop)));
    let name = cluster.tls_server_name.as_deref();
    if name.is_some_and(|name| ServerName::try_from(name).is_err()) {
        check(Err(
            "spec.cluster.tlsServerName cannot be used: write a DNS name or an IP address of the server's \
                   certificate"
                .into(),
        ));
    }
    let proxy = cluster.proxy_url.as_deref();
    check(proxy.map_or(Ok(()), |url| urls::proxy("spec.cluster.proxyURL", url).map(drop)));
    Cluster {
        server: cluster.server.clone(),
        certificate_authority_data: data.map(pem::one_line),
        tls_server_name: cluster.tls_server_name.clone(),
        proxy_url: cluster.proxy_url.clone(),
    }
}

fn read_lifetime(wrong: &mut Vec<String>, field: &str, seconds: Option<i64>, max: Duration) -> Duration {
    let Some(seconds) = seconds else {
        return DEFAULT_LIFETIME;
    };
    let lifetime = Duration::from_secs(seconds.try_into().unwrap_or_default());
    if !(MIN_LIFETIME..=max).contains(&lifetime) {
        let (min, max) = (MIN_LIFETIME.as_secs(), max.as_secs());
        wrong.push(format!("{field} must be from {min} to {max}"));
    }
    lifetime
}

fn not_a_name(field: &str) -> String {
    format!(
        "{field} cannot be a name: write at most 253 lower case letters, digits, - and ., with a letter or digit at both ends"
    )
}

#[cfg(test)]
mod tests;
