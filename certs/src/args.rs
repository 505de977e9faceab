//! Flags that say which certificate to serve and whom to talk to.

use std::path::PathBuf;

use clap::Args;

/// Where the certificates are. Kubernetes mounts them from Secrets, and replaces the files when they are renewed.
#[derive(Args, Clone, Debug, Default)]
pub struct ServingArgs {
    /// File with the serving certificate and its chain, PEM; read again when it changes
    #[arg(long, env = "TLS_CERT_FILE")]
    pub tls_cert_file: PathBuf,
    /// File with the private key of the serving certificate, PEM; read again when it changes
    #[arg(long, env = "TLS_PRIVATE_KEY_FILE")]
    pub tls_private_key_file: PathBuf,
    /// File with the certificate authorities of clients, PEM; with it, clients without a certificate are refused
    #[arg(long, env = "CLIENT_CA_FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Common names of client certificates that are let in, separated by commas; all that the CA signed when not given
    #[arg(
        long,
        env = "ALLOWED_CLIENT_NAMES",
        value_delimiter = ',',
        requires = "client_ca_file"
    )]
    pub allowed_client_names: Vec<String>,
}
