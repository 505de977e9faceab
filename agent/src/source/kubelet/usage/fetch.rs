//! The question to a target: what do the delegates of this cluster use? Other pods are not asked for, so what they use does
//! not travel.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use http::header::DATE;
use http_body_util::{BodyExt, Limited};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::Request;
use multicluster_api::names;
use multicluster_kubelet::usage::reading::Reading;
use parking_lot::Mutex;
use serde::Deserialize;

use super::problem::Problem;

/// How long the target may take, in all.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// Most bytes of an answer: 10,000 pods are about 10 MiB.
const MOST_BYTES: usize = 64 << 20;
/// That the namespaces have to be asked for one by one is believed for so long.
const NARROW: Duration = Duration::from_secs(600);
/// Namespaces that are asked for at a time.
const CONCURRENCY: usize = 8;
/// Clocks of clusters do not differ by more.
const MOST_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Asks one target, and remembers how it wants to be asked.
#[derive(Debug, Default)]
pub struct Fetcher {
    /// Until when it is known that pods of all namespaces may not be asked for at once.
    narrow: Mutex<Option<Instant>>,
}

/// Which pods.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// This cluster's name in the target.
    pub cluster_name: &'a str,
    /// The one namespace that the Target serves, if it is one.
    pub namespace: Option<&'a str>,
    /// The namespaces that have delegates.
    pub namespaces: &'a BTreeSet<String>,
}

impl Fetcher {
    /// Ask. What has arrived when something goes wrong, counts.
    pub async fn fetch(&self, client: &Client, question: Question<'_>) -> (Reading, Result<(), Problem>) {
        let mut reading = Reading::new(Timestamp::now(), Instant::now());
        let asked = self.ask(client, question, &mut reading);
        let result = match tokio::time::timeout(DEADLINE, asked).await {
            Ok(result) => result,
            Err(_) => Err(Problem::Failing(format!("no answer within {} s", DEADLINE.as_secs()))),
        };
        (reading, result)
    }

    async fn ask(&self, client: &Client, question: Question<'_>, reading: &mut Reading) -> Result<(), Problem> {
        let Question {
            cluster_name,
            namespace,
            namespaces,
        } = question;
        if let Some(namespace) = namespace {
            return ask(client, Some(namespace), cluster_name).await?.read(reading);
        }
        if self.narrow.lock().is_none_or(|until| until <= Instant::now()) {
            match ask(client, None, cluster_name).await {
                Err(Problem::Forbidden(_)) => *self.narrow.lock() = Some(Instant::now() + NARROW),
                answer => return answer?.read(reading),
            }
        }
        let mut result = Ok(());
        let mut answers = stream::iter(namespaces.iter().cloned())
            .map(|namespace| async move { ask(client, Some(&namespace), cluster_name).await })
            .buffer_unordered(CONCURRENCY);
        while let Some(answer) = answers.next().await {
            result = result.and(answer.and_then(|answer| answer.read(reading)));
        }
        result
    }
}

/// A list of PodMetrics.
struct Answer {
    /// The target's clock.
    at: Timestamp,
    taken: Instant,
    json: Vec<u8>,
}

impl Answer {
    fn read(self, reading: &mut Reading) -> Result<(), Problem> {
        (reading.at, reading.taken) = (self.at, self.taken);
        reading.read(&self.json).map_err(|error| failing(&error))
    }
}

async fn ask(client: &Client, namespace: Option<&str>, cluster_name: &str) -> Result<Answer, Problem> {
    let api = "/apis/metrics.k8s.io/v1beta1";
    let path = match namespace {
        Some(namespace) => format!("{api}/namespaces/{namespace}/pods"),
        None => format!("{api}/pods"),
    };
    let ours = ListParams::default().labels(&format!("{}={cluster_name}", names::PARENT_CLUSTER_NAME));
    let request = Request::new(path).list(&ours).map_err(|error| failing(&error))?;
    let response = client
        .send(request.map(Body::from))
        .await
        .map_err(|error| failing(&error))?;
    let (head, body) = response.into_parts();
    let taken = Instant::now();
    let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
    let at = there(date, Timestamp::now());
    let body = Limited::new(body, MOST_BYTES).collect().await;
    let json = body.map_err(|error| failing(error.as_ref()))?.to_bytes();
    if !head.status.is_success() {
        let message = serde_json::from_slice(&json).map(|status: Status| status.message);
        return Err(Problem::of_answer(head.status.as_u16(), &message.unwrap_or_default()));
    }
    Ok(Answer {
        at,
        taken,
        json: json.into(),
    })
}

/// The message of a `Status`.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

/// The target's clock, as its answer tells it, if that can be.
pub(super) fn there(date: Option<&str>, now: Timestamp) -> Timestamp {
    let told = date
        .and_then(|date| rfc2822::parse(date).ok())
        .map(|date| date.timestamp());
    told.filter(|told| told.duration_since(now).abs() <= MOST_SKEW)
        .unwrap_or(now)
}

/// Errors of the network say least at the top.
fn failing(error: &(dyn Error + 'static)) -> Problem {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Problem::Failing(cause.to_string())
}
