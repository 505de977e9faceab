//! A key, the request for a certificate, and when the next one is due. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The signer `kubernetes.io/kubelet-serving` signs for nodes alone, by this name. One certificate serves all virtual nodes of
/// an agent, for which this stands; nobody is a node by it, since it is good for serving only.
const USER: &str = "system:node:multicluster-scheduler";
const ORGANIZATION: &str = "system:nodes";

/// What the certificate is to be good for, in the words of a CertificateSigningRequest.
pub const USAGES: [&str; 2] = ["digital signature", "server auth"];

/// Part of a certificate's life after which the next one is asked for, and how much of it chance adds, as a kubelet does.
const RENEW_AFTER: (f64, f64) = (0.7, 0.1);

/// A key or a certificate that is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// No key or request could be made.
    #[error("no key or request could be made")]
    NotMade,
    /// What was issued is no certificate.
    #[error("what was issued is no certificate")]
    NoCertificate,
    /// It is for another key.
    #[error("the certificate that was issued is for another key")]
    AnotherKey,
    /// It is not for our address.
    #[error("the certificate that was issued is not for the address {0}")]
    AnotherAddress(IpAddr),
}

/// A private key, which is kept in memory alone. Has no `Debug`, because of that.
pub struct Key {
    key: KeyPair,
    address: IpAddr,
    names: Vec<String>,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The chain, PEM.
    pub chain: String,
    /// From when it is good.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
}

impl Key {
    /// A new one, ECDSA P-256, to be reached at this address and these names.
    pub fn generate(address: IpAddr, names: &[String]) -> Result<Self, BadCertificate> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| BadCertificate::NotMade)?;
        Ok(Self {
            key,
            address,
            names: names.to_vec(),
        })
    }

    /// The key, PEM.
    pub fn pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn params(&self) -> Result<CertificateParams, BadCertificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
        params.distinguished_name.push(DnType::CommonName, USER);
        params.subject_alt_names.push(SanType::IpAddress(self.address));
        for name in &self.names {
            let name = name.as_str().try_into().map_err(|_| BadCertificate::NotMade)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        Ok(params)
    }

    /// The request, PEM (RFC 2986).
    pub fn request(&self) -> Result<String, BadCertificate> {
        let request = self.params()?.serialize_request(&self.key);
        request
            .and_then(|request| request.pem())
            .map_err(|_| BadCertificate::NotMade)
    }

    /// A certificate that nobody vouches for, PEM.
    pub fn self_signed(&self) -> Result<String, BadCertificate> {
        let mut params = self.params()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&self.key).map_err(|_| BadCertificate::NotMade)?;
        Ok(certificate.pem())
    }

    /// Take what was issued, if it is for this key and address.
    pub fn accept(&self, chain: &[u8]) -> Result<Issued, BadCertificate> {
        let leaf = CertificateDer::from_pem_slice(chain).map_err(|_| BadCertificate::NoCertificate)?;
        let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_| BadCertificate::NoCertificate)?;
        if leaf.public_key().raw != self.key.subject_public_key_info() {
            return Err(BadCertificate::AnotherKey);
        }
        let address = match self.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let names = leaf.subject_alternative_name().ok().flatten();
        let ours = |name: &x509_parser::extensions::GeneralName<'_>| matches!(name, x509_parser::extensions::GeneralName::IPAddress(bytes) if *bytes == address);
        if !names.is_some_and(|names| names.value.general_names.iter().any(ours)) {
            return Err(BadCertificate::AnotherAddress(self.address));
        }
        let validity = leaf.validity();
        Ok(Issued {
            chain: String::from_utf8(chain.to_vec()).map_err(|_| BadCertificate::NoCertificate)?,
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default())
}

impl Issued {
    /// How long to wait from `now` on before the next one is asked for; `chance` is from 0 to 1.
    pub fn renew_in(&self, now: SystemTime, chance: f64) -> Duration {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let (part, jitter) = RENEW_AFTER;
        let due = self.not_before + life.mul_f64(part + jitter * chance.clamp(0.0, 1.0));
        due.duration_since(now).unwrap_or_default()
    }

    /// When it expires, in seconds since 1970.
    pub fn expiry(&self) -> i64 {
        let since = self.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs().try_into().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    fn key(address: &str) -> Key {
        Key::generate(address.parse().unwrap(), &["agent.example".into()]).unwrap()
    }

    #[test]
    fn the_request_is_one_that_the_kubelet_signer_signs() {
        // k8s.io/kubernetes/pkg/apis/certificates/helpers.go, ValidateKubeletServingCSR
        let pem = key("10.1.2.3").request().unwrap();
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        let subject = &request.certification_request_info.subject;
        let organizations: Vec<_> = subject.iter_organization().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(organizations, ["system:nodes"]);
        let name = subject.iter_common_name().next().unwrap().as_str().unwrap();
        assert!(name.starts_with("system:node:"));
        assert!(request.verify_signature().is_ok());
        assert_eq!(USAGES, ["digital signature", "server auth"]);
    }

    #[test]
    fn only_what_is_for_this_key_and_address_is_taken() {
        let key = key("10.1.2.3");
        let own = key.self_signed().unwrap();
        assert_eq!(key.accept(own.as_bytes()).unwrap().chain, own);
        let other = self::key("10.1.2.3").self_signed().unwrap();
        assert_eq!(key.accept(other.as_bytes()), Err(BadCertificate::AnotherKey));
        let moved = Key {
            address: "10.1.2.4".parse().unwrap(),
            ..key
        };
        assert!(matches!(
            moved.accept(own.as_bytes()),
            Err(BadCertificate::AnotherAddress(_))
        ));
        assert_eq!(moved.accept(b"nothing"), Err(BadCertificate::NoCertificate));
    }

    proptest! {
        #[test]
        fn the_next_one_is_asked_for_between_70_and_80_percent(life in 60_u64..400_000_000, chance in 0.0..=1.0) {
            let (start, life) = (time(1_000_000_000), Duration::from_secs(life));
            let issued = Issued { chain: String::new(), not_before: start, not_after: start + life };
            let wait = issued.renew_in(start, chance);
            prop_assert!(wait >= life.mul_f64(0.699) && wait <= life.mul_f64(0.801));
            prop_assert_eq!(issued.renew_in(start + life, chance), Duration::ZERO);
        }
    }
}
