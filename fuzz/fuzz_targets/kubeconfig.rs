//! Kubeconfigs of Secrets: none that runs a program or names a file passes, and no error quotes one.
#![no_main]

use k8s_openapi::ByteString;
use libfuzzer_sys::fuzz_target;
use multicluster_fuzz::{Input, SECRET};
use multicluster_targets::kubeconfig::{client, parse};
use serde_json::json;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}, {"name": "d", "context": {"cluster": "k"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", "tls-server-name": "a"}}],
        "users": [{"name": "u", "user": {"token": SECRET}}, {"name": "v", "user": {"username": "a", "password": SECRET}}],
    });
    let input = Input::of(data, &document);
    let text = ByteString(input.bytes());
    for context in [None, Some("c"), Some("d")] {
        let kubeconfig = match parse(&text, context) {
            Ok(kubeconfig) => kubeconfig,
            Err(error) => {
                assert!(!input.is_edited() || !error.to_string().contains(SECRET), "{error}");
                continue;
            }
        };
        // Chosen as the client's library chooses.
        let name = context.or(kubeconfig.current_context.as_deref()).expect("a context");
        let context = kubeconfig
            .contexts
            .iter()
            .find(|c| c.name == name)
            .and_then(|c| c.context.as_ref())
            .expect("a context");
        let cluster = kubeconfig
            .clusters
            .iter()
            .find(|c| c.name == context.cluster)
            .and_then(|c| c.cluster.as_ref())
            .expect("a cluster");
        assert!(cluster.certificate_authority.is_none());
        assert!(
            cluster
                .server
                .as_deref()
                .is_some_and(|server| server.starts_with("https://"))
        );
        let user = context.user.as_deref().expect("a user");
        let user = kubeconfig
            .auth_infos
            .iter()
            .find(|u| u.name == user)
            .and_then(|u| u.auth_info.as_ref())
            .expect("a user");
        assert!(user.exec.is_none() && user.auth_provider.is_none() && user.token_file.is_none());
        assert!(user.client_certificate.is_none() && user.client_key.is_none());
        // Reading the system's authorities takes a while: not each time.
        if text.0.len() % 16 == 0
            && let Err(error) = RUNTIME.with(|runtime| runtime.block_on(client(&text, Some(name))))
        {
            assert!(!input.is_edited() || !error.to_string().contains(SECRET), "{error}");
        }
    }
});
