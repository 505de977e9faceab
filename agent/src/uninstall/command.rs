//! `multicluster-agent uninstall`: cleans up with the caller's rights, in the order that works, and checks.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::target::AnyTarget;
use multicluster_api::{ClusterTarget, PodChaperon, Target, names};
use multicluster_runtime::cluster::ClusterArgs;
use multicluster_targets::cluster_name;
use multicluster_targets::secret::connect;
use serde::de::DeserializeOwned;

use super::cleaner::{Cleaner, Reached, describe, describe_as, kubeconfig_secrets, until_none};
use super::{plan, rights};
use crate::api_error;
use crate::source::exposure;
use crate::source::following::recall;

/// How long a target may take to give back what is ours.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long our own pods and the delegates may take to end.
const PODS: Duration = Duration::from_secs(90);
/// Programs that would make anew what is deleted here. The webhook and the scheduler do not.
const BUSY: [&str; 2] = ["multicluster-agent", "multicluster-extender"];

/// Remove all that this system has made in a cluster and its targets, so that the manifests can be deleted
#[derive(Args, Debug)]
pub struct UninstallArgs {
    /// What this cluster is called in its targets: what the agent was given; without it, the UID of kube-system
    #[arg(long, env = "CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// Leave Targets and ClusterTargets: their definitions stay, and the product may come back
    #[arg(long)]
    pub keep_targets: bool,
    /// Remove nothing: say what is left, the manifests' own objects included
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArgs,
}

/// How long the garbage collector may take for what it has to do.
const COLLECTION: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Clean up, or check. An error says what is left.
pub async fn run(args: UninstallArgs) -> anyhow::Result<()> {
    let client = args.cluster.client().await?;
    let cleaner = Cleaner::new(client.clone(), |message| println!("{message}"));
    if !args.check {
        clean_up(&cleaner, &client, &args).await?;
    }
    let deadline = Instant::now() + COLLECTION;
    let mut left = remaining(&client, args.check).await?;
    // The garbage collector and the namespace's end take a moment.
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
        left = remaining(&client, args.check).await?;
    }
    if !left.is_empty() {
        bail!("{} objects are left:\n  {}", left.len(), left.join("\n  "));
    }
    println!("nothing is left");
    Ok(())
}

async fn clean_up(cleaner: &Cleaner, client: &Client, args: &UninstallArgs) -> anyhow::Result<()> {
    // Before anything else: a webhook that does not answer would refuse what follows.
    delete_installed(cleaner, &Api::<MutatingWebhookConfiguration>::all(client.clone())).await?;
    delete_installed(cleaner, &Api::<ValidatingWebhookConfiguration>::all(client.clone())).await?;
    // While the Secrets and the Targets are still there.
    let targets = reach(cleaner, client).await?;
    stop_programs(cleaner, client).await?;
    let name = cluster_name(client, args.cluster_name.as_deref()).await?;
    if targets.is_empty() {
        let ours = format!("-A -l {}={name}", names::PARENT_CLUSTER_NAME);
        cleaner.say(format!(
            "no target can be reached from here; in each: kubectl delete podchaperons {ours}; kubectl delete \
             configmaps,secrets,services,ingresses,endpointslices {ours}; the same for httproutes and serviceimports \
             where there are any"
        ));
    }
    cleaner.withdraw(targets, &name, PATIENCE).await;
    if !args.keep_targets {
        delete_targets(cleaner, client).await?;
    }
    let deadline = Instant::now() + PODS;
    until_none(deadline, || cleaner.virtual_nodes()).await?;
    until_none(deadline, || cleaner.node_leases()).await?;
    until_none(deadline, || async { cleaner.proxy_pods(&ListParams::default()).await }).await?;
    cleaner.originals().await;
    cleaner.imports(&name).await;
    // No target is connected any more.
    cleaner.kubeconfig_secrets().await;
    // Sources that are still connected may send more until they lose their rights.
    cleaner.chaperons().await?;
    cleaner.delegates().await?;
    cleaner.source_bindings().await?;
    until_none(deadline, || async {
        Ok(cleaner.chaperons().await? + cleaner.delegates().await? + cleaner.copies().await?)
    })
    .await?;
    rights::release(cleaner, client).await?;
    Ok(())
}

async fn delete_targets(cleaner: &Cleaner, client: &Client) -> anyhow::Result<()> {
    for target in list::<Target>(client).await? {
        let api = Api::<Target>::namespaced(client.clone(), &target.namespace().unwrap_or_default());
        cleaner.delete(&api, target.meta(), &DeleteParams::default()).await?;
    }
    for target in list::<ClusterTarget>(client).await? {
        let api = Api::<ClusterTarget>::all(client.clone());
        cleaner.delete(&api, target.meta(), &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Connect all targets that can be connected; the others are told.
async fn reach(cleaner: &Cleaner, client: &Client) -> anyhow::Result<Vec<Reached>> {
    let mut targets: Vec<AnyTarget> = vec![];
    targets.extend(list::<Target>(client).await?.iter().map(AnyTarget::from));
    targets.extend(list::<ClusterTarget>(client).await?.iter().map(AnyTarget::from));
    let mut reached = vec![];
    for target in targets {
        match connect(client, &target.access).await {
            Ok(connected) => reached.push(Reached {
                target: target.target,
                client: connected,
            }),
            Err(error) => cleaner.say(format!("target {}: pods may be left there: {error}", target.target)),
        }
    }
    Ok(reached)
}

/// End the programs that would go on working, and wait until they have.
async fn stop_programs(cleaner: &Cleaner, client: &Client) -> anyhow::Result<()> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
    for name in BUSY {
        if let Some(found) = deployments.get_metadata_opt(name).await?
            && plan::is_installed(&found.metadata)
        {
            cleaner
                .delete(&deployments, &found.metadata, &DeleteParams::background())
                .await?;
        }
    }
    let pods = Api::<Pod>::namespaced(client.clone(), names::INSTALL_NAMESPACE);
    let theirs = ListParams::default().labels(&format!("app.kubernetes.io/name in ({})", BUSY.join(",")));
    let ended = until_none(Instant::now() + PODS, || async {
        Ok(pods.list_metadata(&theirs).await?.items.len())
    })
    .await?;
    if !ended {
        bail!(
            "the agent and the extender do not end: see their pods in {}",
            names::INSTALL_NAMESPACE
        );
    }
    Ok(())
}

async fn delete_installed<K>(cleaner: &Cleaner, api: &Api<K>) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    for found in api.list_metadata(&installed()).await? {
        cleaner.delete(api, &found.metadata, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// All objects of a kind; none when its definition is gone.
async fn list<K>(client: &Client) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match Api::<K>::all(client.clone()).list(&ListParams::default()).await {
        Err(error) if api_error::is_not_found(&error) => Ok(vec![]),
        found => Ok(found?.items),
    }
}

async fn find<K>(client: &Client, which: &ListParams, ours: fn(&ObjectMeta) -> bool) -> Result<Vec<String>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let found = match Api::<K>::all(client.clone()).list_metadata(which).await {
        Err(error) if api_error::is_not_found(&error) => return Ok(vec![]),
        found => found?,
    };
    let ours = found.iter().filter(|object| ours(&object.metadata));
    Ok(ours.map(|object| describe::<K>(&object.metadata)).collect())
}

async fn remaining(client: &Client, with_manifests: bool) -> Result<Vec<String>, kube::Error> {
    let mut left = leftovers(client).await?;
    if with_manifests {
        left.extend(manifests(client).await?);
    }
    Ok(left)
}

/// What of all that this system makes is still there.
async fn leftovers(client: &Client) -> Result<Vec<String>, kube::Error> {
    let all = ListParams::default();
    let delegates = ListParams::default().labels(names::PARENT_UID);
    Ok([
        find::<MutatingWebhookConfiguration>(client, &installed(), plan::is_installed).await?,
        find::<ValidatingWebhookConfiguration>(client, &installed(), plan::is_installed).await?,
        find::<Node>(client, &all, plan::is_virtual_node).await?,
        find::<Lease>(client, &all, plan::is_node_lease).await?,
        find::<Pod>(client, &all, plan::is_held).await?,
        find::<PodChaperon>(client, &all, |_| true).await?,
        find::<Pod>(client, &delegates, plan::is_delegate).await?,
        find::<ClusterRoleBinding>(client, &all, plan::is_source_binding).await?,
        find::<Secret>(client, &kubeconfig_secrets(), plan::is_kubeconfig_secret).await?,
        copies(client).await?,
        find::<Service>(client, &all, plan::is_rerouted).await?,
        exposure::withdraw::left(client).await?,
    ]
    .concat())
}

/// What followed pods here from any source.
async fn copies(client: &Client) -> Result<Vec<String>, kube::Error> {
    let marked = ListParams::default().labels(names::PARENT_CLUSTER_NAME);
    let mut left = vec![];
    for resource in recall::kinds() {
        let found = match Api::<DynamicObject>::all_with(client.clone(), &resource)
            .list_metadata(&marked)
            .await
        {
            Err(error) if api_error::is_not_found(&error) => continue,
            found => found?,
        };
        let ours = found.iter().filter(|object| recall::is_copy(&object.metadata));
        left.extend(ours.map(|object| describe_as(&resource.kind, &object.metadata)));
    }
    Ok(left)
}

/// What of the manifests is still there.
async fn manifests(client: &Client) -> Result<Vec<String>, kube::Error> {
    let ours = |metadata: &ObjectMeta| {
        metadata
            .name
            .as_deref()
            .is_some_and(|name| name.ends_with(names::GROUP))
    };
    Ok([
        find::<CustomResourceDefinition>(client, &ListParams::default(), ours).await?,
        find::<Namespace>(client, &installed(), plan::is_installed).await?,
        find::<ClusterRole>(client, &installed(), plan::is_installed).await?,
        find::<ClusterRoleBinding>(client, &installed(), plan::is_installed).await?,
        find::<ValidatingAdmissionPolicy>(client, &installed(), plan::is_installed).await?,
        find::<ValidatingAdmissionPolicyBinding>(client, &installed(), plan::is_installed).await?,
    ]
    .concat())
}

fn installed() -> ListParams {
    ListParams::default().labels(&format!("{}={}", names::PART_OF, names::PART_OF_VALUE))
}
