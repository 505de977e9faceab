//! What is done about exports in the source, once for all clusters.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher::Config;
use multicluster_api::view::ServiceExportView;
use multicluster_targets::identity::user_name;
use tokio_util::sync::CancellationToken;

use super::exportable::{Exportable, Unexportable};
use super::facts::ways;
use super::own_slices;
use super::seat::{Connection, Seat};
use super::status::tell;
use crate::changes::{Bar, Change, Glimpse, Key, changes, glimpses, key_of};
use crate::home::Home;
use crate::queue::Outcome;
use crate::source::following::object::{Kind, ObjectKey};

/// Exports that are worked on at a time.
const CONCURRENCY: usize = 4;
/// How often to look whether targets have changed.
const LOOK: Duration = Duration::from_millis(250);

/// Follow exports, and import them in the source itself, until `stop`.
pub async fn run(home: Arc<Home>, stop: CancellationToken) {
    subscribe(&home);
    let (reader, teller) = (home.clone(), home.clone());
    let read = move |key: Key| {
        let home = reader.clone();
        async move { read_service(&home, key).await }
    };
    let tell = move |key: Key| {
        let home = teller.clone();
        async move { tell(&home, &key).await }
    };
    tokio::select! {
        () = watch_exports(&home) => {}
        () = watch_own_slices(&home) => {}
        () = watch_clusters(&home) => {}
        () = import_here(&home, &stop) => {}
        () = home.imports.readings.run(CONCURRENCY, stop.clone(), read) => {}
        () = home.imports.statuses.run(CONCURRENCY, stop.clone(), tell) => {}
    }
}

/// Services and their pods are watched for what follows pods; changes of those that are exported are passed on.
fn subscribe(home: &Arc<Home>) {
    let subscriber = Arc::downgrade(home);
    home.following.subscribe(move |key| {
        if key.kind == Kind::Service
            && let Some(home) = subscriber.upgrade()
        {
            home.imports.service_changed(&(key.namespace.clone(), key.name.clone()));
        }
    });
}

async fn import_here(home: &Arc<Home>, stop: &CancellationToken) {
    let connection = Connection {
        client: home.client.clone(),
        namespace: None,
        user: user_name(&home.client).await,
    };
    Seat::new(home.clone(), "").run(connection, stop.clone()).await;
}

async fn watch_exports(home: &Home) {
    let (imports, api) = (&home.imports, Api::<ServiceExportView>::all(home.client.clone()));
    let mut seen = std::pin::pin!(glimpses("serviceexports".into(), api, Config::default()));
    while let Some(glimpse) = seen.next().await {
        match glimpse {
            Glimpse::Change(Change::Put(export)) => {
                let key = key_of(&export);
                let news = imports.exports.put(export);
                imports.count();
                if news {
                    imports.readings.add(key.clone());
                    imports.touch(&key);
                }
                imports.statuses.add(key);
            }
            Glimpse::Change(Change::Gone(key)) => {
                imports.exports.remove(&key);
                imports.count();
                imports.touch(&key);
            }
            Glimpse::Change(Change::Listed) | Glimpse::Barred(Bar::Missing) => {
                imports.exports.set_listed();
                imports.touch_everything();
            }
            // There may be exports: what was imported for them stays.
            Glimpse::Barred(Bar::Denied) => {}
        }
    }
}

/// Endpoints in the source: watched only while somebody wants them.
async fn watch_own_slices(home: &Home) {
    let imports = &home.imports;
    loop {
        imports.some().await;
        let watch = async {
            let api = Api::<EndpointSlice>::all(home.client.clone());
            let config = Config::default().labels(&own_slices::selector());
            let mut seen = std::pin::pin!(changes("endpointslices".into(), api, config));
            while let Some(change) = seen.next().await {
                match change {
                    Change::Put(slice) => {
                        let services = imports.own.put(slice);
                        services.iter().for_each(|service| imports.endpoints_changed(service));
                    }
                    Change::Gone(key) => {
                        let service = imports.own.remove(&key);
                        service.iter().for_each(|service| imports.endpoints_changed(service));
                    }
                    Change::Listed => {
                        imports.own.set_listed();
                        imports.touch_all();
                    }
                }
            }
        };
        tokio::select! { () = watch => {}, () = imports.none() => imports.own.clear() }
    }
}

/// Targets come, go, fall silent, turn out to be one cluster: imports are looked at when the picture is another one.
async fn watch_clusters(home: &Home) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Where pods are that run in a target that is not known yet, nobody knows.
        if home.following.knows_targets() {
            home.imports.set_ways(&ways(home));
        }
    }
}

/// Read an exported Service.
async fn read_service(home: &Home, key: Key) -> Outcome {
    let Some(export) = home.imports.exports.get(&key) else {
        return Outcome::Done;
    };
    // Most often it is its pods that have changed.
    let version = home
        .following
        .originals
        .version(&ObjectKey::new(Kind::Service, &key.0, &key.1));
    let version = version.map(|version| version.resource_version);
    if export.service.is_some() && version.is_some() && export.version == version {
        return Outcome::Done;
    }
    let service = match Api::<Service>::namespaced(home.client.clone(), &key.0)
        .get_opt(&key.1)
        .await
    {
        Ok(Some(service)) => Exportable::of(&service),
        Ok(None) => Err(Unexportable::NoService),
        Err(error) => {
            tracing::warn!(namespace = key.0, service = key.1, %error, "reading an exported Service");
            return Outcome::Retry;
        }
    };
    if home.imports.exports.set_service(&key, service, version) {
        home.imports.touch(&key);
        home.imports.statuses.add(key);
    }
    Outcome::Done
}
