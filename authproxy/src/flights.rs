//! Requests in flight, by who has sent them: what is cut when somebody is not trusted any more.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures::task::AtomicWaker;
use multicluster_certs::{Held, Peer};
use multicluster_trust::Caller;
use multicluster_upstream::Cuttable;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;

/// How long a client that does not read has to notice that it was cut. Then its whole connection goes.
const NOTICE: Duration = Duration::from_millis(500);

/// Why a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Its caller is not trusted any more.
    #[error("the caller is not trusted any more")]
    Revoked = 1,
    /// It is not known any more whom to trust.
    #[error("it is not known whom to trust")]
    Unknowing = 2,
    /// The process ends.
    #[error("the proxy is shutting down")]
    Shutdown = 3,
}

/// Who was let in, and by what.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who.
    pub caller: Arc<Caller>,
    /// The certificates that proved it, if it was not a token.
    pub chain: Option<Arc<[CertificateDer<'static>]>>,
    /// When.
    pub at: SystemTime,
}

/// All requests in flight. Clones share them.
#[derive(Clone)]
pub struct Flights {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Arc<Entry>>,
}

struct Entry {
    admission: Admission,
    peer: Peer,
    cut: AtomicU8,
    waker: AtomicWaker,
    upgraded: AtomicU8,
}

/// A request, until its answer has gone or its connection ends.
pub struct Flight {
    flights: Flights,
    number: u64,
    entry: Arc<Entry>,
    /// A newcomer does not displace it.
    _held: Held,
}

/// How many requests are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, watches among them.
    pub requests: usize,
    /// Connections that speak something else than HTTP by now.
    pub upgraded: usize,
}

impl Flights {
    /// At most so many at a time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: Arc::default(),
        }
    }

    /// A request begins; `None` when there are too many.
    pub fn begin(&self, admission: Admission, peer: &Peer) -> Option<Flight> {
        let held = peer.hold();
        let entry = Arc::new(Entry {
            admission,
            peer: peer.clone(),
            cut: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            upgraded: AtomicU8::new(0),
        });
        let mut open = self.open.lock();
        if open.by_number.len() >= self.most {
            return None;
        }
        open.next += 1;
        let number = open.next;
        open.by_number.insert(number, entry.clone());
        Some(Flight {
            flights: self.clone(),
            number,
            entry,
            _held: held,
        })
    }

    /// Cut those that this says, and give whose they were, once each. Must be called within a tokio runtime.
    pub fn cut(&self, why: Cut, which: impl Fn(&Admission) -> bool) -> Vec<(Arc<Caller>, usize)> {
        let all: Vec<_> = self.open.lock().by_number.values().cloned().collect();
        let mut cut = Vec::new();
        for entry in all {
            if entry.cut.load(Ordering::Acquire) == 0 && which(&entry.admission) {
                entry.cut.store(why as u8, Ordering::Release);
                entry.waker.wake();
                cut.push(entry);
            }
        }
        let mut callers = HashMap::<String, (Arc<Caller>, usize)>::new();
        for entry in &cut {
            let caller = &entry.admission.caller;
            let counted = callers.entry(caller.user.clone()).or_insert((caller.clone(), 0));
            counted.1 += 1;
        }
        if !cut.is_empty() {
            let cut: Vec<_> = cut.iter().map(Arc::downgrade).collect();
            tokio::spawn(async move {
                tokio::time::sleep(NOTICE).await;
                for entry in cut.iter().filter_map(std::sync::Weak::upgrade) {
                    entry.peer.hang_up();
                }
            });
        }
        callers.into_values().collect()
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let open = self.open.lock();
        let upgraded = |entry: &&Arc<Entry>| entry.upgraded.load(Ordering::Relaxed) == 1;
        let upgraded = open.by_number.values().filter(upgraded).count();
        Counts {
            requests: open.by_number.len() - upgraded,
            upgraded,
        }
    }
}

impl Counts {
    /// None at all.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl Flight {
    /// Returns when it has to end.
    pub async fn cut(&self) -> Cut {
        poll_fn(|cx| self.poll_cut(cx)).await
    }

    /// It is not HTTP any more.
    pub fn is_upgraded(&self) {
        self.entry.upgraded.store(1, Ordering::Relaxed);
    }

    fn was_cut(&self) -> Option<Cut> {
        match self.entry.cut.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cut::Revoked),
            2 => Some(Cut::Unknowing),
            _ => Some(Cut::Shutdown),
        }
    }
}

impl Cuttable for Flight {
    type Why = Cut;

    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Cut> {
        if let Some(cut) = self.was_cut() {
            return Poll::Ready(cut);
        }
        self.entry.waker.register(cx.waker());
        self.was_cut().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.open.lock().by_number.remove(&self.number);
    }
}
