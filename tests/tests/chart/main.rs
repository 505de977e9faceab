//! The Helm chart: what it renders, what it refuses, and what Helm makes of it in clusters.
#![allow(clippy::unwrap_used)]

mod helm;
mod installed;
mod refused;
mod rendered;
mod self_managed;

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use helm::Helm;
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::suite::{fixtures, world};
use tokio::runtime::Runtime;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let runtime = Arc::new(Runtime::new().unwrap());
    let trials = vec![
        trial(&runtime, "lint_finds_nothing", rendered::lint),
        trial(&runtime, "each_value_is_described_and_has_a_schema", rendered::values),
        trial(&runtime, "each_role_has_its_objects", rendered::roles),
        trial(&runtime, "values_change_what_they_say", rendered::changes),
        trial(&runtime, "packing_turns_spreading_off", rendered::packing),
        trial(&runtime, "hostile_text_stays_text", rendered::hostile),
        trial(&runtime, "own_variables_are_refused_twice", rendered::own_variables),
        trial(&runtime, "what_cannot_work_is_refused", refused::all),
        trial(&runtime, "installed_upgraded_used_and_uninstalled", installed::story),
        trial(&runtime, "certificates_without_cert_manager", self_managed::story),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the program ends, so that all that was started ends.
    drop(runtime);
    conclusion.exit();
}

fn trial<F>(runtime: &Arc<Runtime>, name: &'static str, body: fn(Helm) -> F) -> Trial
where
    F: Future<Output = Result<()>> + 'static,
{
    let runtime = runtime.clone();
    Trial::test(name, move || {
        let result = runtime.block_on(async { body(Helm::new().await?).await });
        result.map_err(|error| {
            testbed::keep_logs();
            Failed::from(format!("{error:#}"))
        })
    })
}
