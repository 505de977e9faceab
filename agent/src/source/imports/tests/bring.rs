//! From an export to what an API server has.

use std::net::IpAddr;

use http::Method;
use multicluster_api::{TargetRef, names};
use serde_json::{Value, json};

use super::service;
use crate::changes::Key;
use crate::fake::{Fake, failure};
use crate::source::following::copy::Context;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::imports::bring::{Known, Place, Unfinished};
use crate::source::imports::clusters::{Clusters, Way};
use crate::source::imports::endpoints::{Backend, Endpoints, endpoints};
use crate::source::imports::exportable::{Exportable, TargetPort};
use crate::source::imports::exports::Export;
use crate::source::imports::network::Network;
use crate::source::imports::there::{KINDS, There};
use crate::source::imports::wanted::Exported;

const CONTEXT: Context<'static> = Context {
    cluster_name: "hub",
    source_user: Some("hub-user"),
    selector: None,
};

/// One target, "us", and what is exported to it.
struct Target {
    fake: Fake,
    there: There,
    clusters: Clusters,
    export: Export,
    service: Exportable,
    pods: Vec<(String, bool)>,
}

impl Target {
    fn new() -> Self {
        let way = Way {
            node: TargetRef::cluster("us").virtual_node().as_str().into(),
            namespace: None,
            cluster_id: None,
            own: false,
            network: Network::default(),
            healthy: true,
        };
        let fake = Fake::new("hub-user");
        fake.give_addresses();
        Self {
            fake,
            there: There::default(),
            clusters: Clusters::new("hub", Network::default(), &[way]),
            export: Export {
                uid: "export".into(),
                ..Export::default()
            },
            service: service(TargetPort::Number(8080)),
            pods: (1..=3).map(|number| (format!("10.0.0.{number}"), true)).collect(),
        }
    }

    fn endpoints(&self) -> Endpoints {
        let us = &self.clusters.of_node("admiralty-us").unwrap().name;
        let backends = self.pods.iter().map(|(address, ready)| Backend {
            cluster: us.clone(),
            reachable: true,
            addresses: vec![address.parse::<IpAddr>().unwrap()],
            ready: *ready,
            terminating: false,
            hostname: None,
            ports: &[],
        });
        endpoints(&self.service, backends)
    }

    async fn bring(&self) -> Result<(), Unfinished> {
        self.tell();
        let (client, endpoints, name) = (self.fake.client(), self.endpoints(), web());
        let exported = Exported {
            key: &name,
            export: &self.export,
            service: &self.service,
        };
        let known = Known {
            clusters: &self.clusters,
            here: self.clusters.of_node("admiralty-us").unwrap(),
            endpoints: &endpoints,
        };
        self.place(&client).bring(&exported, &known).await
    }

    async fn withdraw(&self) {
        self.tell();
        self.place(&self.fake.client()).withdraw(&web()).await.unwrap();
    }

    /// What a watch of our objects would have told by now.
    fn tell(&self) {
        self.there.restart();
        for kind in KINDS {
            let objects = self.all(kind);
            let ours = objects
                .iter()
                .filter(|object| !object["metadata"]["labels"][names::IMPORT].is_null());
            ours.for_each(|object| drop(self.there.put(kind, object, &CONTEXT)));
            self.there.set_listed(kind);
        }
    }

    fn all(&self, kind: Kind) -> Vec<Value> {
        self.fake.all(&kind.resource().plural, "shop")
    }

    fn place<'a>(&'a self, client: &'a kube::Client) -> Place<'a> {
        Place {
            client,
            name: "us",
            there: &self.there,
            context: &CONTEXT,
        }
    }

    /// Addresses and readiness in all slices.
    fn addresses(&self) -> Vec<(String, bool)> {
        let slices = self.all(Kind::EndpointSlice);
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().unwrap());
        endpoints
            .map(|endpoint| {
                let address = endpoint["addresses"][0].as_str().unwrap().to_owned();
                (address, endpoint["conditions"]["ready"].as_bool().unwrap())
            })
            .collect()
    }
}

fn web() -> Key {
    ("shop".into(), "web".into())
}

fn import(target: &Target) -> Value {
    target.fake.get("serviceimports", "shop", "web").unwrap()
}

#[tokio::test]
async fn an_export_is_imported_and_a_second_look_writes_nothing() {
    let target = Target::new();
    target.bring().await.unwrap();
    let derived = &target.all(Kind::Service)[0];
    assert_eq!(import(&target)["spec"]["ips"], derived["spec"]["clusterIPs"]);
    assert_eq!(
        import(&target)["status"]["clusters"],
        json!([{ "cluster": "admiralty-us" }])
    );
    assert!(derived["spec"]["selector"].is_null());
    assert_eq!(target.addresses(), target.pods);
    // The import, its addresses, its status; the derived Service; the slice.
    let written = target.fake.version();
    assert_eq!(written, 5);
    target.bring().await.unwrap();
    assert_eq!(target.fake.version(), written);
}

#[tokio::test]
async fn a_change_of_a_pod_is_one_write() {
    let mut target = Target::new();
    target.bring().await.unwrap();
    let written = target.fake.version();
    target.pods[1].1 = false;
    target.bring().await.unwrap();
    assert_eq!(target.fake.version(), written + 1);
    assert_eq!(target.addresses(), target.pods);
}

#[tokio::test]
async fn when_the_last_pod_goes_the_import_stays_without_endpoints() {
    let mut target = Target::new();
    target.bring().await.unwrap();
    target.pods.clear();
    target.bring().await.unwrap();
    assert!(target.addresses().is_empty() && target.all(Kind::EndpointSlice).is_empty());
    assert_eq!(import(&target)["status"]["clusters"], json!([]));
}

#[tokio::test]
async fn what_is_exported_no_more_is_taken_away_whole() {
    let target = Target::new();
    target.bring().await.unwrap();
    target.withdraw().await;
    for kind in [Kind::ServiceImport, Kind::Service, Kind::EndpointSlice] {
        assert!(target.all(kind).is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn an_import_that_somebody_else_made_is_left_alone() {
    let target = Target::new();
    let theirs = json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": { "type": "Headless" } });
    target.fake.put("serviceimports", theirs);
    let before = import(&target);
    let result = target.bring().await;
    assert!(
        matches!(&result, Err(Unfinished::Taken(taken)) if *taken == ObjectKey::new(Kind::ServiceImport, "shop", "web")),
        "{result:?}"
    );
    assert_eq!(import(&target), before);
    assert!(target.all(Kind::Service).is_empty() && target.all(Kind::EndpointSlice).is_empty());
    // They change their mind.
    target.fake.remove("serviceimports", "shop", "web");
    target.bring().await.unwrap();
    assert_eq!(target.addresses(), target.pods);
}

#[tokio::test]
async fn an_import_that_loses_its_mark_is_theirs_and_what_stood_behind_it_goes() {
    let target = Target::new();
    target.bring().await.unwrap();
    let mut object = import(&target);
    object["metadata"]["annotations"] = json!({});
    target.fake.put("serviceimports", object.clone());
    assert!(matches!(target.bring().await, Err(Unfinished::Taken(_))));
    assert_eq!(import(&target)["spec"], object["spec"]);
    assert!(target.all(Kind::Service).is_empty() && target.all(Kind::EndpointSlice).is_empty());
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_is_put_back_but_not_at_once_again() {
    let target = Target::new();
    target.bring().await.unwrap();
    let mut object = import(&target);
    let addresses = object["spec"]["ips"].clone();
    object["spec"]["ips"] = json!(["192.0.2.1"]);
    target.fake.put("serviceimports", object.clone());
    target.bring().await.unwrap();
    assert_eq!(import(&target)["spec"]["ips"], addresses);
    // He insists.
    let mut object = import(&target);
    object["spec"]["ips"] = json!(["192.0.2.1"]);
    target.fake.put("serviceimports", object);
    let result = target.bring().await;
    assert!(matches!(result, Err(Unfinished::Again(_))), "{result:?}");
    let slice = target.all(Kind::EndpointSlice)[0]["metadata"]["name"].clone();
    target.fake.remove("serviceimports", "shop", "web");
    target.fake.remove("endpointslices", "shop", slice.as_str().unwrap());
    target.bring().await.unwrap();
    assert_eq!(
        (target.addresses(), &import(&target)["spec"]["ips"]),
        (target.pods.clone(), &addresses)
    );
}

#[tokio::test]
async fn a_service_that_becomes_headless_has_its_derived_service_made_anew() {
    let mut target = Target::new();
    target.bring().await.unwrap();
    target.service.headless = true;
    // The old one goes first.
    assert!(matches!(target.bring().await, Err(Unfinished::Waits)));
    target.bring().await.unwrap();
    assert_eq!(target.all(Kind::Service)[0]["spec"]["clusterIP"], "None");
    assert_eq!(import(&target)["spec"]["type"], "Headless");
    assert!(import(&target)["spec"]["ips"].is_null());
}

#[tokio::test]
async fn what_a_cluster_does_not_take_is_told_with_what_to_do() {
    let target = Target::new();
    target.fake.rule("no slices", |method, path| {
        let refused = *method == Method::POST && path.plural == "endpointslices";
        refused.then(|| failure(403, "Forbidden", "no", "endpointslices", "x"))
    });
    let Err(Unfinished::Refused(refusal)) = target.bring().await else {
        panic!()
    };
    assert!(
        refusal.note.contains("us") && refusal.note.contains("endpointslices"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn exported_labels_go_along_as_far_as_they_are_labels() {
    let mut target = Target::new();
    target.export.spec.exported_labels = [
        ("team", "shop"),
        ("not a label", "x"),
        ("multicluster.admiralty.io/parent-uid", "forged"),
        ("multicluster.kubernetes.io/service-name", "forged"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    target.export.spec.exported_annotations = [("a".to_owned(), "any text".to_owned())].into();
    target.bring().await.unwrap();
    let metadata = &import(&target)["metadata"];
    assert_eq!(metadata["labels"]["team"], "shop");
    assert_eq!(metadata["labels"]["multicluster.admiralty.io/parent-uid"], "export");
    assert_eq!(metadata["annotations"]["a"], "any text");
    let text = metadata.to_string();
    assert!(!text.contains("forged") && !text.contains("not a label"));
}

#[tokio::test]
async fn an_export_that_was_made_anew_keeps_its_import() {
    let mut target = Target::new();
    target.bring().await.unwrap();
    let before = import(&target);
    target.export.uid = "another".into();
    target.bring().await.unwrap();
    assert_eq!(import(&target)["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        import(&target)["metadata"]["labels"]["multicluster.admiralty.io/parent-uid"],
        "another"
    );
}
