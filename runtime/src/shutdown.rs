//! SIGTERM and SIGINT as tokens that work can wait for.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{Readiness, SHUTDOWN, SHUTTING_DOWN};

/// A token that is cancelled at the first SIGTERM or SIGINT. A second one ends the process at once.
pub fn token() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down");
        cancel.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(1);
    });
    Ok(token)
}

/// For servers behind a Service: not ready from `signal` on, and cancelled `delay` later. While endpoints are being taken
/// out of the Service, clients still call here; a server that is gone already would be an error to them.
pub fn withdraw(signal: CancellationToken, readiness: Readiness, delay: Duration) -> CancellationToken {
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        signal.cancelled().await;
        readiness.add(SHUTDOWN, || Err(SHUTTING_DOWN.into()));
        tokio::time::sleep(delay).await;
        cancel.cancel();
    });
    stop
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_withdrawn_before_it_stops() {
        let (signal, readiness) = (CancellationToken::new(), Readiness::default());
        let stop = withdraw(signal.clone(), readiness.clone(), Duration::from_secs(5));
        sleep(Duration::from_secs(60)).await;
        assert!(readiness.report(None).passed() && !stop.is_cancelled());
        let signalled = Instant::now();
        signal.cancel();
        sleep(Duration::from_secs(1)).await;
        assert!(!readiness.report(Some(SHUTDOWN)).passed());
        stop.cancelled().await;
        assert_eq!(signalled.elapsed().as_secs(), 5);
    }
}
