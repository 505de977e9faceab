//! Runs tests that share one world, in libtest's clothes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use parking_lot::RwLock;
use testbed::Testbed;
use tokio::runtime::Runtime;

use super::world::World;

type Body = Box<dyn Fn(Arc<World>) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send + Sync>;

/// A named test.
pub struct Test {
    name: &'static str,
    alone: bool,
    body: Body,
}

/// Make a test of an async function.
pub fn test<F>(name: &'static str, body: impl Fn(Arc<World>) -> F + Send + Sync + 'static) -> Test
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
pub fn alone<F>(name: &'static str, body: impl Fn(Arc<World>) -> F + Send + Sync + 'static) -> Test
where
    F: Future<Output = Result<()>> + 'static,
{
    Test {
        alone: true,
        ..test(name, body)
    }
}

/// Run the tests that the arguments ask for. The world is made when the first of them needs it.
pub fn main<S, F>(run: &'static str, tests: Vec<Test>, start: S)
where
    S: Fn(Testbed) -> F + Send + Sync + 'static,
    F: Future<Output = Result<World>>,
{
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap(),
    );
    let world: Arc<OnceLock<Result<Arc<World>, String>>> = Arc::default();
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
                testbed::keep_logs();
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

fn make<F: Future<Output = Result<World>>>(
    run: &str,
    runtime: &Runtime,
    start: &impl Fn(Testbed) -> F,
) -> Result<Arc<World>, String> {
    let made = runtime.block_on(async { anyhow::Ok(Arc::new(start(Testbed::new(run).await?).await?)) });
    made.map_err(|error| format!("the world could not be made: {error:#}"))
}
