//! From facts to what an API server has. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use multicluster_api::names;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::world::World;
use super::*;
use crate::fake::{Fake, failure};
use crate::source::exposure::cluster::tests::site;
use crate::source::exposure::policy::tests::{SETTINGS, exposed};
use crate::source::exposure::site::{Address, Site};

/// Kind, namespace and name of an object.
type Path = (&'static str, &'static str, &'static str);

const DNS: Path = ("dnsendpoints", "default", "ingress-web");
const INGRESS: Path = ("ingresses", "default", "web");
const GATEWAY: Path = ("gateways", "infra", "public");
/// The DNSEndpoint of a second Ingress.
const THIEF: Path = ("dnsendpoints", "default", "ingress-thief");

struct Running {
    fake: Fake,
    world: Arc<World>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start(fake: Fake, world: World) -> Running {
    let (world, stop, client) = (Arc::new(world), CancellationToken::new(), fake.client());
    let events = Events::new(client.clone());
    let exposure = Exposure::new(client, world.clone(), SETTINGS, events, Arc::default());
    tokio::spawn(exposure.run(stop.clone()));
    Running { fake, world, stop }
}

/// The cluster of a test begins with an Ingress and a Gateway.
fn fake() -> Fake {
    let fake = Fake::new("agent");
    fake.put(
        "ingresses",
        json!({ "metadata": { "name": "web", "namespace": "default", "uid": "uid" } }),
    );
    fake.put(
        "gateways",
        json!({ "metadata": { "name": "public", "namespace": "infra", "uid": "g" } }),
    );
    fake
}

fn ingress(sites: Vec<Site>) -> Exposed {
    Exposed {
        sites,
        ..exposed(Kind::Ingress, &["a.com"], &[])
    }
}

fn both(us: u32, eu: u32) -> Exposed {
    ingress(vec![site("us", &["192.0.2.1"], us), site("eu", &["192.0.2.2"], eu)])
}

impl Running {
    fn get(&self, (plural, namespace, name): Path) -> Option<Value> {
        self.fake.get(plural, namespace, name)
    }

    /// The addresses of all records.
    fn records(&self) -> Vec<String> {
        let object = self.get(DNS).unwrap_or_default();
        let endpoints = object["spec"]["endpoints"].as_array().into_iter().flatten();
        endpoints
            .map(|endpoint| endpoint["targets"][0].as_str().unwrap().to_owned())
            .collect()
    }

    fn slices(&self) -> usize {
        self.fake.everywhere("endpointslices").len()
    }

    fn shown(&self) -> Value {
        self.get(INGRESS).unwrap()["status"]["loadBalancer"]["ingress"].clone()
    }

    /// Wait until it is so. Returns how long it took.
    async fn until(&self, what: impl Fn(&Self) -> bool) -> Duration {
        let begin = Instant::now();
        while !what(self) {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{:#?}",
                self.fake.everywhere("dnsendpoints")
            );
            sleep(Duration::from_millis(10)).await;
        }
        begin.elapsed()
    }

    fn reasons(&self) -> Vec<String> {
        self.fake.events()
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_gets_records_slices_and_a_status() {
    let running = start(fake(), World::default());
    running.world.put(both(2, 1));
    running.until(|now| now.records() == ["192.0.2.2", "192.0.2.1"]).await;
    running.until(|now| now.slices() == 2).await;
    running
        .until(|now| now.shown() == json!([{ "ip": "192.0.2.2" }, { "ip": "192.0.2.1" }]))
        .await;
    sleep(Duration::from_secs(60)).await;
    let writes = running.fake.writes();
    assert_eq!(writes, 4, "each thing is written once");
}

#[tokio::test(start_paused = true)]
async fn the_last_ready_pod_counts_at_once_and_weights_settle() {
    let running = start(fake(), World::default());
    running.world.put(both(1, 1));
    running.until(|now| now.records().len() == 2).await;
    let before = running.fake.writes();
    // A rollout: each pod is a change.
    for us in 2..=100 {
        running.world.put(both(us, 1));
        sleep(Duration::from_millis(40)).await;
    }
    let endpoints = |now: &Running| now.get(DNS).unwrap()["spec"]["endpoints"].clone();
    running
        .until(|now| endpoints(now)[1]["providerSpecific"][0]["value"] == "100")
        .await;
    let writes = running.fake.writes() - before;
    assert!(writes <= 4, "{writes} writes for 99 changes");
    running.world.put(both(100, 0));
    let took = running
        .until(|now| now.records() == ["192.0.2.1"] && now.shown() == json!([{ "ip": "192.0.2.1" }]))
        .await;
    assert!(took < Duration::from_millis(500), "{took:?}");
    running.world.put(both(0, 0));
    running
        .until(|now| now.get(DNS).is_none() && now.shown().is_null())
        .await;
    // Who does not serve is still to be seen.
    assert_eq!(running.slices(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_agent_left_goes_when_all_is_known_and_not_before() {
    let earlier = start(fake(), World::default());
    earlier.world.put(both(1, 1));
    earlier.until(|now| now.slices() == 2 && !now.shown().is_null()).await;
    let fake = earlier.fake.clone();
    drop(earlier);
    fake.edit(INGRESS.0, INGRESS.1, INGRESS.2, |ingress| {
        ingress["metadata"]["managedFields"] =
            json!([{ "manager": super::super::status::FIELD_MANAGER, "operation": "Apply", "subresource": "status" }]);
    });
    let world = World::default();
    world.set_known(false);
    let running = start(fake, world);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        (running.records().len(), running.slices(), running.shown().is_null()),
        (2, 2, false)
    );
    running.world.set_known(true);
    running
        .until(|now| now.get(DNS).is_none() && now.slices() == 0 && now.shown().is_null())
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_or_deletes_is_put_back() {
    let running = start(fake(), World::default());
    running.world.put(both(1, 1));
    running.until(|now| now.records().len() == 2).await;
    let mut object = running.get(DNS).unwrap();
    object["spec"]["endpoints"] = json!([]);
    running.fake.put(DNS.0, object);
    running.until(|now| now.records().len() == 2).await;
    running.fake.remove(DNS.0, DNS.1, DNS.2);
    running.until(|now| now.records().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_definition_the_rest_goes_on_and_it_may_come_later() {
    let fake = fake();
    fake.rule("missing", |_, path| {
        (path.plural == "dnsendpoints").then(|| (404, json!("404 page not found")))
    });
    let running = start(fake, World::default());
    running.world.put(both(1, 1));
    running.until(|now| now.slices() == 2 && !now.shown().is_null()).await;
    running.fake.lift("missing");
    running.until(|now| now.records().len() == 2).await;
    assert_eq!(running.reasons(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn objects_of_others_are_left_alone() {
    let fake = fake();
    let theirs =
        json!({ "metadata": { "name": "ingress-web", "namespace": "default" }, "spec": { "endpoints": ["theirs"] } });
    fake.put(DNS.0, theirs);
    fake.rule("theirs", |method, path| {
        let (code, mut status) = failure(409, "Conflict", "conflict with nginx", "ingresses", "web");
        status["details"]["causes"] = json!([{ "reason": "FieldManagerConflict", "field": ".status" }]);
        (method == Method::PATCH && path.plural == "ingresses").then_some((code, status))
    });
    let running = start(fake, World::default());
    running.world.put(both(1, 1));
    running.until(|now| now.slices() == 2 && now.reasons().len() == 2).await;
    running.world.put(both(0, 1));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(running.get(DNS).unwrap()["spec"]["endpoints"], json!(["theirs"]));
    let mut reasons = running.reasons();
    reasons.sort();
    assert_eq!(reasons, ["ObjectNameTaken", "StatusOwnedByOther"], "told once");
}

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_the_older_object() {
    let running = start(fake(), World::default());
    let at = |second| Timestamp::from_second(second).ok();
    let thief = Exposed {
        key: ObjectKey::new(Kind::Ingress, "default", "thief"),
        created: at(2),
        ..ingress(vec![site("us", &["192.0.2.66"], 9)])
    };
    let owner = Exposed {
        created: at(1),
        ..both(1, 0)
    };
    running.world.put(thief);
    running.until(|now| now.get(THIEF).is_some()).await;
    running.world.put(owner.clone());
    running
        .until(|now| now.get(THIEF).is_none() && now.records() == ["192.0.2.1"])
        .await;
    running.until(|now| now.reasons() == ["DNSNameTaken"]).await;
    running.world.remove(&owner.key);
    running
        .until(|now| now.get(THIEF).is_some() && now.get(DNS).is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn annotations_that_cannot_be_used_are_told_once() {
    let running = start(fake(), World::default());
    let mut exposed = both(1, 1);
    exposed.annotations.insert(names::DNS_POLICY.into(), "fastest".into());
    running.world.put(exposed.clone());
    running
        .until(|now| now.records().len() == 2 && now.reasons() == ["DNSPolicyInvalid"])
        .await;
    exposed.sites[0].ready = 0;
    running.world.put(exposed);
    running.until(|now| now.records().len() == 1).await;
    assert_eq!(running.reasons().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_shows_the_gateways_behind_its_routes() {
    let running = start(fake(), World::default());
    let addresses = |text: &str| vec![Address::Ip(text.parse().unwrap())];
    let route = |name: &str, ready| Exposed {
        key: ObjectKey::new(Kind::HttpRoute, "default", name),
        gateways: vec![("infra".into(), "public".into())],
        sites: vec![site("us", &["192.0.2.1"], ready), site("eu", &["192.0.2.2"], 0)],
        ..exposed(Kind::HttpRoute, &[], &[])
    };
    running.world.gateway("us", "infra", "public", addresses("192.0.2.1"));
    running.world.gateway("eu", "infra", "public", addresses("192.0.2.2"));
    running.world.put(route("a", 1));
    running.world.put(route("b", 0));
    let shown = |now: &Running| now.get(GATEWAY).unwrap()["status"]["addresses"].clone();
    running
        .until(|now| shown(now) == json!([{ "type": "IPAddress", "value": "192.0.2.1" }]))
        .await;
    running.world.gateway("us", "infra", "public", addresses("192.0.2.9"));
    running
        .until(|now| shown(now) == json!([{ "type": "IPAddress", "value": "192.0.2.9" }]))
        .await;
    running.world.remove(&route("a", 1).key);
    running.until(|now| shown(now).is_null()).await;
}
