//! Certificate authorities, and the certificates that they sign, good and bad.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls_pki_types::CertificateDer;

/// An authority, valid in 2026.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>, DistinguishedName);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = Self::params(name);
        change(&mut params);
        let name = params.distinguished_name.clone();
        Self(
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
            name,
        )
    }

    /// One below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let params = Self::params(name);
        let name = params.distinguished_name.clone();
        Self(
            CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap(),
            name,
        )
    }

    /// Another certificate of the same key.
    pub(crate) fn again(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = Self::params("again");
        params.distinguished_name = self.1.clone();
        change(&mut params);
        let key = KeyPair::from_pem(&self.0.key().serialize_pem()).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap(), self.1.clone())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        params
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn data(&self) -> String {
        STANDARD.encode(self.pem())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate with this common name, valid in June 2026.
    pub(crate) fn sign(&self, name: &str) -> CertificateDer<'static> {
        self.sign_with(name, |_| {})
    }

    pub(crate) fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2026, 6, 1);
        params.not_after = date_time_ymd(2026, 7, 1);
        change(&mut params);
        params
            .signed_by(&KeyPair::generate().unwrap(), &self.0)
            .unwrap()
            .der()
            .clone()
    }
}
