use rcgen::{
    BasicConstraints, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, date_time_ymd,
};
use secrecy::ExposeSecret;

use super::*;

fn identity() -> Identity {
    Identity::new("default", "eu").unwrap()
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2027, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What the issuer makes of the request, but for a change.
fn signed(csr: &str, change: impl FnOnce(&mut CertificateSigningRequestParams)) -> Vec<u8> {
    let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
    request.params.not_before = date_time_ymd(2026, 5, 31);
    request.params.not_after = date_time_ymd(2026, 6, 2);
    request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut request);
    request.signed_by(&authority()).unwrap().pem().into_bytes()
}

fn refused(change: impl FnOnce(&mut CertificateSigningRequestParams)) -> String {
    let key = Key::generate().unwrap();
    let chain = signed(&key.request(&identity()).unwrap(), change);
    key.accept(&chain, None, &identity(), now()).unwrap_err().message
}

#[test]
fn a_request_holds_the_identity_and_nothing_else() {
    let key = Key::generate().unwrap();
    let csr = CertificateSigningRequestParams::from_pem(&key.request(&identity()).unwrap()).unwrap();
    let names: Vec<_> = csr.params.distinguished_name.iter().collect();
    assert_eq!(names, [(&DnType::CommonName, &"ns/default/id/eu".into())]);
    assert!(csr.params.subject_alt_names.is_empty());
}

#[test]
fn the_certificate_of_our_key_and_name_is_taken_and_says_when_it_ends() {
    let key = Key::generate().unwrap();
    let chain = signed(&key.request(&identity()).unwrap(), |_| {});
    let credentials = key.accept(&chain, None, &identity(), now()).unwrap();
    assert_eq!(credentials.expires, "2026-06-02T00:00:00Z".parse().unwrap());
    let Proof::Certificate { chain: kept, key } = credentials.proof else {
        panic!()
    };
    assert_eq!(kept.into_bytes(), chain);
    assert!(key.expose_secret().starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn a_certificate_lives_no_longer_than_its_authority() {
    let key = Key::generate().unwrap();
    let chain = signed(&key.request(&identity()).unwrap(), |request| {
        request.params.not_after = date_time_ymd(2028, 1, 1);
    });
    let authority = authority().pem().into_bytes();
    let credentials = key.accept(&chain, Some(&authority), &identity(), now()).unwrap();
    assert_eq!(credentials.expires, "2027-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn anything_else_is_refused_and_the_reason_is_said() {
    let rename = |request: &mut CertificateSigningRequestParams| {
        request
            .params
            .distinguished_name
            .push(DnType::CommonName, "system:admin");
    };
    assert!(refused(rename).contains("another name"));
    let no_usage = |request: &mut CertificateSigningRequestParams| request.params.extended_key_usages.clear();
    assert!(refused(no_usage).contains("client authentication"));
    let server = |request: &mut CertificateSigningRequestParams| {
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    assert!(refused(server).contains("client authentication"));
    let ended = |request: &mut CertificateSigningRequestParams| request.params.not_after = date_time_ymd(2026, 6, 1);
    assert!(refused(ended).contains("clocks"));

    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let chain = signed(&other.request(&identity()).unwrap(), |_| {});
    let refused = |chain: &[u8]| key.accept(chain, None, &identity(), now()).unwrap_err().message;
    assert!(refused(&chain).contains("another key"));
    assert!(refused(b"").contains("is none"));
    assert!(refused(b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n").contains("cannot be read"));
    assert!(refused(&vec![b'a'; MAX_CHAIN + 1]).contains("too long"));
}

#[test]
fn a_name_of_any_length_fits_into_a_request() {
    let long = Identity::new(&"n".repeat(63), &"i".repeat(253)).unwrap();
    let key = Key::generate().unwrap();
    let csr = CertificateSigningRequestParams::from_pem(&key.request(&long).unwrap()).unwrap();
    let name = csr.params.distinguished_name.get(&DnType::CommonName).unwrap().clone();
    assert_eq!(name, long.to_string().as_str().into());
}
