//! What a Secret's kubeconfig says, parsed as input from outside.
//!
//! Whoever may write a Target and a Secret in one namespace decides what this process does with the kubeconfig. So it
//! may hold data only: no program to run (`exec`, `auth-provider`) and no path into this process' file system. Error
//! messages never quote it.

use k8s_openapi::ByteString;
use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::ConnectError;

/// Largest kubeconfig that is looked at, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// A client for the cluster that the kubeconfig's context names.
pub async fn client(text: &ByteString, context: Option<&str>) -> Result<Client, ConnectError> {
    let kubeconfig = parse(text, context)?;
    let options = KubeConfigOptions {
        context: context.map(Into::into),
        ..Default::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|_| {
            invalid("its server, certificate data or proxy cannot be used: write an https URL and base64 data")
        })?;
    multicluster_runtime::cluster::tune(&mut config);
    Client::try_from(config).map_err(|_| invalid("its certificates or keys cannot be used: write PEM data in base64"))
}

/// Parse, and refuse what reaches out of the text itself.
pub fn parse(text: &ByteString, context: Option<&str>) -> Result<Kubeconfig, ConnectError> {
    if text.0.len() > MAX_BYTES {
        return Err(invalid("larger than 256 KiB"));
    }
    let text = std::str::from_utf8(&text.0).map_err(|_| invalid("not UTF-8 text"))?;
    // The parser's own message may quote a line, and the line may be a token.
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| invalid("not a kubeconfig in YAML or JSON"))?;
    let wanted = context
        .or(kubeconfig.current_context.as_deref())
        .ok_or_else(|| invalid("no current-context: set it, or name one in kubeconfigSecret.context"))?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == wanted)
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| invalid("the wanted context is not in it: see kubeconfigSecret.context and current-context"))?;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| named.name == context.cluster)
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| invalid("the context's cluster is not in it"))?;
    check_cluster(cluster)?;
    let user = kubeconfig
        .auth_infos
        .iter()
        .find(|named| Some(&named.name) == context.user.as_ref());
    check_user(
        user.and_then(|named| named.auth_info.as_ref())
            .ok_or_else(|| invalid("the context's user is not in it"))?,
    )?;
    Ok(kubeconfig)
}

fn check_cluster(cluster: &Cluster) -> Result<(), ConnectError> {
    if cluster.certificate_authority.is_some() {
        return Err(invalid(
            "certificate-authority is a path: write certificate-authority-data",
        ));
    }
    match cluster.server.as_deref() {
        Some(server) if server.starts_with("https://") => Ok(()),
        Some(_) => Err(invalid("the server's URL must begin with https://")),
        None => Err(invalid("the cluster has no server")),
    }
}

fn check_user(user: &AuthInfo) -> Result<(), ConnectError> {
    for (given, message) in [
        (
            user.exec.is_some(),
            "exec would run a program: write a token or client-certificate-data",
        ),
        (
            user.auth_provider.is_some(),
            "auth-provider is not supported: write a token or client-certificate-data",
        ),
        (user.token_file.is_some(), "tokenFile is a path: write token"),
        (
            user.client_certificate.is_some(),
            "client-certificate is a path: write client-certificate-data",
        ),
        (user.client_key.is_some(), "client-key is a path: write client-key-data"),
    ] {
        if given {
            return Err(invalid(message));
        }
    }
    Ok(())
}

fn invalid(message: &str) -> ConnectError {
    ConnectError::InvalidKubeconfig(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> ByteString {
        ByteString(
            format!(
                "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: k, \
                 user: u}}}}], clusters: [{{name: k, cluster: {{{cluster}}}}}], users: [{{name: u, user: {{{user}}}}}]}}"
            )
            .into_bytes(),
        )
    }

    #[test]
    fn data_is_taken() {
        assert!(parse(&kubeconfig("server: 'https://127.0.0.1:1'", "token: t"), None).is_ok());
    }

    #[test]
    fn what_reaches_out_is_refused_and_nothing_is_quoted() {
        let server = "server: 'https://127.0.0.1:1'";
        for (text, hint) in [
            (kubeconfig("server: 'http://127.0.0.1:1'", "token: s3cret"), "https"),
            (
                kubeconfig(
                    &format!("{server}, certificate-authority: /etc/s3cret"),
                    "token: s3cret",
                ),
                "authority-data",
            ),
            (kubeconfig(server, "exec: {command: s3cret}"), "exec"),
            (kubeconfig(server, "tokenFile: /s3cret"), "tokenFile"),
            (kubeconfig(server, "client-certificate: /s3cret"), "certificate-data"),
            (kubeconfig(server, "client-key: /s3cret"), "key-data"),
            (kubeconfig(server, "auth-provider: {name: s3cret}"), "auth-provider"),
            (ByteString(b"{token: s3cret".to_vec()), "not a kubeconfig"),
            (ByteString(b"s3cret".to_vec()), "not a kubeconfig"),
            (ByteString(vec![0xff, 0xfe]), "UTF-8"),
            (ByteString(vec![b' '; MAX_BYTES + 1]), "256 KiB"),
            (ByteString(b"{}".to_vec()), "current-context"),
        ] {
            let message = parse(&text, None).unwrap_err().to_string();
            assert!(message.contains(hint) && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_context_that_is_missing_is_said() {
        let text = kubeconfig("server: 'https://127.0.0.1:1'", "token: t");
        assert!(parse(&text, Some("other")).unwrap_err().to_string().contains("context"));
    }
}
