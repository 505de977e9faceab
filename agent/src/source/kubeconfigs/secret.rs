//! The Secret of a Kubeconfig: written as a whole, and only if it is ours.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::target::DEFAULT_KUBECONFIG_KEY;
use multicluster_api::{Kubeconfig, names};
use secrecy::{ExposeSecret, SecretString};

use super::held::{Held, Issued, Version};
use super::problem::Problem;
use crate::api_error;
use crate::source::link::call::{CallError, call};

/// Who else writes a Secret has done so after this many attempts.
const ATTEMPTS: usize = 3;

fn secrets(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}

/// Look at the Secret of this name.
pub async fn read(client: &Client, of: &Kubeconfig, name: &str) -> Result<Held, Problem> {
    let (namespace, uid) = (of.namespace().unwrap_or_default(), of.uid().unwrap_or_default());
    let found = call(secrets(client, &namespace).get_opt(name)).await;
    let found = found.map_err(|error| Problem::of_call("read Secrets", &error))?;
    Ok(Held::of(found.as_ref(), &uid, &of.name_any()))
}

/// Write credentials. `held` is what was there just now; should somebody else be faster, it is looked at again.
pub async fn write(
    client: &Client,
    of: &Kubeconfig,
    name: &str,
    mut held: Held,
    content: &SecretString,
    issued: &Issued,
) -> Result<(), Problem> {
    let secrets = secrets(client, &of.namespace().unwrap_or_default());
    let params = PostParams::default();
    for attempt in 1.. {
        let version = match &held {
            Held::Foreign(why) => return Err(Problem::taken(name, why)),
            Held::Missing => None,
            Held::Ours { version, .. } => Some(version),
        };
        let secret = manifest(of, name, version, content, issued);
        let written = match version {
            None => call(secrets.create(&params, &secret)).await,
            Some(_) => call(secrets.replace(name, &params, &secret)).await,
        };
        let overtaken = |error: &kube::Error| api_error::is_overtaken(error) || api_error::is_object_not_found(error);
        match written {
            Ok(_) => return Ok(()),
            Err(CallError::Kube(error)) if attempt < ATTEMPTS && overtaken(&error) => {
                held = read(client, of, name).await?;
            }
            Err(error) => return Err(Problem::of_call("write Secrets", &error)),
        }
    }
    Ok(())
}

fn manifest(of: &Kubeconfig, name: &str, version: Option<&Version>, content: &SecretString, issued: &Issued) -> Secret {
    let owner: OwnerReference = OwnerReference {
        block_owner_deletion: None,
        ..of.controller_owner_ref(&()).unwrap_or_default()
    };
    let content = content.expose_secret();
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: of.namespace(),
            uid: version.map(|version| version.uid.clone()),
            resource_version: version.map(|version| version.resource_version.clone()),
            labels: Some(BTreeMap::from([(
                names::MANAGED_BY.into(),
                names::MANAGED_BY_AGENT.into(),
            )])),
            annotations: Some(issued.annotations(content)),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        type_: Some(names::KUBECONFIG_SECRET.into()),
        data: Some(BTreeMap::from([(
            DEFAULT_KUBECONFIG_KEY.into(),
            ByteString(content.as_bytes().to_vec()),
        )])),
        ..Default::default()
    }
}

/// Delete a Secret that a Kubeconfig has had under another name, if it is still this one.
pub async fn delete(client: &Client, namespace: &str, name: &str, version: &Version) -> Result<(), CallError> {
    let this = Preconditions {
        uid: Some(version.uid.clone()),
        resource_version: Some(version.resource_version.clone()),
    };
    let parameters = DeleteParams::default().preconditions(this);
    match call(secrets(client, namespace).delete(name, &parameters)).await {
        Err(CallError::Kube(error)) => Ok(api_error::ignore_gone::<()>(Err(error))?),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
