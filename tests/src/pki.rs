//! Certificates: an authority of its own for each cluster.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, PrivateSec1KeyDer};

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

impl KeyPair {
    /// Writes `<name>.crt` and `<name>.key`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<()> {
        fs::write(dir.join(format!("{name}.crt")), &self.certificate)?;
        fs::write(dir.join(format!("{name}.key")), &self.key)?;
        Ok(())
    }
}

/// A certificate authority.
pub struct Authority {
    pair: KeyPair,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// A new authority with the common name `name`.
    pub fn new(name: &str) -> Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = params(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pair = KeyPair {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        };
        Ok(Self {
            pair,
            issuer: Issuer::new(params, key),
        })
    }

    /// An authority of cert-manager's, by its common name, its certificate and its private key (PEM, P-256).
    pub fn of_cert_manager(name: &str, certificate: &str, key: &str) -> Result<Self> {
        let der = PrivateSec1KeyDer::from_pem_slice(key.as_bytes())?;
        let der = PrivatePkcs8KeyDer::from(pkcs8(der.secret_sec1_der())?);
        let pair = KeyPair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let mut issuer = params("", None);
        // Names are compared byte by byte, and Go writes them like this.
        issuer.distinguished_name = rcgen::DistinguishedName::new();
        let name = DnValue::PrintableString(name.try_into()?);
        issuer.distinguished_name.push(DnType::CommonName, name);
        Ok(Self {
            pair,
            issuer: Issuer::new(issuer, rcgen::KeyPair::try_from(&der)?),
        })
    }

    /// The authority's own certificate and key.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// A client certificate: Kubernetes reads the common name as the user and the organization as the group.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<KeyPair> {
        self.sign(params(user, group), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client certificate that has expired.
    pub fn expired_client(&self, user: &str) -> Result<KeyPair> {
        self.client_of_year(user, 2020)
    }

    /// A client certificate that is not valid yet.
    pub fn future_client(&self, user: &str) -> Result<KeyPair> {
        self.client_of_year(user, 2200)
    }

    fn client_of_year(&self, user: &str, year: i32) -> Result<KeyPair> {
        let mut params = params(user, None);
        params.not_before = date_time_ymd(year, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A serving certificate for DNS names and IP addresses.
    pub fn server(&self, name: &str, hosts: &[&str]) -> Result<KeyPair> {
        let mut params = params(name, None);
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*host).try_into()?),
            });
        }
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<KeyPair> {
        let key = rcgen::KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("cannot sign a certificate")?;
        Ok(KeyPair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The same key in the one form that our library reads: PKCS#8 (RFC 5208) around SEC 1 (RFC 5915), both DER.
fn pkcs8(sec1: &[u8]) -> Result<Vec<u8>> {
    const VERSION_AND_P256: [u8; 24] = [
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    ensure!(sec1.len() < 128, "not the key of P-256");
    let inner = [&VERSION_AND_P256[..], &[0x04, sec1.len() as u8], sec1].concat();
    Ok([&[0x30, 0x81, inner.len() as u8], &inner[..]].concat())
}

fn params(name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params
}
