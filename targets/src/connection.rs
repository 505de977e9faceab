//! A client whose credentials are replaced while it works.
//!
//! Who holds the client notices nothing: the next request goes by the new credentials, and what is open (watches, streams)
//! goes on by the old ones until it ends. With client certificates these are connections of their own; the old ones are
//! closed when nothing uses them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use http::{Request, StatusCode};
use k8s_openapi::ByteString;
use kube::Client;
use kube::client::Body;
use kube::config::Kubeconfig;
use multicluster_upstream::Upstream;

use crate::user::{User, user};
use crate::{ConnectError, kubeconfig};

/// What the cluster has answered last to these credentials.
const NOTHING: u8 = 0;
const SOMETHING: u8 = 1;
const WHO_ARE_YOU: u8 = 2;

/// A connection to a target.
pub(crate) struct Connection {
    /// What the work with the target uses.
    pub client: Client,
    current: Arc<ArcSwap<Current>>,
    place: Place,
    user: Option<User>,
}

/// The way to a target's API server for requests that are passed on. Clones share the credentials, which are replaced as
/// those of the client are.
#[derive(Clone)]
pub struct Upstreams(Arc<ArcSwap<Current>>);

impl Upstreams {
    /// With the credentials of this moment.
    pub fn current(&self) -> Upstream {
        self.0.load().upstream.clone()
    }
}

struct Current {
    client: Client,
    upstream: Upstream,
    answered: AtomicU8,
}

/// All of a kubeconfig but the credentials.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    cluster: serde_json::Value,
    namespace: Option<String>,
}

impl Connection {
    /// Connect by what a Secret holds.
    pub async fn new(text: &ByteString, context: Option<&str>) -> Result<Self, ConnectError> {
        let kubeconfig = kubeconfig::parse(text, context)?;
        let (place, user) = read(&kubeconfig, context)?;
        let (client, upstream) = kubeconfig::connect(kubeconfig, context).await?;
        let namespace = client.default_namespace().to_owned();
        let current = Arc::new(ArcSwap::from_pointee(Current::new(client, upstream)));
        Ok(Self {
            client: front(current.clone(), namespace),
            current,
            place,
            user,
        })
    }

    /// The way there for requests that are passed on.
    pub fn upstreams(&self) -> Upstreams {
        Upstreams(self.current.clone())
    }

    /// Use what the Secret holds now, if that is the same cluster and the same user. False when the work must begin anew:
    /// the user may be another one, or the old credentials had failed, and waiting for the next attempt would take time.
    pub async fn renew(&self, text: &ByteString, context: Option<&str>) -> bool {
        let Ok(kubeconfig) = kubeconfig::parse(text, context) else {
            return false;
        };
        let same = |(place, user): &(Place, Option<User>)| *place == self.place && user.is_some() && *user == self.user;
        let well = self.current.load().answered.load(Ordering::Relaxed) == SOMETHING;
        if !well || !read(&kubeconfig, context).as_ref().is_ok_and(same) {
            return false;
        }
        match kubeconfig::connect(kubeconfig, context).await {
            Ok((client, upstream)) => {
                self.current.store(Arc::new(Current {
                    client,
                    upstream,
                    answered: AtomicU8::new(SOMETHING),
                }));
                true
            }
            Err(_) => false,
        }
    }
}

impl Current {
    fn new(client: Client, upstream: Upstream) -> Self {
        Self {
            client,
            upstream,
            answered: AtomicU8::new(NOTHING),
        }
    }
}

/// A client that sends each request by the credentials of that moment.
fn front(current: Arc<ArcSwap<Current>>, namespace: String) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let current = current.load_full();
        async move {
            let answer = current.client.send(request).await;
            if let Ok(answer) = &answer {
                let refused = answer.status() == StatusCode::UNAUTHORIZED;
                let seen = if refused { WHO_ARE_YOU } else { SOMETHING };
                current.answered.store(seen, Ordering::Relaxed);
            }
            answer
        }
    });
    Client::new(service, namespace)
}

fn read(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<(Place, Option<User>), ConnectError> {
    let chosen = kubeconfig::choose(kubeconfig, context)?;
    let place = Place {
        cluster: serde_json::to_value(chosen.cluster).unwrap_or_default(),
        namespace: chosen.context.namespace.clone(),
    };
    Ok((place, user(chosen.user)))
}
