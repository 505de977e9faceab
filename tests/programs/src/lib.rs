//! What the programs in the containers of the testbed's real nodes have in common.
//!
//! They are built for musl, so that an image holds one static file; few dependencies make that a matter of seconds.

use std::process;

use nix::sys::signal::{SigSet, Signal};

/// Blocks the signals that end a program. Call it before threads are started, which inherit that.
///
/// A container's first process has to do this: the kernel drops signals for it that it does not handle.
pub fn hold_signals() -> SigSet {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    if let Err(error) = signals.thread_block() {
        eprintln!("cannot block signals: {error}");
        process::exit(1);
    }
    signals
}

/// Waits for one of the signals, and ends the program at once.
pub fn end_at(signals: &SigSet) -> ! {
    match signals.wait() {
        Ok(_) => process::exit(0),
        Err(error) => {
            eprintln!("cannot wait for signals: {error}");
            process::exit(1);
        }
    }
}
