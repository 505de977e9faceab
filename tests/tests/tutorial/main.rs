//! The quick start, command by command, on clusters with real nodes: from nothing to `curl`, and back to nothing.
//!
//! What cannot run here stands in: clusters of the testbed for kind's, images that buildah built for docker's; and where the
//! page's source has a remark, what it says.
#![allow(clippy::unwrap_used)]

mod checks;
mod load;
mod page;
mod shell;
mod stand_ins;
mod world;

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Failed, Trial};
use page::Block;
use testbed::product::repository;
use testbed::real;
use world::World;

const PAGE: &str = "docs/quick-start/README.md";

fn main() {
    let arguments = Arguments::from_args();
    let missing = real::missing();
    if let Some(reason) = &missing {
        eprintln!("skipped: {reason}");
    }
    let story = Trial::test("quick_start", || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(quick_start()).map_err(|error| {
            testbed::keep_logs();
            Failed::from(format!("{error:#}"))
        })
    });
    libtest_mimic::run(&arguments, vec![story.with_ignored_flag(missing.is_some())]).exit();
}

async fn quick_start() -> Result<()> {
    let page = std::fs::read_to_string(repository().join(PAGE)).context(PAGE)?;
    let blocks = page::blocks(&page)?;
    let mut world = World::start().await?;
    let result = follow(&mut world, &blocks).await;
    if result.is_err() {
        world.describe().await;
    }
    world.stop().await?;
    result
}

async fn follow(world: &mut World, blocks: &[Block]) -> Result<()> {
    for (number, block) in blocks.iter().enumerate() {
        let start = std::time::Instant::now();
        eprintln!("tutorial: {}\n{}", block.section, indented(&block.commands));
        let said = match &block.stand_in {
            None => world.run(&block.commands).await,
            Some(remark) => stand_in(world, remark).await.map(|()| String::new()),
        };
        let said = said.with_context(|| block.section.clone())?;
        eprintln!("{}  ({:.1} s)", indented(&said), start.elapsed().as_secs_f64());
        let last = blocks.get(number + 1).is_none_or(|next| next.section != block.section);
        checks::after(world, &block.section, &said, last)
            .await
            .with_context(|| format!("after {}", block.section))?;
    }
    Ok(())
}

async fn stand_in(world: &mut World, remark: &str) -> Result<()> {
    match remark.split([',', ' ']).next() {
        Some("cert-manager") => world.management.install_cert_manager_pods().await,
        Some("Debian's") => world.start_ingress_controllers().await,
        Some("metrics-server") => {
            for cluster in world.clusters() {
                cluster.install_metrics_server().await?;
            }
            Ok(())
        }
        Some("the") => Ok(()),
        _ => bail!("nobody knows how to stand in: {remark}"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}
