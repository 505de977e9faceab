//! Runs a command.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::Level;
use crate::{check, complete, connect, disconnect, explain, status};

/// Run a command, and say how it ended.
pub async fn run(args: Args) -> ExitCode {
    logs(args.global.verbose);
    let stop = CancellationToken::new();
    watch_signals(stop.clone());
    let global = &args.global;
    let done = match &args.command {
        Command::Connect(flags) => connect::run(global, flags, &stop).await,
        Command::Disconnect(flags) => disconnect::run(global, flags, &stop).await,
        Command::Status(flags) => or_stop(&stop, status::run(global, flags)).await,
        Command::Explain(flags) => or_stop(&stop, explain::run(global, flags)).await,
        Command::Check(flags) => or_stop(&stop, check::run(global, flags)).await,
        Command::Completion { shell } => complete::script(*shell),
        Command::Complete { words } => complete::answer(global, words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure != Failure::Found {
                let style = Level::Error.style();
                anstream::eprintln!("{style}error:{style:#} {failure}");
            }
            failure.into()
        }
    }
}

/// What only reads can be given up at any time.
async fn or_stop(stop: &CancellationToken, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    stop.run_until_cancelled(work)
        .await
        .unwrap_or(Err(Failure::Interrupted))
}

fn logs(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "multicluster_cli=info",
        _ => "multicluster_cli=debug,kube_client=debug",
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(std::io::stderr)
        .without_time();
    // Only tests have set one before.
    let _ = logs.try_init();
}

/// The first Ctrl-C asks for an end, the second one ends.
fn watch_signals(stop: CancellationToken) {
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if stop.is_cancelled() {
                anstream::eprintln!(
                    "ended at once: run the command again to repair, or disconnect to remove what is left"
                );
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
}
