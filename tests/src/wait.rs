//! Waiting for a condition, instead of sleeping.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

use crate::process::ProcessEnded;

/// Set once a wait was in vain: this program's run folders are then kept for a look.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Calls `attempt` until it returns a value, and at most for `timeout`.
///
/// `what` completes the sentence "waited for …". An attempt that fails is repeated (an API server may be restarting),
/// and the last failure is part of the message in the end; only a [`ProcessEnded`] is returned at once.
pub async fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (start, mut last) = (Instant::now(), None);
    let deadline = start + timeout;
    while Instant::now() < deadline {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => last = None,
            Ok(Err(error)) if error.is::<ProcessEnded>() => {
                keep_logs();
                return Err(error.context(format!("waited for {what}")));
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(anyhow::anyhow!("the last attempt did not return")),
        }
        sleep(if start.elapsed() < Duration::from_secs(5) {
            Duration::from_millis(50)
        } else {
            Duration::from_millis(250)
        })
        .await;
    }
    keep_logs();
    match last {
        Some(error) => Err(error.context(format!("waited {timeout:?} for {what} in vain"))),
        None => bail!("waited {timeout:?} for {what} in vain"),
    }
}

/// Makes this program keep its run folders, for a look at the logs.
pub fn keep_logs() {
    FAILED.store(true, Ordering::Relaxed);
}

/// Whether a wait was in vain.
pub(crate) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}
