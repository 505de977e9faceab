//! Nothing is written by an agent that does not lead any more.
//!
//! A process that was stopped for a while goes on where it was: with a write, perhaps, before it looks at the clock. So
//! each write looks at the clock itself.

use std::sync::Arc;

use http::Request;
use kube::Client;
use kube::client::Body;
use parking_lot::RwLock;
use tokio::time::Instant;

/// The write came too late.
#[derive(Debug, thiserror::Error)]
#[error("not written: this agent does not lead any more")]
pub struct Fenced;

/// Lets writes pass until a time that is put off again and again.
#[derive(Clone, Debug)]
pub struct Fence(Option<Arc<RwLock<Instant>>>);

impl Fence {
    /// Lets writes pass until then.
    pub fn until(end: Instant) -> Self {
        Self(Some(Arc::new(RwLock::new(end))))
    }

    /// Lets all pass: there is no election.
    pub fn none() -> Self {
        Self(None)
    }

    /// Put the end off.
    pub fn extend(&self, end: Instant) {
        if let Some(shared) = &self.0 {
            *shared.write() = end;
        }
    }

    /// Let no write pass from now on.
    pub fn close(&self) {
        self.extend(Instant::now());
    }

    fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|end| Instant::now() < *end.read())
    }

    /// The same client, behind this fence.
    pub fn guard(&self, client: Client) -> Client {
        if self.0.is_none() {
            return client;
        }
        let (fence, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fence, client) = (fence.clone(), client.clone());
            async move {
                if !request.method().is_safe() && !fence.is_open() {
                    return Err(kube::Error::Service(Fenced.into()));
                }
                client.send(request).await
            }
        });
        Client::new(service, namespace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use k8s_openapi::api::core::v1::Node;
    use kube::Api;
    use kube::api::{DeleteParams, PostParams};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_pass_until_the_end_reads_always() {
        let answer = |_| async {
            let node = serde_json::to_vec(&Node::default()).unwrap();
            Ok::<_, std::io::Error>(Response::new(Body::from(node)))
        };
        let second = Duration::from_secs(1);
        let fence = Fence::until(Instant::now() + second);
        let nodes = Api::<Node>::all(fence.guard(Client::new(tower::service_fn(answer), "default")));
        let write = async || nodes.create(&PostParams::default(), &Node::default()).await;
        write().await.unwrap();
        tokio::time::advance(second).await;
        let refused = write().await.unwrap_err().to_string();
        assert!(refused.contains("does not lead"), "{refused}");
        assert!(nodes.delete("a", &DeleteParams::default()).await.is_err());
        nodes.get("a").await.unwrap();
        fence.extend(Instant::now() + second);
        write().await.unwrap();
        fence.close();
        assert!(write().await.is_err());
    }
}
