//! Load balancers: gives addresses to Ingresses, Services and Gateways of a cluster.
//!
//! It stands in for what cannot run here: a cloud, and the ingress controller and Gateway controller that order load
//! balancers from it. It does what is seen of them in the API, and nothing else: an object that asks for a load balancer
//! gets the cluster's address in its status, whether pods are behind it or not. Nothing listens on the addresses; they are
//! those that RFC 5737 and RFC 3849 keep for documentation.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::Resource;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Cluster;
use crate::dns::Zone;

/// Classes (of Ingresses, Gateways, and the last part of Services' `loadBalancerClass`) with addresses of both families.
pub const DUAL: &str = "dual";
/// Classes whose load balancers have a name instead of addresses, as those of AWS.
pub const NAMED: &str = "alb";

/// The addresses of one cluster's load balancers.
#[derive(Clone, Debug)]
pub struct Addresses {
    cluster: String,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

/// Which controller gives the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// The ingress controller.
    Ingress = 1,
    /// The cloud's controller of Services.
    Service = 2,
    /// The Gateway controller.
    Gateway = 3,
}

impl Addresses {
    /// Those of the cluster with this name and number: 0 and 1 are 192.0.2.x and 198.51.100.x.
    pub fn new(cluster: &str, number: u8) -> Self {
        let v4 = match number {
            0 => Ipv4Addr::new(192, 0, 2, 0),
            1 => Ipv4Addr::new(198, 51, 100, 0),
            _ => Ipv4Addr::new(203, 0, 113, number.saturating_mul(4)),
        };
        Self {
            cluster: cluster.to_owned(),
            v4,
            v6: Ipv6Addr::new(0x2001, 0xdb8, u16::from(number), 0, 0, 0, 0, 0),
        }
    }

    /// The IPv4 address behind which a controller serves.
    pub fn v4(&self, front: Front) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self.v4.to_bits() + front as u32))
    }

    /// The IPv6 address of the same.
    pub fn v6(&self, front: Front) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self.v6.to_bits() + front as u128))
    }

    /// The name of the same.
    pub fn hostname(&self, front: Front) -> String {
        let front = format!("{front:?}").to_lowercase();
        Zone::LoadBalancers.host(&format!("{front}-{}", self.cluster))
    }

    /// What the cloud's own DNS answers for the names.
    pub fn names(&self) -> BTreeMap<String, Vec<IpAddr>> {
        [Front::Ingress, Front::Service, Front::Gateway]
            .map(|front| (self.hostname(front), vec![self.v4(front)]))
            .into()
    }

    /// Is it an address of this cluster?
    pub fn has(&self, address: IpAddr) -> bool {
        [Front::Ingress, Front::Service, Front::Gateway]
            .iter()
            .any(|front| [self.v4(*front), self.v6(*front)].contains(&address))
    }

    /// What an object of this class shows: addresses or a name.
    fn of(&self, front: Front, class: &str) -> Vec<Value> {
        match class.rsplit('/').next().unwrap_or_default() {
            NAMED => vec![json!({ "hostname": self.hostname(front) })],
            DUAL => vec![json!({ "ip": self.v4(front) }), json!({ "ip": self.v6(front) })],
            _ => vec![json!({ "ip": self.v4(front) })],
        }
    }

    fn of_ingress(&self, ingress: &Ingress) -> Option<Value> {
        let class = ingress
            .spec
            .as_ref()
            .and_then(|spec| spec.ingress_class_name.as_deref());
        let legacy = ingress
            .annotations()
            .get("kubernetes.io/ingress.class")
            .map(String::as_str);
        let addresses = self.of(Front::Ingress, class.or(legacy)?);
        Some(json!({ "loadBalancer": { "ingress": addresses } }))
    }

    fn of_service(&self, service: &Service) -> Option<Value> {
        let spec = service.spec.as_ref()?;
        if spec.type_.as_deref() != Some("LoadBalancer") {
            return None;
        }
        let addresses = self.of(Front::Service, spec.load_balancer_class.as_deref().unwrap_or_default());
        Some(json!({ "loadBalancer": { "ingress": addresses } }))
    }

    fn of_gateway(&self, gateway: &DynamicObject) -> Option<Value> {
        let class = gateway.data.pointer("/spec/gatewayClassName")?.as_str()?;
        let addresses = self
            .of(Front::Gateway, class)
            .into_iter()
            .map(|address| match address.get("hostname") {
                Some(name) => json!({ "type": "Hostname", "value": name }),
                None => json!({ "type": "IPAddress", "value": address["ip"] }),
            });
        let condition = |kind: &str| {
            json!({
                "type": kind, "status": "True", "reason": kind, "message": "",
                "observedGeneration": gateway.metadata.generation, "lastTransitionTime": "2024-01-01T00:00:00Z",
            })
        };
        Some(json!({
            "addresses": addresses.collect::<Vec<_>>(),
            "conditions": [condition("Accepted"), condition("Programmed")],
        }))
    }
}

/// The controllers of one cluster. Dropped, they stop; what they wrote stays.
pub struct LoadBalancers {
    /// What they give.
    pub addresses: Addresses,
    client: Client,
    tasks: Mutex<JoinSet<()>>,
}

impl LoadBalancers {
    /// Starts the controllers of Ingresses and Services. That of Gateways: [`serve_gateways`](Self::serve_gateways).
    pub fn start(cluster: &Cluster, addresses: Addresses) -> Self {
        let client = cluster.client();
        let mut tasks = JoinSet::new();
        let (of_ingresses, of_services) = (addresses.clone(), addresses.clone());
        tasks.spawn(serve::<Ingress>((), client.clone(), move |object| {
            of_ingresses.of_ingress(object)
        }));
        tasks.spawn(serve::<Service>((), client.clone(), move |object| {
            of_services.of_service(object)
        }));
        Self {
            addresses,
            client,
            tasks: Mutex::new(tasks),
        }
    }

    /// Starts the controller of Gateways, once their definition is there.
    pub fn serve_gateways(&self) {
        let (addresses, client) = (self.addresses.clone(), self.client.clone());
        let serve = serve(gateways(), client, move |object: &DynamicObject| {
            addresses.of_gateway(object)
        });
        self.tasks.lock().spawn(serve);
    }
}

/// The Gateway API's Gateway.
pub fn gateways() -> ApiResource {
    ApiResource {
        group: "gateway.networking.k8s.io".into(),
        version: "v1".into(),
        api_version: "gateway.networking.k8s.io/v1".into(),
        kind: "Gateway".into(),
        plural: "gateways".into(),
    }
}

/// Writes the status of every object of a kind that wants one, for ever.
async fn serve<K>(kind: K::DynamicType, client: Client, status: impl Fn(&K) -> Option<Value>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
    K::DynamicType: Clone,
{
    let all = Api::<K>::all_with(client.clone(), &kind);
    let mut objects = Box::pin(
        watcher(all, watcher::Config::default())
            .default_backoff()
            .applied_objects(),
    );
    loop {
        match objects.try_next().await {
            Ok(Some(object)) => {
                if let Err(error) = write(&kind, &client, &object, status(&object)).await {
                    eprintln!("testbed: no address for {}: {error:#}", object.name_any());
                }
            }
            // An API server that is away is watched again when it is back.
            Err(_) => {}
            Ok(None) => return,
        }
    }
}

async fn write<K>(kind: &K::DynamicType, client: &Client, object: &K, wanted: Option<Value>) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
    K::DynamicType: Clone,
{
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let held = serde_json::to_value(object)?;
    if held["status"]["loadBalancer"] == wanted["loadBalancer"] && held["status"]["addresses"] == wanted["addresses"] {
        return Ok(());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &ApiResource::erase::<K>(kind));
    let patch = Patch::Merge(json!({ "status": wanted }));
    match api.patch_status(&name, &PatchParams::default(), &patch).await {
        // Gone meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        written => written.map(drop).map_err(Into::into),
    }
}
