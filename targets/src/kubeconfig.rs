//! What a Secret's kubeconfig says, parsed as input from outside.
//!
//! Whoever may write a Target and a Secret in one namespace decides what this process does with the kubeconfig. So it
//! may hold data only: no program to run (`exec`, `auth-provider`) and no path into this process' file system. Error
//! messages never quote it.

use k8s_openapi::ByteString;
use kube::config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use multicluster_upstream::Upstream;

use crate::ConnectError;

/// Largest kubeconfig that is looked at, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// A client for the cluster that the kubeconfig's context names.
pub async fn client(text: &ByteString, context: Option<&str>) -> Result<Client, ConnectError> {
    let (client, _) = connect(parse(text, context)?, context).await?;
    Ok(client)
}

/// A client for the cluster that a context of a parsed kubeconfig names, and a way to pass requests on to it.
pub(crate) async fn connect(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<(Client, Upstream), ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(Into::into),
        ..Default::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|_| {
            invalid("its server, certificate data or proxy cannot be used: write an https URL and base64 data")
        })?;
    let unusable = "its certificates or keys cannot be used: write PEM data in base64";
    let upstream = Upstream::new(&config).map_err(|_| invalid(unusable))?;
    let client = multicluster_runtime::cluster::client(config).map_err(|_| invalid(unusable))?;
    Ok((client, upstream))
}

/// Parse, and refuse what reaches out of the text itself.
pub fn parse(text: &ByteString, context: Option<&str>) -> Result<Kubeconfig, ConnectError> {
    if text.0.len() > MAX_BYTES {
        return Err(invalid("larger than 256 KiB"));
    }
    let text = std::str::from_utf8(&text.0).map_err(|_| invalid("not UTF-8 text"))?;
    // The parser's own message may quote a line, and the line may be a token.
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| invalid("not a kubeconfig in YAML or JSON"))?;
    let chosen = choose(&kubeconfig, context)?;
    check_cluster(chosen.cluster)?;
    check_user(chosen.user)?;
    Ok(kubeconfig)
}

/// What a context names.
pub(crate) struct Chosen<'a> {
    pub context: &'a Context,
    pub cluster: &'a Cluster,
    pub user: &'a AuthInfo,
}

/// What of a kubeconfig is used.
pub(crate) fn choose<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Result<Chosen<'a>, ConnectError> {
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
    let user = kubeconfig
        .auth_infos
        .iter()
        .find(|named| Some(&named.name) == context.user.as_ref())
        .and_then(|named| named.auth_info.as_ref())
        .ok_or_else(|| invalid("the context's user is not in it"))?;
    Ok(Chosen { context, cluster, user })
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
    use proptest::prelude::*;

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
    fn depth_repetition_and_nonsense_are_refused_without_a_word_of_them() {
        let laughs = (0..30).fold("a0: &a0 [s3cret, s3cret]\n".to_owned(), |yaml, n| {
            format!("{yaml}a{m}: &a{m} [*a{n}, *a{n}]\n", m = n + 1)
        });
        // On a stack as the servers' threads have it.
        let on_small_stack = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            for text in [
                "[".repeat(10_000),
                "{s3cret: ".repeat(10_000),
                "- ".repeat(10_000),
                laughs,
                "s3cret: &a [*a]".into(),
                "\0s3cret".into(),
                format!("users: {}", "s3cret".repeat(10_000)),
            ] {
                let message = parse(&ByteString(text.into_bytes()), None).unwrap_err().to_string();
                assert!(message.len() < 300 && !message.contains("s3cret"), "{message}");
            }
        });
        on_small_stack.unwrap().join().unwrap();
    }

    /// Fields of a user or a cluster, harmless and not.
    fn fields(names: Vec<&'static str>) -> impl Strategy<Value = String> {
        let value = prop_oneof![
            Just("s3cret".to_owned()),
            Just("''".to_owned()),
            Just("null".to_owned()),
            Just("{command: s3cret, name: s3cret}".to_owned()),
        ];
        let fields = prop::collection::btree_map(proptest::sample::select(names), value, 0..4);
        fields.prop_map(|fields| {
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            fields.join(", ")
        })
    }

    proptest! {
        #[test]
        fn what_passes_reaches_out_to_nothing_but_its_server(
            cluster in fields(vec!["tls-server-name", "certificate-authority", "certificate-authority-data"]),
            user in fields(vec!["token", "exec", "tokenFile", "client-key", "client-certificate", "auth-provider", "username"]),
            scheme in "https://|http://|file://|HTTPS://|",
        ) {
            let text = kubeconfig(&format!("server: '{scheme}127.0.0.1:1', {cluster}"), &user);
            match parse(&text, None) {
                Ok(kubeconfig) => {
                    let cluster = kubeconfig.clusters[0].cluster.as_ref().unwrap();
                    prop_assert!(cluster.certificate_authority.is_none());
                    prop_assert!(cluster.server.as_ref().unwrap().starts_with("https://"));
                    let user = kubeconfig.auth_infos[0].auth_info.as_ref().unwrap();
                    prop_assert!(user.exec.is_none() && user.auth_provider.is_none() && user.token_file.is_none());
                    prop_assert!(user.client_certificate.is_none() && user.client_key.is_none());
                }
                Err(error) => prop_assert!(!error.to_string().contains("s3cret"), "{}", error),
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = parse(&ByteString(text.into_bytes()), None);
        }
    }

    #[test]
    fn a_context_that_is_missing_is_said() {
        let text = kubeconfig("server: 'https://127.0.0.1:1'", "token: t");
        assert!(parse(&text, Some("other")).unwrap_err().to_string().contains("context"));
    }
}
