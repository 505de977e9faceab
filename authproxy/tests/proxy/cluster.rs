//! Lists and watches of what trust depends on, as an API server answers them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use multicluster_api::TrustedIdentityProvider;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::server::Body;

/// The TrustedIdentityProviders of an API server, and how it behaves.
#[derive(Clone)]
pub(crate) struct Objects(Arc<Mutex<State>>, broadcast::Sender<Bytes>);

#[derive(Default)]
struct State {
    providers: Vec<TrustedIdentityProvider>,
    version: u64,
    /// Watches say nothing any more, not even their end.
    silent: bool,
    /// Watches from before are too old.
    forgetful: bool,
    lists: usize,
}

impl Objects {
    pub(crate) fn new() -> Self {
        Self(Arc::default(), broadcast::Sender::new(16))
    }

    pub(crate) fn add(&self, provider: TrustedIdentityProvider) {
        self.change("ADDED", provider.clone(), |all| all.push(provider));
    }

    pub(crate) fn remove(&self, provider: TrustedIdentityProvider) {
        let name = provider.metadata.name.clone();
        self.change("DELETED", provider, |all| all.retain(|one| one.metadata.name != name));
    }

    fn change(
        &self,
        kind: &str,
        mut provider: TrustedIdentityProvider,
        act: impl FnOnce(&mut Vec<TrustedIdentityProvider>),
    ) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        provider.metadata.resource_version = Some(state.version.to_string());
        act(&mut state.providers);
        if !state.silent {
            let _ = self.1.send(line(kind, &provider));
        }
    }

    /// Open watches are dead from now on, and nobody is told.
    pub(crate) fn fall_silent(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }

    pub(crate) fn forget(&self, forgetful: bool) {
        self.0.lock().unwrap().forgetful = forgetful;
    }

    pub(crate) fn lists(&self) -> usize {
        self.0.lock().unwrap().lists
    }

    /// The answer to this path and query, if it is about such an object.
    pub(crate) fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        let kind = path.strip_prefix("/apis/multicluster.admiralty.io/v1alpha1/")?;
        let ours = kind == "trustedidentityproviders";
        match query.contains("watch=") {
            true => Some(self.watch(ours, query)),
            false => Some(self.list(ours)),
        }
    }

    fn list(&self, ours: bool) -> Response<Body> {
        let mut state = self.0.lock().unwrap();
        state.lists += usize::from(ours);
        let items = if ours { state.providers.clone() } else { vec![] };
        let list = json!({
            "apiVersion": "multicluster.admiralty.io/v1alpha1",
            "kind": "List",
            "metadata": { "resourceVersion": state.version.to_string() },
            "items": items,
        });
        Response::new(
            Full::new(Bytes::from(list.to_string()))
                .map_err(crate::server::never)
                .boxed_unsync(),
        )
    }

    fn watch(&self, ours: bool, query: &str) -> Response<Body> {
        let state = self.0.lock().unwrap();
        let value = |name: &str| {
            let mut parts = query.split('&').filter_map(|part| part.split_once('='));
            parts
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        let seconds: u64 = value("timeoutSeconds").parse().unwrap();
        if ours && state.forgetful {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410});
            let gone = vec![Ok(Frame::data(line("ERROR", &status)))];
            return Response::new(BodyExt::boxed_unsync(StreamBody::new(futures::stream::iter(gone))));
        }
        let from: u64 = value("resourceVersion").parse().unwrap();
        // What was missed: here only whether there is anything at all.
        let missed: Vec<_> = match ours && state.version > from {
            true => state
                .providers
                .iter()
                .map(|provider| Ok(Frame::data(line("ADDED", provider))))
                .collect(),
            false => vec![],
        };
        let objects = self.clone();
        let end = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if ours && objects.0.lock().unwrap().silent {
                std::future::pending::<()>().await;
            }
        });
        let events = self.1.subscribe();
        let later = futures::stream::unfold(events, move |mut events| async move {
            match ours {
                true => Some((Ok(Frame::data(events.recv().await.ok()?)), events)),
                false => std::future::pending().await,
            }
        });
        let all = futures::stream::iter(missed).chain(later).take_until(end);
        Response::new(BodyExt::boxed_unsync(StreamBody::new(all)))
    }
}

fn line(kind: &str, object: &impl serde::Serialize) -> Bytes {
    let event: Value = json!({ "type": kind, "object": object });
    Bytes::from(format!("{event}\n"))
}
