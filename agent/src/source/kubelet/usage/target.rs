//! What is known of the use of one target's delegates.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use multicluster_kubelet::usage::node::{Delegated, NodeMetrics};
use multicluster_kubelet::usage::reading::Reading;
use multicluster_kubelet::usage::summary::Summary;
use parking_lot::Mutex;

use super::problem::{Problem, RECEIVED};
use super::trouble::Trouble;

/// A target is asked at most so often, whoever asks us: metrics-server, its second replica, Prometheus. Who asks every 10 s,
/// as often as metrics-server can, always gets a new answer.
pub const PAUSE: Duration = Duration::from_secs(8);

/// One virtual node's.
#[derive(Debug)]
pub struct TargetUsage {
    node: Mutex<NodeMetrics>,
    /// Held while the target is asked: who comes meanwhile waits for the same answer.
    turn: tokio::sync::Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    asked: Option<Instant>,
    trouble: Trouble,
}

/// What is shown.
#[derive(Debug)]
pub struct Shown {
    /// What delegates use.
    pub summary: Summary,
    /// The target could not be asked, or did not answer.
    pub error: bool,
}

/// What is to be told of the target.
#[derive(Debug, PartialEq, Eq)]
pub enum Tell {
    /// It does not say what delegates use.
    Problem(Problem),
    /// It does again.
    Over,
}

impl Tell {
    /// The reason of the event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.reason(),
            Self::Over => RECEIVED,
        }
    }
}

/// What came of asking the target.
#[derive(Debug)]
pub struct Asked {
    /// What it said.
    pub reading: Reading,
    /// Whether it said all.
    pub result: Result<(), Problem>,
}

impl TargetUsage {
    /// Nothing is known.
    pub fn new(node: &str) -> Self {
        Self {
            node: Mutex::new(NodeMetrics::new(node, Timestamp::now())),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// What is to be shown of these pods. `ask` is called when it is time to ask the target; its `None` says that the target
    /// is away, which others tell. Where there are no pods nobody is asked. `told` hears how it went, and what is to be
    /// told.
    pub async fn show<F>(
        &self,
        pods: &[Delegated],
        ask: impl FnOnce() -> Option<F>,
        told: impl FnOnce(&Result<(), Problem>, Option<Tell>),
    ) -> Shown
    where
        F: Future<Output = Asked>,
    {
        let mut turn = self.turn.lock().await;
        let mut error = !pods.is_empty() && turn.trouble.is_on();
        if !pods.is_empty() && turn.asked.is_none_or(|asked| asked.elapsed() >= PAUSE) {
            match ask() {
                Some(asking) => {
                    turn.asked = Some(Instant::now());
                    let Asked { reading, result } = asking.await;
                    self.node.lock().take(&reading, pods);
                    error = result.is_err();
                    told(&result, turn.heard(&result));
                }
                None => error = true,
            }
        }
        drop(turn);
        let summary = self.node.lock().summary(pods, Instant::now());
        Shown { summary, error }
    }
}

impl Turn {
    fn heard(&mut self, result: &Result<(), Problem>) -> Option<Tell> {
        match result {
            Ok(()) => self.trouble.over().then_some(Tell::Over),
            Err(problem) => {
                let tell = self.trouble.failed(problem, Instant::now());
                tell.then(|| Tell::Problem(problem.clone()))
            }
        }
    }
}
