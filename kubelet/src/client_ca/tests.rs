use multicluster_certs::dev::{CertKeyPem, DevCa};

use super::*;

fn chain(shown: &CertKeyPem) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(shown.cert.as_bytes())
        .map(Result::unwrap)
        .collect()
}

#[test]
fn whom_the_cluster_believes_is_who_the_certificate_says() {
    let (ca, known) = (DevCa::new().unwrap(), ClientCa::default());
    let shown = chain(&ca.client("kube-apiserver").unwrap());
    assert!(known.judge(&shown).unwrap_err().contains("not known yet"));
    known.learn(ca.pem());
    let caller = known.judge(&shown).unwrap();
    assert_eq!(
        (caller.user.as_str(), caller.groups),
        ("kube-apiserver", vec!["system:authenticated".to_owned()])
    );
    assert!(known.judge(&[]).is_err());
}

#[test]
fn those_of_another_authority_are_nobody() {
    let (ca, other, known) = (DevCa::new().unwrap(), DevCa::new().unwrap(), ClientCa::default());
    known.learn(ca.pem());
    assert!(known.judge(&chain(&other.client("kube-apiserver").unwrap())).is_err());
    // As is one that is not made for clients.
    assert!(known.judge(&chain(&ca.server(&["10.0.0.1"]).unwrap())).is_err());
}

#[test]
fn a_new_authority_takes_the_place_of_the_old_one_and_a_broken_one_does_not() {
    let (old, new, known) = (DevCa::new().unwrap(), DevCa::new().unwrap(), ClientCa::default());
    let [shown_old, shown_new] = [&old, &new].map(|ca| chain(&ca.client("u").unwrap()));
    known.learn(old.pem());
    known.learn("-----BEGIN CERTIFICATE-----\nbroken".into());
    assert!(known.judge(&shown_old).is_ok());
    known.learn(format!("{}{}", old.pem(), new.pem()));
    assert!(known.judge(&shown_old).is_ok() && known.judge(&shown_new).is_ok());
    known.learn(new.pem());
    assert!(known.judge(&shown_old).is_err() && known.judge(&shown_new).is_ok());
    known.learn(String::new());
    assert!(known.judge(&shown_new).is_err());
}
