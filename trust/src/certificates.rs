//! Proof by client certificates.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use crate::caller::{Denied, Proven};
use crate::decide::Trust;

/// Who holds the key of the first of these certificates, as TLS has shown that the caller does.
///
/// Its chain must lead to an authority of exactly one provider that is believed; it must be valid now, be made for client
/// authentication (an extended key usage that says so), and its common name must be an identity.
pub fn prove(_trust: &Trust, _chain: &[CertificateDer<'_>], _now: SystemTime) -> Result<Proven, Denied> {
    Err(Denied::Unproven("not implemented yet".into()))
}
