//! Writes what the facts about one object come to.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Error;
use serde_json::Value;

use super::apply::{self, Place};
use super::cluster::Cluster;
use super::controller::{Exposure, Work};
use super::facts::Facts;
use super::notices::{self, Notice};
use super::policy::{Policy, Routing};
use super::records::{Endpoint, records};
use super::site::Exposed;
use super::status::{Shown, status};
use super::{dns_endpoints, shelf, slices};
use crate::metrics::KindLabel;
use crate::source::following::object::{Kind, ObjectKey};

const ACTION: &str = "Expose";

impl<F: Facts> Exposure<F> {
    /// Look at an object. Returns whether there is anything to look at again.
    pub(super) async fn object(&self, key: &ObjectKey) -> Result<bool, Error> {
        let Some(exposed) = self.facts.exposed(key) else {
            return self.forget(key).await.map(|()| false);
        };
        self.attach(key, Some(&exposed));
        let clusters = Cluster::all(&exposed.sites);
        let (policy, wrong) = Policy::of(&exposed, &self.settings);
        let (endpoints, mut notices) = self.records(&exposed, &policy, wrong, &clusters);
        // One that fails does not keep the others from being written; records first, they lead users here.
        let dns = dns_endpoints::object(&exposed, &endpoints);
        let dns = self.dns.keep(key, dns.as_slice()).await;
        let slices = slices::objects(&exposed, &clusters, &policy.factors);
        let slices = self.slices.keep(key, &slices).await;
        let status = self.status(&exposed, &clusters).await;
        for (kind, kept) in [("DNSEndpoint", &dns), ("EndpointSlice", &slices)] {
            notices.extend(kept.iter().flat_map(|kept| self.count(kind, kept)));
        }
        notices.extend(status.iter().flatten().cloned());
        self.tell(&exposed, notices);
        dns.and(slices).map(drop)?;
        status?;
        Ok(true)
    }

    /// The object is not there, or follows no pods any more.
    async fn forget(&self, key: &ObjectKey) -> Result<(), Error> {
        self.attach(key, None);
        let touched = self.claims.lock().remove(key);
        self.add(touched);
        self.notices.news(key, []);
        let (dns, slices) = (self.dns.keep(key, &[]).await, self.slices.keep(key, &[]).await);
        for (kind, kept) in [("DNSEndpoint", &dns), ("EndpointSlice", &slices)] {
            kept.iter().for_each(|kept| drop(self.count(kind, kept)));
        }
        let work = Work::Object(key.clone());
        if let (Some(shown), Some(place)) = (shown(key.kind), self.statuses.place(&work)) {
            self.statuses.keep(&work, shown, place, None).await?;
        }
        dns.and(slices).map(drop)
    }

    /// The facts that are used from now on, and the Gateways that they concern.
    fn attach(&self, key: &ObjectKey, exposed: Option<&Exposed>) {
        let before = match exposed {
            Some(exposed) => self.seen.lock().insert(key.clone(), exposed.clone()),
            None => self.seen.lock().remove(key),
        };
        let gateways = before.iter().chain(exposed).flat_map(|exposed| &exposed.gateways);
        for (namespace, name) in gateways.collect::<BTreeSet<_>>() {
            self.queue.add(Work::Gateway(namespace.clone(), name.clone()));
        }
    }

    fn add(&self, keys: BTreeSet<ObjectKey>) {
        keys.into_iter().for_each(|key| self.queue.add(Work::Object(key)));
    }

    /// The records of the names that the object has.
    fn records(
        &self,
        exposed: &Exposed,
        policy: &Policy,
        wrong: Vec<String>,
        clusters: &[Cluster],
    ) -> (Vec<Endpoint>, Vec<Notice>) {
        let publish = self.settings.publish && policy.routing != Routing::None;
        let wanted = if publish { policy.hosts.clone() } else { BTreeSet::new() };
        let (key, namespace) = (&exposed.key, &exposed.key.namespace);
        let mut claims = self.claims.lock();
        let touched = claims.set(key, exposed.created, &exposed.uid, wanted.clone());
        self.add(touched);
        let (mut notices, mut own) = (vec![], vec![]);
        for host in &wanted {
            match claims.owner(host).filter(|owner| *owner != key) {
                None => own.push(host.clone()),
                Some(owner) => notices.push((notices::NAME_TAKEN, taken(host.as_str(), namespace, owner))),
            }
        }
        drop(claims);
        if self.settings.publish {
            notices.extend(wrong.into_iter().map(|message| (notices::INVALID, message)));
        }
        let serving: Vec<_> = clusters.iter().filter(|cluster| cluster.serves()).cloned().collect();
        let (endpoints, left_out) = records(policy, &own, &serving, namespace);
        notices.extend(left_out.into_iter().map(|message| (notices::LEFT_OUT, message)));
        (endpoints, notices)
    }

    async fn status(&self, exposed: &Exposed, clusters: &[Cluster]) -> Result<Option<Notice>, Error> {
        let Some(shown) = shown(exposed.key.kind) else {
            return Ok(None);
        };
        let place = Place {
            namespace: exposed.key.namespace.clone(),
            name: exposed.key.name.clone(),
            uid: exposed.uid.clone(),
        };
        let work = Work::Object(exposed.key.clone());
        self.keep_status(&work, shown, place, status(shown, clusters)).await
    }

    async fn keep_status(
        &self,
        work: &Work,
        shown: Shown,
        place: Place,
        wanted: Option<Value>,
    ) -> Result<Option<Notice>, Error> {
        let kept = self.statuses.keep(work, shown, place, wanted).await?;
        if kept.written {
            self.metrics
                .exposure_writes
                .get_or_create(&KindLabel { kind: "Status" })
                .inc();
        }
        Ok(kept.theirs.map(|message| {
            let advice = match shown {
                Shown::Ingress => "give it an ingress class that no controller in this cluster serves",
                Shown::Service => "give it a spec.loadBalancerClass that no controller in this cluster serves",
                Shown::Gateway => "give it a GatewayClass that no controller in this cluster serves",
            };
            (
                notices::STATUS_TAKEN,
                format!("the status does not show the addresses of the targets, because another controller writes it: {advice} ({message})"),
            )
        }))
    }

    /// Look at the status of a Gateway of the source, if there is one.
    pub(super) async fn gateway(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        let (mut sites, routes) = (vec![], self.routes(namespace, name));
        for mut site in routes.iter().flat_map(|route| route.sites.clone()) {
            site.addresses = self.facts.gateway(&site.node, namespace, name);
            sites.push(site);
        }
        let wanted = status(Shown::Gateway, &Cluster::all(&sites));
        let work = Work::Gateway(namespace.to_owned(), name.to_owned());
        let place = match self.statuses.place(&work) {
            None if wanted.is_none() => None,
            None => apply::place(&self.client, Shown::Gateway, namespace, name).await?,
            place => place,
        };
        let Some(place) = place else {
            return Ok(!routes.is_empty());
        };
        let reference = reference("gateway.networking.k8s.io/v1", "Gateway", namespace, name, &place.uid);
        let notice = self.keep_status(&work, Shown::Gateway, place, wanted).await?;
        // A Gateway is not among the objects that things are told of; what Kubernetes counts as equal is one event.
        if let Some((reason, note)) = notice {
            self.events.warning(reference, reason, ACTION, note);
        }
        Ok(!routes.is_empty())
    }

    fn count(&self, kind: &'static str, kept: &shelf::Kept) -> Vec<Notice> {
        self.metrics
            .exposure_writes
            .get_or_create(&KindLabel { kind })
            .inc_by(kept.writes);
        let taken = |name: &String| {
            let note = format!("the {kind} {name} is not the agent's: rename it, or this object gets none");
            (notices::OBJECT_TAKEN, note)
        };
        kept.taken.iter().map(taken).collect()
    }

    fn tell(&self, exposed: &Exposed, notices: Vec<Notice>) {
        for (reason, note) in self.notices.news(&exposed.key, notices) {
            self.events
                .warning(reference_of(&exposed.key, &exposed.uid), reason, ACTION, note);
        }
    }

    /// It fails again and again.
    pub(super) fn tell_failed(&self, work: &Work, error: &Error) {
        let Work::Object(key) = work else {
            return;
        };
        let uid = self.seen.lock().get(key).map(|exposed| exposed.uid.clone());
        if let Some(uid) = uid {
            let note = format!("its addresses cannot be published, and it is tried again and again: {error}");
            self.events
                .warning(reference_of(key, &uid), notices::FAILED, ACTION, note);
        }
    }
}

/// What the status of a kind shows.
fn shown(kind: Kind) -> Option<Shown> {
    match kind {
        Kind::Ingress => Some(Shown::Ingress),
        Kind::Service => Some(Shown::Service),
        _ => None,
    }
}

/// Users of one namespace are not told what others have in theirs.
fn taken(host: &str, namespace: &str, owner: &ObjectKey) -> String {
    let who = match owner.namespace == namespace {
        true => format!("{} {}", owner.kind.resource().kind, owner.name),
        false => "an object in another namespace".to_owned(),
    };
    format!("{host} leads to {who}, which is older and has the name; choose another name, or take it away there")
}

fn reference_of(key: &ObjectKey, uid: &str) -> ObjectReference {
    let resource = key.kind.resource();
    reference(&resource.api_version, &resource.kind, &key.namespace, &key.name, uid)
}

fn reference(api_version: &str, kind: &str, namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.into()),
        kind: Some(kind.into()),
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        uid: Some(uid.into()),
        ..Default::default()
    }
}
