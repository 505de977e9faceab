//! Candidates against an API server that knows one Lease. Time is virtual.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use clap::Parser;
use futures::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    leader: LeaderArgs,
}

type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// An API server.
#[derive(Clone)]
struct Fake(Arc<watch::Sender<Option<Value>>>);

impl Fake {
    fn new() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }

    /// A client whose requests get lost while `cut` is set.
    fn client(&self, cut: Arc<AtomicBool>) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fake, cut) = (fake.clone(), cut.clone());
            async move {
                if cut.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let (head, body) = request.into_parts();
                let query = head.uri.query().unwrap_or_default();
                if query.contains("watch=true") {
                    return Ok::<_, std::io::Error>(Response::new(fake.watch(cut)));
                }
                let body = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
                let (code, answer) = fake.answer(&head.method, head.uri.path(), body);
                let answer = Full::from(serde_json::to_vec(&answer).unwrap());
                let answer = answer.map_err(|never| match never {}).boxed_unsync();
                Ok(Response::builder().status(code).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn watch(&self, cut: Arc<AtomicBool>) -> Answer {
        let events = stream::unfold((self.0.subscribe(), cut), async |(mut changes, cut)| {
            changes.changed().await.unwrap();
            let lease = changes.borrow_and_update().clone();
            if cut.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let mut line = serde_json::to_vec(&json!({ "type": "MODIFIED", "object": lease })).unwrap();
            line.push(b'\n');
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(line))), (changes, cut)))
        });
        StreamBody::new(events).boxed_unsync()
    }

    fn answer(&self, method: &Method, path: &str, mut body: Value) -> (u16, Value) {
        let known = self.0.borrow().clone();
        let failure = |code: u16, reason: &str| {
            let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason });
            (code, status)
        };
        let version = |lease: &Value| {
            lease["metadata"]["resourceVersion"]
                .as_str()
                .map(|v| v.parse::<u64>().unwrap())
        };
        let next = known.as_ref().and_then(version).unwrap_or_default() + 1;
        match (method, known) {
            (&Method::GET, known) if path.ends_with("/leases") => {
                let metadata = json!({ "resourceVersion": next.to_string() });
                (
                    200,
                    json!({ "metadata": metadata, "items": known.into_iter().collect::<Vec<_>>() }),
                )
            }
            (&Method::GET, Some(known)) => (200, known),
            (&Method::POST, Some(_)) => failure(409, "AlreadyExists"),
            (&Method::PUT, Some(known)) if version(&known) != version(&body) => failure(409, "Conflict"),
            (&Method::GET | &Method::PUT, None) => failure(404, "NotFound"),
            _ => {
                body["metadata"]["resourceVersion"] = json!(next.to_string());
                self.0.send_replace(Some(body.clone()));
                (201, body)
            }
        }
    }
}

/// What happened: who, whether it began or ended, and when.
type Log = Arc<Mutex<Vec<(&'static str, bool, Instant)>>>;

struct Running {
    name: &'static str,
    cut: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    log: Log,
}

fn start(fake: &Fake, name: &'static str, log: &Log) -> Running {
    let (cut, stop) = (Arc::<AtomicBool>::default(), CancellationToken::new());
    let args = Flags::parse_from(["agent"]).leader;
    let candidate = Candidate::new(fake.client(cut.clone()), &args, Gauge::default()).unwrap();
    let events = log.clone();
    let work = move |term: Term| {
        let events = events.clone();
        async move {
            events.lock().push((name, true, Instant::now()));
            term.stop.cancelled().await;
            events.lock().push((name, false, Instant::now()));
            Ok(())
        }
    };
    Running {
        name,
        cut,
        stop: stop.clone(),
        task: tokio::spawn(candidate.run(stop, || {}, work)),
        log: log.clone(),
    }
}

impl Running {
    /// Wait until it begins to lead for the `nth` time.
    async fn leads(&self, nth: usize) -> Instant {
        loop {
            let log = self.log.lock().clone();
            let mut begins = log.iter().filter(|(name, began, _)| *name == self.name && *began);
            if let Some((_, _, when)) = begins.nth(nth) {
                return *when;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Nobody begins before the one before has ended.
fn check(log: &Log) {
    for turns in log.lock().chunks(2) {
        if let [(one, true, began), (other, false, ended)] = turns {
            assert!(one == other && began <= ended, "{turns:?}");
        } else {
            assert!(turns.len() == 1 && turns[0].1, "{turns:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_is_followed_at_once() {
    let (fake, log) = (Fake::new(), Log::default());
    let a = start(&fake, "a", &log);
    a.leads(0).await;
    let b = start(&fake, "b", &log);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(log.lock().len(), 1, "one leads, for as long as it lives");
    let stopped = Instant::now();
    a.stop.cancel();
    a.task.await.unwrap().unwrap();
    assert!(b.leads(0).await - stopped < Duration::from_millis(100));
    check(&log);
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_when_its_lease_has_run_out() {
    let (fake, log) = (Fake::new(), Log::default());
    let a = start(&fake, "a", &log);
    a.leads(0).await;
    let b = start(&fake, "b", &log);
    sleep(Duration::from_millis(10_500)).await;
    let died = Instant::now();
    a.task.abort();
    let gap = b.leads(0).await - died;
    // The last sign of life was at most a retry period ago.
    assert!(
        gap > Duration::from_secs(3) && gap <= Duration::from_millis(4050),
        "{gap:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_ends_its_work_before_another_begins() {
    let (fake, log) = (Fake::new(), Log::default());
    let a = start(&fake, "a", &log);
    a.leads(0).await;
    let b = start(&fake, "b", &log);
    sleep(Duration::from_secs(10)).await;
    a.cut.store(true, Ordering::SeqCst);
    b.leads(0).await;
    check(&log);
    // Back again, it stands by, and leads in its turn.
    a.cut.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(log.lock().len(), 3);
    b.stop.cancel();
    a.leads(1).await;
    check(&log);
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_changes_nothing() {
    let (fake, log) = (Fake::new(), Log::default());
    let (a, _b) = (start(&fake, "a", &log), start(&fake, "b", &log));
    sleep(Duration::from_secs(10)).await;
    a.cut.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(1200)).await;
    a.cut.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_hung_for_a_while_begins_anew() {
    let (fake, log) = (Fake::new(), Log::default());
    let a = start(&fake, "a", &log);
    a.leads(0).await;
    sleep(Duration::from_millis(5500)).await;
    // Nothing of this process runs meanwhile. Another one may have led.
    tokio::time::advance(Duration::from_secs(10)).await;
    a.leads(1).await;
    check(&log);
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_lease_by_somebody_else_changes_nothing() {
    let (fake, log) = (Fake::new(), Log::default());
    let _a = start(&fake, "a", &log);
    sleep(Duration::from_millis(5500)).await;
    let mut edited = fake.0.borrow().clone().unwrap();
    edited["metadata"]["labels"] = json!({ "a": "b" });
    fake.answer(&Method::PUT, "", edited);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(log.lock().len(), 1);
    let lease = fake.0.borrow().clone().unwrap();
    assert_eq!(lease["metadata"]["labels"]["a"], "b", "and it stays");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deletes_is_made_again() {
    let (fake, log) = (Fake::new(), Log::default());
    let a = start(&fake, "a", &log);
    a.leads(0).await;
    fake.0.send_replace(None);
    let deleted = Instant::now();
    // Somebody else may have been faster: what it did is not continued.
    assert!(a.leads(1).await - deleted < Duration::from_secs(2));
    check(&log);
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_by_itself_ends_the_candidate_and_frees_the_lease() {
    let (fake, log) = (Fake::new(), Log::default());
    let args = Flags::parse_from(["agent"]).leader;
    let candidate = Candidate::new(fake.client(Arc::default()), &args, Gauge::default()).unwrap();
    let work = |_| async { Err(anyhow::anyhow!("broken")) };
    candidate.run(CancellationToken::new(), || {}, work).await.unwrap_err();
    let freed = Instant::now();
    let b = start(&fake, "b", &log);
    assert!(b.leads(0).await - freed < Duration::from_millis(100));
}
