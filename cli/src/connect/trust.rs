//! Whom the target is to believe. Pure: what the authenticating proxy will make of it, `multicluster-trust` says.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use multicluster_api::{TrustedIdentityProvider, names};
use multicluster_trust::decide::decide;
use multicluster_trust::{Prefix, Proof, Provider, ProviderRef};

use super::objects::{self, Object};
use super::request::Request;
use crate::failure::{Failure, problem};

/// The prefix of the source's users in the target, and the provider to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Believed {
    /// The prefix.
    pub prefix: Prefix,
    /// The provider, unless somebody else's says the same.
    pub provider: Option<Object>,
}

/// How the target comes to believe an authority (PEM in base64), beside the providers that it has.
pub fn believe(request: &Request, authority: &str, existing: &[TrustedIdentityProvider]) -> Result<Believed, Failure> {
    let object = objects::provider(request, request.prefix()?.as_str(), authority);
    let wanted = typed(&object)?;
    let read = Provider::read(&wanted);
    let provider = read.map_err(|error| problem(format!("the source's authority cannot be used: {error}")))?;
    let before = decide(existing, [], []);
    let same = existing.iter().find_map(|object| {
        let found = before.providers.get(&ProviderRef::of(object))?.as_ref().ok()?;
        let namespace = &found.provider.reference.namespace;
        let speaks = namespace == names::INSTALL_NAMESPACE || request.target.namespace.as_ref() == Some(namespace);
        (speaks && shares_authority(&found.provider.proof, &provider.proof)).then(|| (object, found.provider.clone()))
    });
    if let Some((found, same)) = same {
        // One that an earlier run made is a step of this one, too, so that it is waited for and mended.
        let labels = found.metadata.labels.as_ref();
        let ours = labels
            .and_then(|labels| labels.get(names::MANAGED_BY))
            .map(String::as_str);
        let is_ours =
            ours == Some(names::MANAGED_BY_CLI) && same.reference.name == object.name && same.prefix == provider.prefix;
        return Ok(Believed {
            prefix: same.prefix,
            provider: is_ours.then_some(object),
        });
    }
    let others: Vec<_> = existing
        .iter()
        .filter(|other| !is_same_object(other, &object))
        .cloned()
        .collect();
    let all: Vec<_> = others.iter().chain([&wanted]).collect();
    let after = decide(all.iter().copied(), [], []);
    for (reference, verdict) in &after.providers {
        let is_ours = *reference == ProviderRef::of(&wanted);
        match verdict {
            Err(refusal) if is_ours => {
                return Err(problem(format!(
                    "the target would not believe the source: {refusal}. Delete the other TrustedIdentityProvider if it is not \
                     needed, or write another --source-name, or --credentials token"
                )));
            }
            Err(_) if before.providers.get(reference).is_some_and(Result::is_ok) => {
                return Err(problem(format!(
                    "TrustedIdentityProvider {}/{} in the target has the same authority or prefix, and speaks for its own \
                     namespace alone. Make it again in {} with the same spec, or write --credentials token",
                    reference.namespace,
                    reference.name,
                    names::INSTALL_NAMESPACE
                )));
            }
            _ => {}
        }
    }
    Ok(Believed {
        prefix: provider.prefix,
        provider: Some(object),
    })
}

fn is_same_object(found: &TrustedIdentityProvider, object: &Object) -> bool {
    found.metadata.namespace == object.namespace && found.metadata.name.as_ref() == Some(&object.name)
}

fn shares_authority(one: &Proof, other: &Proof) -> bool {
    match (one, other) {
        (Proof::Certificates(one), Proof::Certificates(other)) => other.iter().all(|authority| one.contains(authority)),
        _ => false,
    }
}

fn typed(object: &Object) -> Result<TrustedIdentityProvider, Failure> {
    let read = serde_json::from_value::<TrustedIdentityProvider>(object.body(""));
    let mut typed = read.map_err(|error| problem(error.to_string()))?;
    // The youngest of all: it is made last.
    typed.metadata.creation_timestamp = Some(Time(Timestamp::now()));
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use multicluster_api::TargetRef;

    use super::*;
    use crate::contexts::base64;

    fn authority(name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        base64(params.self_signed(&key).unwrap().pem().into_bytes())
    }

    fn request(source_name: &str) -> Request {
        Request {
            target: TargetRef::namespaced("default", "eu"),
            source_name: source_name.into(),
        }
    }

    fn provider(namespace: &str, prefix: &str, authority: &str, ours: bool) -> TrustedIdentityProvider {
        let mut object = typed(&objects::provider(&request("management"), prefix, authority)).unwrap();
        object.metadata.namespace = Some(namespace.into());
        if !ours {
            object.metadata.labels = None;
        }
        object
    }

    #[test]
    fn a_target_that_believes_nobody_gets_a_provider() {
        let believed = believe(&request("management"), &authority("a"), &[]).unwrap();
        assert_eq!(believed.prefix.as_str(), "spiffe://management/");
        assert_eq!(
            believed.provider.unwrap().namespace.as_deref(),
            Some(names::INSTALL_NAMESPACE)
        );
    }

    #[test]
    fn a_provider_that_speaks_for_the_namespace_is_used_with_its_prefix() {
        let authority = authority("a");
        for namespace in ["default", names::INSTALL_NAMESPACE] {
            let existing = provider(namespace, "other/", &authority, false);
            let believed = believe(&request("management"), &authority, &[existing]).unwrap();
            assert_eq!((believed.prefix.as_str(), believed.provider), ("other/", None));
        }
    }

    #[test]
    fn what_an_earlier_run_made_is_a_step_again() {
        let authority = authority("a");
        let existing = provider(names::INSTALL_NAMESPACE, "spiffe://management/", &authority, true);
        assert!(
            believe(&request("management"), &authority, &[existing])
                .unwrap()
                .provider
                .is_some()
        );
    }

    #[test]
    fn nobody_loses_trust_and_nothing_is_written_that_would_not_be_believed() {
        let authority_a = authority("a");
        // Ours would come first, and the other would lose its users.
        let elsewhere = provider("elsewhere", "other/", &authority_a, false);
        let error = believe(&request("management"), &authority_a, &[elsewhere]).unwrap_err();
        assert!(error.to_string().contains("elsewhere/management"), "{error}");
        let prefix = provider(names::INSTALL_NAMESPACE, "spiffe://management/", &authority("b"), false);
        let mut other_name = prefix.clone();
        other_name.metadata.name = Some("other".into());
        let error = believe(&request("management"), &authority_a, &[other_name]).unwrap_err();
        assert!(error.to_string().contains("overlaps"), "{error}");
    }
}
