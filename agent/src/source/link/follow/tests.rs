//! A source and its targets, played by fakes. Time is virtual.

mod delivery;
mod exposed;
mod gates;
mod imports;
mod removal;
mod selectors;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::ObjectMeta;
use multicluster_api::chaperon::chaperon_name;
use multicluster_api::target::{AnyTarget, ClusterKubeconfigSecret, ClusterTargetSpec};
use multicluster_api::{ClusterTarget, names};
use multicluster_targets::Runner;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::events::Events;
use crate::fake::Fake;
use crate::home::Home;
use crate::leader::fence::Fence;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::fleet::Fleet;
use crate::source::following::hub::Following;
use crate::source::following::watch;
use crate::source::health::Limits;
use crate::source::imports::controller;
use crate::source::imports::index::Imports;
use crate::source::imports::network::Network;
use crate::source::mass_failure::MassFailure;
use crate::source::out_of_service::OutOfService;
use crate::source::proxy_pods::ProxyPods;

/// What the source is called in its targets.
const SOURCE: &str = "source";
/// Long enough for everything, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

struct World {
    source: Fake,
    targets: BTreeMap<&'static str, Fake>,
    home: Arc<Home>,
    _stop: DropGuard,
}

fn empty_cluster(user: &'static str, id: &str) -> Fake {
    let fake = Fake::new(user);
    fake.put(
        "namespaces",
        json!({ "metadata": { "name": "kube-system", "uid": id } }),
    );
    fake.put(
        "clustersummaries",
        json!({
            "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "ClusterSummary",
            "metadata": { "name": names::CLUSTER_SUMMARY, "uid": format!("summary-of-{id}") },
            "clusterID": id, "labels": { "topology.kubernetes.io/region": id },
        }),
    );
    fake
}

/// The virtual node of a target.
fn node(target: &str) -> String {
    target_of(target).target.virtual_node().as_str().to_owned()
}

fn target_of(name: &str) -> AnyTarget {
    let spec = ClusterTargetSpec {
        self_target: false,
        kubeconfig_secret: Some(ClusterKubeconfigSecret {
            namespace: "n".into(),
            name: "s".into(),
            key: None,
            context: None,
        }),
        excluded_labels_regexp: None,
    };
    let mut target = ClusterTarget::new(name, spec);
    target.metadata = ObjectMeta {
        uid: Some(name.into()),
        ..target.metadata
    };
    (&target).into()
}

impl World {
    /// Targets, each a cluster of its own.
    async fn start(names: &[&'static str]) -> Self {
        let targets = names.iter().map(|name| (*name, empty_cluster("source-user", name)));
        Self::start_with(targets.collect()).await
    }

    async fn start_with(targets: BTreeMap<&'static str, Fake>) -> Self {
        Self::start_from(empty_cluster("admin", "source-cluster"), targets).await
    }

    async fn start_from(source: Fake, targets: BTreeMap<&'static str, Fake>) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
        let client = source.client();
        let limits = Limits {
            stale_after: Duration::from_secs(8),
            slow_after: Duration::from_secs(1),
        };
        let home = Arc::new(Home {
            endpoint: None,
            cluster_name: SOURCE.into(),
            fence: Fence::none(),
            limits,
            mass_failure: Mutex::new(MassFailure::new(0.55)),
            mass_doubt: Mutex::new(MassFailure::new(0.55)),
            events: Events::new(client.clone()),
            pods: ProxyPods::default(),
            following: Arc::new(Following::new(&metrics.queues)),
            cluster_id: OnceCell::new(),
            out_of_service: OutOfService::default(),
            gateways: Default::default(),
            queue: Queue::new(&metrics.queues.homeless),
            imports: Imports::new(
                SOURCE,
                Network::default(),
                &metrics.queues.exports,
                &metrics.queues.imports,
            ),
            metrics,
            client,
        });
        let fleet = Fleet::new(home.clone(), || {});
        tokio::spawn(watch::run(home.clone(), stop.clone()));
        tokio::spawn(controller::run(home.clone(), stop.clone()));
        tokio::spawn(fleet.clone().run(stop.clone()));
        for (name, fake) in &targets {
            let target = target_of(name);
            fleet.known(&target);
            let (fleet, client, stop) = (fleet.clone(), fake.client(), stop.clone());
            tokio::spawn(async move { Runner::run(&*fleet, target, client, stop).await });
        }
        fleet.synced().await;
        Self {
            source,
            targets,
            home,
            _stop: stop.drop_guard(),
        }
    }

    /// A proxy pod with this label `app` that uses these ConfigMaps and Secrets.
    fn pod(&self, name: &str, config_maps: &[&str], secrets: &[&str]) {
        let config_maps = config_maps
            .iter()
            .map(|name| json!({ "configMapRef": { "name": name } }));
        let secrets = secrets.iter().map(|name| json!({ "secretRef": { "name": name } }));
        let from: Vec<_> = config_maps.chain(secrets).collect();
        self.source.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "namespace": "shop", "name": name, "uid": format!("pod-{name}"),
                    "labels": { "app": "web", names::HAS_FINALIZER: "true" },
                },
                "spec": { "containers": [{ "name": "main", "envFrom": from }] },
            }),
        );
    }

    /// The extender has sent the pod there, with a gate.
    fn send(&self, pod: &str, target: &'static str) {
        let uid = format!("pod-{pod}");
        self.targets[target].put(
            "podchaperons",
            json!({
                "metadata": {
                    "namespace": "shop", "name": chaperon_name(pod, &uid),
                    "labels": { names::PARENT_UID: uid, names::PARENT_CLUSTER_NAME: SOURCE },
                    "annotations": {
                        names::PARENT_NAME: pod, names::VIRTUAL_NODE: node(target), names::AWAITS_FILES: "true",
                    },
                },
            }),
        );
    }

    /// The pod is gone, and its delegate.
    fn delete(&self, pod: &str, target: &'static str) {
        let chaperon = chaperon_name(pod, &format!("pod-{pod}"));
        self.source.remove("pods", "shop", pod);
        self.targets[target].remove("podchaperons", "shop", &chaperon);
    }

    /// What the chaperon of this pod says.
    fn annotation(&self, pod: &str, target: &'static str, annotation: &str) -> Option<String> {
        let chaperon = chaperon_name(pod, &format!("pod-{pod}"));
        let chaperon = self.targets[target].get("podchaperons", "shop", &chaperon)?;
        chaperon["metadata"]["annotations"][annotation].as_str().map(Into::into)
    }

    fn may_start(&self, pod: &str, target: &'static str) -> bool {
        self.annotation(pod, target, names::AWAITS_FILES).is_none()
    }

    fn config_map(&self, name: &str, text: &str) {
        let metadata = json!({ "namespace": "shop", "name": name });
        let data = json!({ "text": text });
        self.source.put(
            "configmaps",
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }),
        );
    }

    /// The text of a ConfigMap's copy.
    fn text(&self, target: &'static str, name: &str) -> Option<String> {
        let copy = self.targets[target].get("configmaps", "shop", name)?;
        copy["data"]["text"].as_str().map(Into::into)
    }

    fn service(&self, name: &str, selector: Value) {
        let metadata = json!({ "namespace": "shop", "name": name });
        let spec =
            json!({ "type": "ClusterIP", "clusterIP": "10.0.0.7", "selector": selector, "ports": [{ "port": 80 }] });
        self.source.put(
            "services",
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec }),
        );
    }
}

/// Wait for this.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It stays so.
async fn throughout(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        assert!(holds(), "not any more: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Such futures lie on the stack, and those around them hold them several times over in unoptimised builds.
#[tokio::test(start_paused = true)]
async fn the_work_of_a_target_fits_a_stack() {
    let world = World::start(&["eu"]).await;
    let link = super::super::Link::new(world.home.clone(), target_of("us"));
    let work = link.run(target_of("us"), world.source.client(), CancellationToken::new());
    assert!(std::mem::size_of_val(&work) < 4096, "{}", std::mem::size_of_val(&work));
    let source = watch::run(world.home.clone(), CancellationToken::new());
    assert!(
        std::mem::size_of_val(&source) < 4096,
        "{}",
        std::mem::size_of_val(&source)
    );
}
