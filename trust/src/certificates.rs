//! Proof by client certificates.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::caller::{Denied, Evidence, Proven};
use crate::decide::{Trust, Trusted};
use crate::identity::Identity;
use crate::provider::Proof;

/// How far the clock of who signs may be ahead of ours: an identity that was issued a moment ago is good at once.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Most certificates of a chain.
pub const MAX_CHAIN: usize = 6;
/// Most bytes of a chain.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;

/// Who holds the key of the first of these certificates, as TLS has shown that the caller does.
///
/// Its chain must lead to an authority of exactly one provider that is believed; it must be valid now, be made for client
/// authentication (an extended key usage that says so), and its common name must be an identity.
///
/// The authority's own certificate must be valid, too, as Kubernetes has it, and the proof expires with the first certificate
/// on the way.
pub fn prove(trust: &Trust, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Proven, Denied> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(Denied::NoCredentials);
    };
    if chain.len() > MAX_CHAIN || chain.iter().map(|der| der.len()).sum::<usize>() > MAX_CHAIN_BYTES {
        return Err(Denied::unproven("the client certificate's chain is too long"));
    }
    let unreadable = || Denied::unproven("the client certificate cannot be read");
    let parsed = parse(leaf).ok_or_else(unreadable)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| unreadable())?;
    let mut worst = Flaw::Stranger;
    let mut found = None;
    for trusted in trust.trusted() {
        let Proof::Certificates(authorities) = &trusted.provider.proof else {
            continue;
        };
        match vouch(authorities, &leaf, intermediates, now) {
            Ok(vouched) if found.is_none() => found = Some((trusted, vouched)),
            Ok(_) => {
                return Err(Denied::unproven(
                    "the client certificate leads to two authorities that are believed apart",
                ));
            }
            Err(flaw) => worst = worst.max(flaw),
        }
    }
    let (trusted, vouched) = found.ok_or_else(|| Denied::unproven(worst.text()))?;
    if !is_for_clients(&parsed) {
        return Err(Denied::unproven(Flaw::NotForClients.text()));
    }
    named(trusted, &parsed, vouched)
}

/// Who the first of these certificates says it is of. Nobody has checked it: good for a line in a log about who was denied, and
/// for nothing else.
pub fn claimed(chain: &[CertificateDer<'_>]) -> Option<Identity> {
    let leaf = chain.first().filter(|leaf| leaf.len() <= MAX_CHAIN_BYTES)?;
    common_name(&parse(leaf)?)
}

fn named(trusted: &Trusted, leaf: &X509Certificate<'_>, vouched: Vouched) -> Result<Proven, Denied> {
    let identity = common_name(leaf).ok_or_else(|| {
        Denied::unproven("the client certificate's common name is no identity: it must be one ns/NAMESPACE/id/NAME")
    })?;
    let organizations = leaf.subject().iter_organization();
    Ok(Proven {
        provider: trusted.provider.reference.clone(),
        identity,
        groups: organizations
            .filter_map(|name| Some(name.as_str().ok()?.to_owned()))
            .collect(),
        expires: vouched.expires,
        evidence: Evidence::Authority(vouched.authority),
    })
}

/// The certificate's common name, if there is exactly one and it is an identity.
fn common_name(certificate: &X509Certificate<'_>) -> Option<Identity> {
    let mut names = certificate.subject().iter_common_name();
    let (name, None) = (names.next()?, names.next()) else {
        return None;
    };
    Identity::parse(name.as_str().ok()?).ok()
}

/// An extended key usage names client authentication. None at all would mean any use; `webpki` lets that pass.
fn is_for_clients(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage();
    usage.is_ok_and(|usage| usage.is_some_and(|usage| usage.value.client_auth))
}

/// What an authority vouches for.
struct Vouched {
    authority: CertificateDer<'static>,
    expires: SystemTime,
}

/// Why no authority vouches for it: the last one tells most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flaw {
    Stranger,
    Broken,
    NotForClients,
    AuthorityNotValid,
    NotValidYet,
    Expired,
}

impl Flaw {
    fn text(self) -> &'static str {
        match self {
            Self::Stranger => "the client certificate is of an authority that nobody here trusts",
            Self::Broken => "the client certificate, or one that it leads to, is not in order",
            Self::NotForClients => {
                "the client certificate is not made for client authentication: its extended key usage must say so"
            }
            Self::AuthorityNotValid => "the client certificate's authority has expired, or is not valid yet",
            Self::NotValidYet => "the client certificate, or one that it leads to, is not valid yet",
            Self::Expired => "the client certificate, or one that it leads to, has expired",
        }
    }
}

impl From<webpki::Error> for Flaw {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => Self::Stranger,
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotValidYet,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => Self::NotForClients,
            _ => Self::Broken,
        }
    }
}

/// Does one of these authorities vouch for the certificate?
fn vouch(
    authorities: &[CertificateDer<'static>],
    leaf: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<Vouched, Flaw> {
    let mut authorities: Vec<_> = authorities.iter().filter_map(Authority::of).collect();
    // One key may have several certificates: the one that lasts longest vouches.
    authorities.sort_by_key(|authority| Reverse(authority.not_after));
    let (valid, others): (Vec<_>, Vec<_>) = authorities.into_iter().partition(|authority| authority.is_valid(now));
    let soon = now.checked_add(LEEWAY).unwrap_or(now);
    let mut result = verify(&valid, leaf, intermediates, now);
    if matches!(result, Err(Flaw::NotValidYet)) {
        result = verify(&valid, leaf, intermediates, soon);
    }
    if matches!(result, Err(Flaw::Stranger)) && verify(&others, leaf, intermediates, now).is_ok() {
        result = Err(Flaw::AuthorityNotValid);
    }
    result
}

fn verify(
    authorities: &[Authority],
    leaf: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<Vouched, Flaw> {
    let anchors: Vec<_> = authorities.iter().map(|authority| authority.anchor.clone()).collect();
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let path = leaf.verify_for_usage(
        algorithms,
        &anchors,
        intermediates,
        now,
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    let index = anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
    let authority = index.and_then(|index| authorities.get(index)).ok_or(Flaw::Broken)?;
    let on_the_way = path.intermediate_certificates().map(|certificate| certificate.der());
    let ends = std::iter::once(path.end_entity().der())
        .chain(on_the_way)
        .map(|der| not_after(&der));
    let expires = ends
        .chain([Some(authority.not_after)])
        .min()
        .flatten()
        .ok_or(Flaw::Broken)?;
    Ok(Vouched {
        authority: authority.certificate.clone(),
        expires,
    })
}

/// An authority, prepared.
struct Authority {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Authority {
    fn of(certificate: &CertificateDer<'static>) -> Option<Self> {
        let validity = parse(certificate)?.validity().clone();
        Some(Self {
            certificate: certificate.clone(),
            anchor: webpki::anchor_from_trusted_cert(certificate).ok()?.to_owned(),
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        })
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        let soon = now.checked_add(LEEWAY).unwrap_or(now);
        self.not_before <= soon && now <= self.not_after
    }
}

fn not_after(der: &[u8]) -> Option<SystemTime> {
    time(X509Certificate::from_der(der).ok()?.1.validity().not_after.timestamp())
}

/// Times before 1970 are that of 1970: long ago is long ago.
fn time(seconds: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().unwrap_or_default()))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

#[cfg(test)]
mod tests;
