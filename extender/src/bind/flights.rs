//! Binds under way, one a pod: a second call for the same pod and node waits for the first one's answer.

use std::future::Future;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{BindError, BindRequest};

/// How a bind ended.
pub type Outcome = Result<(), BindError>;

/// Binds under way. They go on when the caller hangs up, and at shutdown until their time is over.
#[derive(Clone, Default)]
pub struct Flights {
    by_uid: Arc<Mutex<AHashMap<String, Flight>>>,
    tasks: TaskTracker,
}

struct Flight {
    node: String,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Flights {
    /// Wait for the bind of this pod: the one under way, or else a new one.
    pub async fn join<F>(&self, request: &BindRequest, bind: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut outcome = self.join_or_start(request, bind)?;
        let ended = outcome
            .wait_for(Option::is_some)
            .await
            .map_err(|_| BindError::Aborted)?;
        ended.clone().unwrap_or(Err(BindError::Aborted))
    }

    fn join_or_start<F>(
        &self,
        request: &BindRequest,
        bind: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<Outcome>>, BindError>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flights = self.by_uid.lock();
        if let Some(flight) = flights.get(&request.uid) {
            return match flight.node == request.node {
                true => Ok(flight.outcome.clone()),
                false => Err(BindError::Busy(flight.node.clone())),
            };
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(
            request.uid.clone(),
            Flight {
                node: request.node.clone(),
                outcome: receiver.clone(),
            },
        );
        let landing = Landing {
            flights: self.by_uid.clone(),
            uid: request.uid.clone(),
        };
        let bind = bind();
        self.tasks.spawn(async move {
            let outcome = bind.await;
            // A call that comes after this one's answer starts anew.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        Ok(receiver)
    }

    /// Number of binds under way.
    pub fn len(&self) -> usize {
        self.by_uid.lock().len()
    }

    /// No binds under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wait until all binds under way have ended.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Takes the flight off the list, also when its task panics.
struct Landing {
    flights: Arc<Mutex<AHashMap<String, Flight>>>,
    uid: String,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.uid);
    }
}
