//! A queue of keys to work on: each key at most once at a time, later when asked, again after an error.
//!
//! The model is client-go's workqueue. Adding a key that waits changes nothing, so a burst of events about one object
//! is one piece of work; adding a key that is being worked on makes it run once more afterwards.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::queue_metrics::{Observed, QueueMetrics, State as Seen};

/// First pause of a key whose work failed; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What to do with a key after its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until it is added again.
    Done,
    /// Look again after this time.
    Again(Duration),
    /// It failed: look again after a pause that grows.
    Retry,
}

struct State<K> {
    /// When each waiting key is due.
    due: HashMap<K, (Instant, u64)>,
    /// Keys by due time; the number keeps equal times apart.
    order: BTreeMap<(Instant, u64), K>,
    /// Keys that are worked on, since when.
    running: HashMap<K, Instant>,
    /// Keys added while they were running, with their due time.
    again: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
    next: u64,
    /// When a key was last taken or given back.
    moved: Instant,
    /// Somebody takes keys.
    served: bool,
}

/// A shared handle on a queue.
pub struct Queue<K>(Arc<Inner<K>>);

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    metrics: QueueMetrics,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Default for Queue<K> {
    fn default() -> Self {
        Self::new(&QueueMetrics::default())
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Queue<K> {
    /// An empty queue that counts here. Several queues may share their metrics.
    pub fn new(metrics: &QueueMetrics) -> Self {
        let state = State {
            due: HashMap::new(),
            order: BTreeMap::new(),
            running: HashMap::new(),
            again: HashMap::new(),
            failures: HashMap::new(),
            next: 0,
            moved: Instant::now(),
            served: false,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            changed: Notify::new(),
            metrics: metrics.clone(),
        });
        metrics.observe(Arc::downgrade(&inner) as _);
        Self(inner)
    }

    /// Work on `key` as soon as possible.
    pub fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// Work on `key` after `delay`, or earlier if it waits already.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.0.metrics.adds.inc();
        self.0.state.lock().schedule(key, Instant::now() + delay);
        self.0.changed.notify_one();
    }

    /// Number of keys that wait.
    pub fn len(&self) -> usize {
        self.0.state.lock().due.len()
    }

    /// Does no key wait?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Work on keys with at most `concurrency` at a time, until `stop`; then wait for what is under way.
    pub async fn run<W, F>(&self, concurrency: usize, stop: CancellationToken, work: W)
    where
        W: Fn(K) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(concurrency));
        let _served = Served::begin(self);
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let Some(key) = self.next(&stop).await else { break };
            let (queue, work) = (self.clone(), work.clone());
            tokio::spawn(async move {
                // The key is given back also when its work is dropped or panics.
                let mut running = Running {
                    queue,
                    key: Some(key.clone()),
                };
                let outcome = work(key).await;
                running.finish(outcome);
                drop(slot);
            });
        }
        let _ = slots.acquire_many(concurrency as u32).await;
    }

    async fn next(&self, stop: &CancellationToken) -> Option<K> {
        loop {
            let changed = self.0.changed.notified();
            let wait = match self.0.state.lock().pop(Instant::now()) {
                Ok((key, waited)) => {
                    self.0.metrics.waited.observe(waited.as_secs_f64());
                    return Some(key);
                }
                Err(due) => due,
            };
            let sleep = async {
                match wait {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { () = changed => {}, () = sleep => {}, () = stop.cancelled() => return None }
        }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn schedule(&mut self, key: K, due: Instant) {
        if self.running.contains_key(&key) {
            let entry = self.again.entry(key).or_insert(due);
            *entry = due.min(*entry);
            return;
        }
        match self.due.get(&key) {
            Some((earlier, _)) if *earlier <= due => return,
            Some(place) => {
                self.order.remove(place);
            }
            None => {}
        }
        self.next += 1;
        let place = (due, self.next);
        self.due.insert(key.clone(), place);
        self.order.insert(place, key);
    }

    /// The first key that is due, and since when; or else when the next one is.
    fn pop(&mut self, now: Instant) -> Result<(K, Duration), Option<Instant>> {
        match self.order.first_key_value() {
            Some(((due, _), _)) if *due > now => Err(Some(*due)),
            None => Err(None),
            Some(_) => {
                let ((due, _), key) = self.order.pop_first().ok_or(None)?;
                self.due.remove(&key);
                self.running.insert(key.clone(), now);
                self.moved = now;
                Ok((key, now - due))
            }
        }
    }

    /// Give a key back. Returns when its work began.
    fn finish(&mut self, key: K, outcome: Outcome) -> Option<Instant> {
        self.moved = Instant::now();
        let began = self.running.remove(&key);
        let again = self.again.remove(&key);
        let wanted = match outcome {
            Outcome::Done => {
                self.failures.remove(&key);
                None
            }
            Outcome::Again(delay) => {
                self.failures.remove(&key);
                Some(Instant::now() + delay)
            }
            Outcome::Retry => {
                let failures = self.failures.entry(key.clone()).or_default();
                let pause = MIN_PAUSE.saturating_mul(1 << (*failures).min(10)).min(MAX_PAUSE);
                *failures += 1;
                Some(Instant::now() + pause)
            }
        };
        for due in again.into_iter().chain(wanted) {
            self.schedule(key.clone(), due);
        }
        began
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Observed for Inner<K> {
    fn look(&self, now: Instant) -> Seen {
        let state = self.state.lock();
        let first = state.order.first_key_value().map_or(now, |((due, _), _)| *due);
        // Keys that wait for their time are in no worker's way.
        let depth = state.order.range(..=(now, u64::MAX)).count();
        Seen {
            depth,
            running: state.running.values().map(|began| now - *began).collect(),
            stalled: (state.served && depth > 0).then(|| now - state.moved.max(first)),
        }
    }
}

/// Keys are taken, until it is dropped.
struct Served<'a, K: Clone + Eq + Hash + Debug + Send + 'static>(&'a Queue<K>);

impl<'a, K: Clone + Eq + Hash + Debug + Send + 'static> Served<'a, K> {
    fn begin(queue: &'a Queue<K>) -> Self {
        let mut state = queue.0.state.lock();
        state.served = true;
        state.moved = Instant::now();
        Self(queue)
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Drop for Served<'_, K> {
    fn drop(&mut self) {
        self.0.0.state.lock().served = false;
    }
}

struct Running<K: Clone + Eq + Hash + Debug + Send + 'static> {
    queue: Queue<K>,
    key: Option<K>,
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Running<K> {
    fn finish(&mut self, outcome: Outcome) {
        if let Some(key) = self.key.take() {
            let inner = &self.queue.0;
            if outcome == Outcome::Retry {
                inner.metrics.retries.inc();
            }
            if let Some(began) = inner.state.lock().finish(key, outcome) {
                inner.metrics.worked.observe(began.elapsed().as_secs_f64());
            }
            self.queue.0.changed.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + 'static> Drop for Running<K> {
    fn drop(&mut self) {
        self.finish(Outcome::Retry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn run_for(queue: &Queue<u32>, time: Duration, outcome: Outcome) -> usize {
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let counted = count.clone();
        let work = move |_| {
            let counted = counted.clone();
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                outcome
            }
        };
        let stopper = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            stopper.cancel();
        });
        queue.run(4, stop, work).await;
        count.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_piece_of_work() {
        let queue = Queue::default();
        for _ in 0..100 {
            queue.add(1);
        }
        assert_eq!(run_for(&queue, Duration::from_secs(1), Outcome::Done).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_runs_runs_once_more() {
        let queue = Queue::default();
        queue.add(1);
        let adder = queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            adder.add(1);
            adder.add(1);
        });
        assert_eq!(run_for(&queue, Duration::from_secs(1), Outcome::Done).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_pause_longer_and_longer() {
        let queue = Queue::default();
        queue.add(1);
        // 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 and then every 10 s.
        assert_eq!(run_for(&queue, Duration::from_secs(6), Outcome::Retry).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_time_wins() {
        let queue = Queue::default();
        queue.add_after(1, Duration::from_secs(60));
        queue.add_after(1, Duration::from_millis(100));
        queue.add_after(1, Duration::from_secs(30));
        assert_eq!(run_for(&queue, Duration::from_secs(1), Outcome::Done).await, 1);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_work_panics_comes_back() {
        let (queue, stop) = (Queue::default(), CancellationToken::new());
        queue.add(1);
        let (runs, done) = (Arc::new(AtomicUsize::new(0)), stop.clone());
        let work = move |_| {
            let (runs, done) = (runs.clone(), done.clone());
            async move {
                assert!(runs.fetch_add(1, Ordering::SeqCst) > 0, "the first time goes wrong");
                done.cancel();
                Outcome::Done
            }
        };
        tokio::time::timeout(Duration::from_secs(5), queue.run(1, stop, work))
            .await
            .unwrap();
    }
}
