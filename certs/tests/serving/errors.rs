//! What a person reads when files are wrong.

use std::time::Duration;

use multicluster_certs::dev::DevCa;
use multicluster_certs::{ServingArgs, ServingTls};
use tokio_util::sync::CancellationToken;

fn message(args: &ServingArgs) -> String {
    match ServingTls::start(args, Duration::from_secs(1), CancellationToken::new()) {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn messages_name_the_flag_and_the_file_and_hold_no_key() {
    let ca = DevCa::new().unwrap();
    let (pair, other) = (ca.server(&["a"]).unwrap(), ca.server(&["b"]).unwrap());
    let secret = pair.key.lines().nth(1).unwrap();
    let broken_key = pair.key.replace("-----END", "----END");
    for (cert, key, flags) in [
        ("", pair.key.as_str(), &["--tls-cert-file", "tls.crt"][..]),
        ("no PEM", &pair.key, &["--tls-cert-file", "tls.crt"]),
        (&pair.key, &pair.key, &["--tls-cert-file", "tls.crt"]),
        (&pair.cert, "", &["--tls-private-key-file", "tls.key"]),
        (&pair.cert, &pair.cert, &["--tls-private-key-file", "tls.key"]),
        (&pair.cert, &broken_key, &["--tls-private-key-file", "tls.key"]),
        (&other.cert, &pair.key, &["tls.crt", "tls.key"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let args = multicluster_certs::dev::CertKeyPem {
            cert: cert.into(),
            key: key.into(),
        }
        .write_to(folder.path())
        .unwrap();
        let message = message(&args);
        assert!(flags.iter().all(|flag| message.contains(flag)), "{message}");
        assert!(!message.contains(secret), "{message}");
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = DevCa::new()
        .unwrap()
        .server(&["a"])
        .unwrap()
        .write_to(folder.path())
        .unwrap();
    args.client_ca_file = Some(folder.path().join("absent.crt"));
    let message = message(&args);
    assert!(
        message.contains("--client-ca-file") && message.contains("absent.crt"),
        "{message}"
    );
}

#[tokio::test]
async fn names_without_an_authority_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = DevCa::new()
        .unwrap()
        .server(&["a"])
        .unwrap()
        .write_to(folder.path())
        .unwrap();
    args.allowed_client_names = vec!["kube-scheduler".into()];
    assert!(message(&args).contains("--client-ca-file"));
}
