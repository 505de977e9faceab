//! Nothing is written by an agent that does not lead any more.
//!
//! A process that was stopped for a while goes on where it was: with a write, perhaps, before it looks at the clock. So
//! each write looks at the clock itself.
//!
//! What waits for an answer when the term ends waits no longer: an API server that hangs would keep the work from ending,
//! and this agent from standing by for the next term.

use std::sync::Arc;

use http::Request;
use kube::Client;
use kube::client::Body;
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The call came too late, or its answer.
#[derive(Debug, thiserror::Error)]
#[error("this agent does not lead any more")]
pub struct Fenced;

/// Lets writes pass until a time that is put off again and again.
#[derive(Clone, Debug)]
pub struct Fence(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    end: RwLock<Instant>,
    closed: CancellationToken,
}

impl Fence {
    /// Lets writes pass until then.
    pub fn until(end: Instant) -> Self {
        Self(Some(Arc::new(Shared {
            end: RwLock::new(end),
            closed: CancellationToken::new(),
        })))
    }

    /// Lets all pass: there is no election.
    pub fn none() -> Self {
        Self(None)
    }

    /// Put the end off.
    pub fn extend(&self, end: Instant) {
        if let Some(shared) = &self.0 {
            *shared.end.write() = end;
        }
    }

    /// Let no write pass from now on, for good, and wait for no answer any more.
    pub fn close(&self) {
        self.extend(Instant::now());
        if let Some(shared) = &self.0 {
            shared.closed.cancel();
        }
    }

    async fn closed(&self) {
        match &self.0 {
            Some(shared) => shared.closed.cancelled().await,
            None => std::future::pending().await,
        }
    }

    fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| Instant::now() < *shared.end.read())
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
                tokio::select! {
                    biased;
                    answer = client.send(request) => answer,
                    () = fence.closed() => Err(kube::Error::Service(Fenced.into())),
                }
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

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_not_waited_for_when_the_term_ends() {
        let never = |_| std::future::pending::<Result<Response<Body>, std::io::Error>>();
        let fence = Fence::until(Instant::now() + Duration::from_secs(60));
        let nodes = Api::<Node>::all(fence.guard(Client::new(tower::service_fn(never), "default")));
        let (parameters, node) = (PostParams::default(), Node::default());
        let write = nodes.create(&parameters, &node);
        let end = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fence.close();
        };
        let calls = async { tokio::join!(write, nodes.get("a"), end) };
        let (written, read, ()) = tokio::time::timeout(Duration::from_secs(2), calls).await.unwrap();
        assert!(written.is_err() && read.is_err());
    }
}
