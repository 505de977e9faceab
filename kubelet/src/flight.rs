//! Requests in flight: how many there may be, and how they end with the process.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use multicluster_certs::{Held, Peer};
use multicluster_upstream::Cuttable;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::metrics::Metrics;

/// A response's body.
pub type Body = multicluster_upstream::Body<Flight>;

/// All streams. Clones share them.
#[derive(Clone)]
pub struct Flights {
    most: usize,
    places: Arc<Semaphore>,
    over: CancellationToken,
    metrics: Metrics,
}

/// A stream, until it ends.
pub struct Flight {
    over: Mutex<Pin<Box<WaitForCancellationFutureOwned>>>,
    metrics: Metrics,
    _place: OwnedSemaphorePermit,
    /// A newcomer does not displace its connection.
    _held: Held,
}

/// The process ends, or does not lead any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the agent is shutting down")]
pub struct Over;

impl Flights {
    /// At most so many at a time, and none after `over`.
    pub fn new(most: usize, over: CancellationToken, metrics: Metrics) -> Self {
        Self {
            most,
            places: Arc::new(Semaphore::new(most)),
            over,
            metrics,
        }
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// A stream begins; `None` when there are too many.
    pub fn begin(&self, peer: &Peer) -> Option<Flight> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        self.metrics.streams_open.inc();
        Some(Flight {
            over: Mutex::new(Box::pin(self.over.clone().cancelled_owned())),
            metrics: self.metrics.clone(),
            _place: place,
            _held: peer.hold(),
        })
    }
}

impl Flight {
    /// Returns when it has to end.
    pub async fn cut(&self) -> Over {
        std::future::poll_fn(|cx| self.poll_cut(cx)).await
    }
}

impl Cuttable for Flight {
    type Why = Over;

    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Over> {
        self.over.lock().as_mut().poll(cx).map(|()| Over)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.metrics.streams_open.dec();
    }
}
