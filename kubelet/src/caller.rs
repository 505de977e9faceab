//! Who calls, as the cluster knows them.

use std::collections::BTreeMap;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A user of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Name.
    pub user: String,
    /// UID, if there is one.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

impl Caller {
    /// Whose certificate this is: the common name is the user, organisations are groups
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>). `None` when it
    /// names nobody, or several. Says nothing about whether it is to be believed.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let (name, None) = (names.next()?, names.next()) else {
            return None;
        };
        let user = name.as_str().ok().filter(|user| !user.is_empty())?.to_owned();
        let organizations = certificate.subject().iter_organization();
        let groups = organizations.map(|name| name.as_str().map(str::to_owned));
        let mut groups: Vec<_> = groups.collect::<Result<_, _>>().ok()?;
        groups.push(AUTHENTICATED.into());
        Some(Self {
            user,
            groups,
            ..Self::default()
        })
    }
}
