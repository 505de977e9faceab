//! What can be wrong with certificates. Messages name the file, never its contents.

use std::path::PathBuf;

/// A certificate, a key or a client CA that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file cannot be read.
    #[error("{flag} {}: {error}; give a file that this process may read", file.display())]
    Read {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A file's contents are not what they should be.
    #[error("{flag} {}: {reason}; write {wanted}", file.display())]
    Contents {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong. Never holds key material.
        reason: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// Certificate and key do not fit, or the key is of a kind that cannot serve.
    #[error(
        "--tls-cert-file {} and --tls-private-key-file {}: {error}; give the key that belongs to the first \
         certificate in the file (ECDSA P-256 or P-384, Ed25519, or RSA)",
        cert.display(), key.display()
    )]
    Pair {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What rustls said.
        error: rustls::Error,
    },
    /// Names of clients mean nothing when nobody vouches for them.
    #[error("--allowed-client-names needs --client-ca-file: give the authority that signs client certificates")]
    NamesWithoutClientCa,
    /// The cryptographic provider refused.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[from] rustls::Error),
}
