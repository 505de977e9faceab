//! Clusters of real nodes run real containers, and leave nothing behind, however they end.
#![allow(clippy::unwrap_used)]

mod clusters;
mod killed;
mod leftovers;

use std::env;

use libtest_mimic::{Arguments, Failed, Trial};
use testbed::real;

fn main() {
    let arguments = Arguments::from_args();
    let Some(reason) = real::missing() else {
        if let Some(file) = env::var_os(killed::FILE) {
            runtime().block_on(killed::hold(file.as_ref())).unwrap();
        }
        let trials = vec![
            Trial::test("two_clusters_run_containers_and_leave_nothing", || run(clusters::two())),
            Trial::test("nothing_is_left_of_a_killed_run", || run(killed::nothing_is_left())),
            Trial::test("the_next_run_removes_what_is_left", || {
                run(killed::the_next_run_removes_it())
            }),
        ];
        // One after another: each starts what fills a small machine.
        let arguments = Arguments {
            test_threads: Some(1),
            ..arguments
        };
        libtest_mimic::run(&arguments, trials).exit();
    };
    println!("skipped: {reason}");
}

fn run(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    runtime().block_on(test).map_err(|error| {
        testbed::keep_logs();
        Failed::from(format!("{error:#}"))
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}
