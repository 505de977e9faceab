//! The steps of a clean-up in one cluster. Each may be repeated, and cut off at any place.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_api::view::PodView;
use multicluster_api::{PodChaperon, TargetRef, names};
use multicluster_targets::identity::user_name;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::plan;
use crate::api_error;
use crate::source::exposure;
use crate::source::following::recall::{self, Others, Whose, recall};
use crate::source::following::reroute;
use crate::source::imports;
use crate::source::keep_node::LEASE_NAMESPACE;
use crate::source::withdraw::withdraw;
use crate::target::grants;

/// Pause before a step that found something is repeated.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Writes under way at a time.
const CONCURRENCY: usize = 16;
/// How often a finalizer is tried to be taken off an object that somebody else is writing.
const ATTEMPTS: usize = 5;

/// A target with a connection to it.
pub struct Reached {
    /// Which one.
    pub target: TargetRef,
    /// The connection.
    pub client: Client,
}

/// Secrets that are kubeconfigs of ours.
pub fn kubeconfig_secrets() -> ListParams {
    ListParams::default().fields(&format!("type={}", names::KUBECONFIG_SECRET))
}

/// Cleans one cluster up, and tells what it does.
pub struct Cleaner {
    client: Client,
    say: fn(&str),
}

impl Cleaner {
    /// For the cluster of this client.
    pub fn new(client: Client, say: fn(&str)) -> Self {
        Self { client, say }
    }

    /// Tell.
    pub fn say(&self, message: impl AsRef<str>) {
        (self.say)(message.as_ref());
    }

    /// Take back what this cluster has in its targets, all at a time. What cannot be reached is told, and left.
    pub async fn withdraw(&self, targets: Vec<Reached>, cluster_name: &str, patience: Duration) {
        let withdrawals = targets.iter().map(async |reached| {
            let work = withdraw(&reached.client, &reached.target, cluster_name, patience);
            let name = &reached.target;
            match tokio::time::timeout(patience * 2, work).await {
                Ok(Ok(0)) => {}
                Ok(Ok(count)) => self.say(format!("target {name}: deleted {count} chaperons and their delegates")),
                Ok(Err(error)) => self.say(format!("target {name}: pods may be left there: {error}")),
                Err(_) => return self.say(format!("target {name}: pods may be left there: it does not answer")),
            }
            if tokio::time::timeout(patience, self.recall(reached, cluster_name))
                .await
                .is_err()
            {
                self.say(format!(
                    "target {name}: what followed pods may be left there: it does not answer"
                ));
            }
        });
        future::join_all(withdrawals).await;
    }

    /// Take back what has followed pods to a target. No other target of this cluster needs it any more.
    async fn recall(&self, reached: &Reached, cluster_name: &str) {
        let user = user_name(&reached.client).await;
        let whose = Whose {
            cluster_name,
            namespace: reached.target.namespace.as_deref(),
            others: &Others::default(),
            user: user.as_deref(),
        };
        let recalled = recall(&reached.client, &whose).await;
        let name = &reached.target;
        if recalled.deleted > 0 {
            let count = recalled.deleted;
            self.say(format!("target {name}: deleted {count} copies of what followed pods"));
        }
        for left in recalled.left {
            self.say(format!("target {name}: what followed pods may be left there: {left}"));
        }
    }

    /// Delete all copies of what followed pods to this cluster, whichever source they belong to. What cannot be deleted is
    /// told, and left: nothing waits for it.
    pub async fn copies(&self) -> Result<usize, kube::Error> {
        let marked = ListParams::default().labels(names::PARENT_CLUSTER_NAME);
        let mut count = 0;
        for resource in recall::kinds() {
            let found = match Api::<DynamicObject>::all_with(self.client.clone(), &resource)
                .list_metadata(&marked)
                .await
            {
                Err(error) if api_error::is_not_found(&error) => continue,
                Err(error) => {
                    self.say(format!(
                        "{} that followed pods here may be left: {error}",
                        resource.plural
                    ));
                    continue;
                }
                Ok(found) => found.items.into_iter().map(|object| object.metadata),
            };
            let alive = found.filter(|metadata| metadata.deletion_timestamp.is_none());
            let copies: Vec<_> = alive.filter(recall::is_copy).collect();
            count += copies.len();
            stream::iter(copies.iter().map(|copy| self.copy(&resource, copy)))
                .buffer_unordered(CONCURRENCY)
                .try_collect::<()>()
                .await?;
        }
        Ok(count)
    }

    async fn copy(&self, resource: &ApiResource, metadata: &ObjectMeta) -> Result<(), kube::Error> {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, resource);
        let exactly = exactly(metadata, DeleteParams::default());
        api_error::ignore_gone(api.delete(metadata.name.as_deref().unwrap_or_default(), &exactly).await)?;
        self.say(format!("deleted {}", describe_as(&resource.kind, metadata)));
        Ok(())
    }

    /// Take back what was imported in the source itself. What fails is told, and nothing else waits for it.
    pub async fn imports(&self, cluster_name: &str) {
        match imports::withdraw::withdraw(&self.client, cluster_name).await {
            Ok(recalled) => {
                if recalled.deleted > 0 {
                    self.say(format!("deleted {} objects of imported Services", recalled.deleted));
                }
                for left in recalled.left {
                    self.say(format!("what was imported here may be left: {left}"));
                }
            }
            Err(error) => self.say(format!("conditions of ServiceExports may be left: {error}")),
        }
    }

    /// Give the source's Services their selectors back, and take away what was written for those outside: addresses, DNS
    /// records, EndpointSlices. What fails is told, and nothing else waits for it.
    pub async fn originals(&self) {
        match reroute::restore(&self.client).await {
            Ok(0) => {}
            Ok(count) => self.say(format!("Services whose selectors were given back: {count}")),
            Err(error) => self.say(format!("Services may be left that select nothing here: {error}")),
        }
        match exposure::withdraw::withdraw(&self.client).await {
            Ok(0) => {}
            Ok(count) => self.say(format!("DNSEndpoints, EndpointSlices and statuses taken back: {count}")),
            Err(error) => self.say(format!(
                "DNSEndpoints, EndpointSlices or addresses of targets in statuses may be left: {error}"
            )),
        }
    }

    /// Delete virtual nodes, each with its Lease.
    pub async fn virtual_nodes(&self) -> Result<usize, kube::Error> {
        let nodes = Api::<Node>::all(self.client.clone());
        let leases = Api::<Lease>::namespaced(self.client.clone(), LEASE_NAMESPACE);
        let labels = ListParams::default().labels(&format!("{}={}", names::PROVIDER, names::PROVIDER_VALUE));
        let mut found = nodes.list_metadata(&labels).await?.items;
        found.retain(|node| plan::is_virtual_node(&node.metadata));
        for node in &found {
            self.delete(&nodes, &node.metadata, &DeleteParams::default()).await?;
            // The garbage collector would take its time.
            api_error::ignore_gone(leases.delete(&node.name_any(), &DeleteParams::default()).await)?;
        }
        Ok(found.len())
    }

    /// Delete Leases of virtual nodes that are gone. The agent may not list Leases, an administrator may.
    pub async fn node_leases(&self) -> Result<usize, kube::Error> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), LEASE_NAMESPACE);
        let mut found = leases.list_metadata(&ListParams::default()).await?.items;
        found.retain(|lease| plan::is_node_lease(&lease.metadata));
        for lease in &found {
            self.delete(&leases, &lease.metadata, &DeleteParams::default()).await?;
        }
        Ok(found.len())
    }

    /// Take our finalizer off all pods that `which` selects, and delete those that are of no use without us.
    pub async fn proxy_pods(&self, which: &ListParams) -> Result<usize, kube::Error> {
        let mut found = Api::<PodView>::all(self.client.clone()).list(which).await?.items;
        found.retain(|pod| plan::is_held(&pod.metadata));
        stream::iter(found.iter().map(|pod| self.proxy_pod(pod)))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        Ok(found.len())
    }

    async fn proxy_pod(&self, pod: &PodView) -> Result<(), kube::Error> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        if plan::is_of_no_use(pod) && pod.metadata.deletion_timestamp.is_none() {
            // No kubelet will ever confirm its end.
            self.delete(&pods, &pod.metadata, &DeleteParams::default().grace_period(0))
                .await?;
        }
        self.release(&pods, &pod.name_any(), names::FINALIZER).await
    }

    /// Delete all chaperons of this cluster, their delegates first.
    pub async fn chaperons(&self) -> Result<usize, kube::Error> {
        let found = match Api::<PodChaperon>::all(self.client.clone())
            .list_metadata(&ListParams::default())
            .await
        {
            // Their definition is gone, and they with it.
            Err(error) if api_error::is_not_found(&error) => return Ok(0),
            found => found?.items,
        };
        let alive = found
            .iter()
            .filter(|chaperon| chaperon.metadata.deletion_timestamp.is_none());
        self.delete_all::<PodChaperon>(alive.map(|chaperon| &chaperon.metadata), DeleteParams::foreground())
            .await?;
        Ok(found.len())
    }

    /// Delete delegates. The garbage collector does not when the definition of chaperons is gone: it cannot look up
    /// an owner of a kind that does not exist.
    pub async fn delegates(&self) -> Result<usize, kube::Error> {
        let labels = ListParams::default().labels(names::PARENT_UID);
        let mut found = Api::<Pod>::all(self.client.clone()).list_metadata(&labels).await?.items;
        found.retain(|pod| plan::is_delegate(&pod.metadata));
        let alive = found.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        self.delete_all::<Pod>(alive.map(|pod| &pod.metadata), DeleteParams::default())
            .await?;
        Ok(found.len())
    }

    /// Delete the Secrets that Kubeconfigs made. The garbage collector may not, when the definition of Kubeconfigs goes with
    /// them. What fails is told, and nothing else waits for it.
    pub async fn kubeconfig_secrets(&self) {
        match self.delete_kubeconfig_secrets().await {
            Ok(0) => {}
            Ok(count) => self.say(format!("Secrets of Kubeconfigs that were deleted: {count}")),
            Err(error) => self.say(format!("Secrets of Kubeconfigs may be left: {error}")),
        }
    }

    async fn delete_kubeconfig_secrets(&self) -> Result<usize, kube::Error> {
        let all = Api::<Secret>::all(self.client.clone());
        let mut found = all.list_metadata(&kubeconfig_secrets()).await?.items;
        found.retain(|secret| plan::is_kubeconfig_secret(&secret.metadata));
        self.delete_all::<Secret>(found.iter().map(|secret| &secret.metadata), DeleteParams::default())
            .await?;
        Ok(found.len())
    }

    /// Delete the bindings that the agent made for Sources.
    pub async fn source_bindings(&self) -> Result<usize, kube::Error> {
        let managed = ListParams::default().labels(&format!("{}={}", grants::MANAGED_BY.0, grants::MANAGED_BY.1));
        let all = Api::<ClusterRoleBinding>::all(self.client.clone());
        let mut cluster = all.list_metadata(&managed).await?.items;
        cluster.retain(|binding| plan::is_source_binding(&binding.metadata));
        for binding in &cluster {
            self.delete(&all, &binding.metadata, &DeleteParams::default()).await?;
        }
        let mut namespaced = Api::<RoleBinding>::all(self.client.clone())
            .list_metadata(&managed)
            .await?
            .items;
        namespaced.retain(|binding| plan::is_source_binding(&binding.metadata));
        self.delete_all::<RoleBinding>(
            namespaced.iter().map(|binding| &binding.metadata),
            DeleteParams::default(),
        )
        .await?;
        Ok(cluster.len() + namespaced.len())
    }

    async fn delete_all<K>(
        &self,
        objects: impl Iterator<Item = &ObjectMeta>,
        parameters: DeleteParams,
    ) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let deletions = objects.map(async |metadata| {
            let namespace = metadata.namespace.clone().unwrap_or_default();
            self.delete(
                &Api::<K>::namespaced(self.client.clone(), &namespace),
                metadata,
                &parameters,
            )
            .await
        });
        stream::iter(deletions.collect::<Vec<_>>())
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Delete exactly this object.
    pub async fn delete<K>(&self, api: &Api<K>, metadata: &ObjectMeta, with: &DeleteParams) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let name = metadata.name.as_deref().unwrap_or_default();
        api_error::ignore_gone(api.delete(name, &exactly(metadata, with.clone())).await)?;
        self.say(format!("deleted {}", describe::<K>(metadata)));
        Ok(())
    }

    /// Take a finalizer off an object, and leave all others.
    pub async fn release<K>(&self, api: &Api<K>, name: &str, finalizer: &str) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut attempts = 0;
        loop {
            let Some(object) = api.get_metadata_opt(name).await? else {
                return Ok(());
            };
            let Some(left) = plan::without(&object.metadata, finalizer) else {
                return Ok(());
            };
            // The list is replaced as a whole: only if nobody else has changed the object meanwhile.
            let version = object.metadata.resource_version.clone();
            let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": left } });
            match api
                .patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                Ok(_) => {
                    self.say(format!("released {}", describe::<K>(&object.metadata)));
                    return Ok(());
                }
                Err(error) if api_error::is_not_found(&error) => return Ok(()),
                Err(error) if api_error::is_conflict(&error) && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Repeat a step until it finds nothing more, or time is up. Returns whether it found nothing in the end.
pub async fn until_none<F>(deadline: Instant, mut step: impl FnMut() -> F) -> Result<bool, kube::Error>
where
    F: Future<Output = Result<usize, kube::Error>>,
{
    loop {
        let found = step().await;
        match found {
            Ok(0) => return Ok(true),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Ok(_) if Instant::now() >= deadline => return Ok(false),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// The pods that the webhook has made proxy pods.
pub fn marked() -> ListParams {
    ListParams::default().labels(&format!("{}=true", names::HAS_FINALIZER))
}

/// This object, and no other one that has its name by now.
fn exactly(metadata: &ObjectMeta, with: DeleteParams) -> DeleteParams {
    with.preconditions(Preconditions {
        uid: metadata.uid.clone(),
        ..Default::default()
    })
}

/// Kind, namespace and name.
pub fn describe<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> String {
    describe_as(&K::kind(&()), metadata)
}

/// The same of a kind that is known by its name alone.
pub fn describe_as(kind: &str, metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    match &metadata.namespace {
        None => format!("{kind} {name}"),
        Some(namespace) => format!("{kind} {namespace}/{name}"),
    }
}
