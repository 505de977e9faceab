//! What the tests of this crate share: authorities, issuers, and the objects that name them.

pub(crate) mod authority;
pub(crate) mod issuer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use multicluster_api::trusted_identity_provider::OpenIdConnect;
use multicluster_api::{
    ClusterSource, ClusterSourceSpec, Source, SourceSpec, TrustedIdentityProvider, TrustedIdentityProviderSpec,
};

use crate::decide::{Trust, decide};

/// When the tests take place: 15 June 2026.
pub(crate) const NOW: Duration = Duration::from_secs(1_781_481_600);

/// Some seconds after that, or before.
pub(crate) fn at(seconds: i64) -> SystemTime {
    let now = i64::try_from(NOW.as_secs()).unwrap() + seconds;
    UNIX_EPOCH + Duration::from_secs(now.try_into().unwrap())
}

/// A TrustedIdentityProvider, `NAMESPACE/NAME`, made this many seconds after [`NOW`].
pub(crate) fn provider(path: &str, made: i64, spec: TrustedIdentityProviderSpec) -> TrustedIdentityProvider {
    let (namespace, name) = path.split_once('/').unwrap();
    let mut object = TrustedIdentityProvider::new(name, spec);
    object.metadata.namespace = Some(namespace.into());
    object.metadata.uid = Some(format!("uid-of-{path}"));
    let seconds = i64::try_from(NOW.as_secs()).unwrap() + made;
    object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(seconds).unwrap()));
    object
}

/// The spec of one that believes this authority.
pub(crate) fn believing(prefix: &str, authority: &authority::Authority) -> TrustedIdentityProviderSpec {
    TrustedIdentityProviderSpec {
        prefix: prefix.into(),
        certificate_authority_data: Some(authority.data()),
        ..Default::default()
    }
}

/// The spec of one that believes the tokens of [`issuer::ISSUER`] for these audiences.
pub(crate) fn believing_tokens(prefix: &str, audiences: &[&str]) -> TrustedIdentityProviderSpec {
    TrustedIdentityProviderSpec {
        prefix: prefix.into(),
        oidc: Some(OpenIdConnect {
            issuer: issuer::ISSUER.into(),
            audiences: audiences.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A Source that names a user.
pub(crate) fn source(namespace: &str, user: &str) -> Source {
    let spec = SourceSpec {
        user_name: Some(user.into()),
        ..Default::default()
    };
    let mut source = Source::new("source", spec);
    source.metadata.namespace = Some(namespace.into());
    source
}

/// A ClusterSource that names a user.
pub(crate) fn cluster_source(user: &str) -> ClusterSource {
    let spec = ClusterSourceSpec {
        user_name: Some(user.into()),
        ..Default::default()
    };
    ClusterSource::new("source", spec)
}

/// The trust of these providers and Sources.
pub(crate) fn trust(providers: &[TrustedIdentityProvider], sources: &[Source]) -> Trust {
    decide(providers, sources, &[])
}
