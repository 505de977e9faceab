//! Runs tests that share one world, in libtest's clothes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use crate::Testbed;
use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use parking_lot::RwLock;
use tokio::runtime::Runtime;

use super::world::World;

type Body<W> = Box<dyn Fn(Arc<W>) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// A named test in a world that it shares with others.
pub struct Test<W = World> {
    name: &'static str,
    alone: bool,
    body: Body<W>,
}

/// Make a test of an async function.
pub fn test<W, F>(name: &'static str, body: impl Fn(Arc<W>) -> F + Send + Sync + 'static) -> Test<W>
where
    F: Future<Output = Result<()>> + 'static,
{
    Test {
        name,
        alone: false,
        body: Box::new(move |world| Box::pin(body(world))),
    }
}

/// Make a test that no other test may run beside, since it stops what the others use.
pub fn alone<W, F>(name: &'static str, body: impl Fn(Arc<W>) -> F + Send + Sync + 'static) -> Test<W>
where
    F: Future<Output = Result<()>> + 'static,
{
    Test {
        alone: true,
        ..test(name, body)
    }
}

/// Run the tests that the arguments ask for. The world is made when the first of them needs it.
pub fn main<W, S, F>(run: &'static str, tests: Vec<Test<W>>, start: S)
where
    W: Send + Sync + 'static,
    S: Fn(Testbed) -> F + Send + Sync + 'static,
    F: Future<Output = Result<W>>,
{
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap(),
    );
    let world: Arc<OnceLock<Result<Arc<W>, String>>> = Arc::default();
    let start = Arc::new(start);
    let turns: Arc<RwLock<()>> = Arc::default();
    let trials = tests.into_iter().map(|test| {
        let (runtime, world, start, turns) = (runtime.clone(), world.clone(), start.clone(), turns.clone());
        Trial::test(test.name, move || {
            let made = world.get_or_init(|| make(run, &runtime, &*start));
            let world = made.clone().map_err(Failed::from)?;
            let run = || runtime.block_on((test.body)(world));
            let result = match test.alone {
                true => {
                    let _turn = turns.write();
                    run()
                }
                false => {
                    let _turn = turns.read();
                    run()
                }
            };
            result.map_err(|error| {
                crate::keep_logs();
                Failed::from(format!("{error:#}"))
            })
        })
    });
    let mut arguments = Arguments::from_args();
    // The control planes and the components want the cores, too.
    arguments.test_threads.get_or_insert(3);
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Before the program ends, so that all that was started ends.
    drop(world);
    drop(runtime);
    conclusion.exit();
}

fn make<W, F: Future<Output = Result<W>>>(
    run: &str,
    runtime: &Runtime,
    start: &impl Fn(Testbed) -> F,
) -> Result<Arc<W>, String> {
    let made = runtime.block_on(async { anyhow::Ok(Arc::new(start(Testbed::new(run).await?).await?)) });
    made.map_err(|error| format!("the world could not be made: {error:#}"))
}
