//! What an operator sees: metrics, events, probes, alert rules, the dashboard. One source and one target, behind a link
//! that is cut for a while.
#![allow(clippy::unwrap_used)]

mod documented;
mod exposed;
mod outage;
mod rules;
mod traces;
mod trust;

use std::sync::Arc;

use anyhow::Result;
use exposed::Exposed;
use harness::{Test, test};
use testbed::product::{Product, Programs, Role, Scope};
use testbed::suite::{fixtures, harness, world};
use testbed::{ClusterOptions, Link, NodePool, Testbed};
use tokio::sync::OnceCell;
use world::World;

fn main() {
    let tests: Vec<Test> = [traces::tests(), tests(), outage::tests()]
        .into_iter()
        .flatten()
        .collect();
    harness::main("observability", tests, start);
}

async fn start(testbed: Testbed) -> Result<World> {
    let own = ClusterOptions::new("source", vec![NodePool::new("own", 1)]);
    let mut eu = ClusterOptions::new("eu", vec![NodePool::new("eu", 2)]);
    eu.cert_manager = true;
    let programs = Programs::build(&[]).await?.with_env(traces::collector().await?);
    let mut product = Product::start_programs(&testbed, own, Role::Both, vec![eu], programs, 1).await?;
    for seat in product.targets.values_mut() {
        seat.start_authproxy(1, None).await?;
    }
    trust::exercise(&product).await?;
    let link = Link::to(&product.target("eu")?.cluster, 1).await?;
    product.connect_through(&link, "eu", Scope::Cluster).await?;
    let links = [("eu".to_owned(), link)].into();
    Ok(World { product, links })
}

/// What is shown while the target is away, after pods have come, run and been deleted: all there is.
async fn exercised(world: &Arc<World>) -> Result<Exposed> {
    static SEEN: OnceCell<Exposed> = OnceCell::const_new();
    SEEN.get_or_try_init(|| outage::seen(world)).await.cloned()
}

/// What all components show.
async fn exposed(world: &World) -> Result<Exposed> {
    let mut exposed = Exposed::default();
    for seat in world.product.seats() {
        for (_, text) in seat.metrics().await? {
            exposed.read(&text)?;
        }
    }
    Ok(exposed)
}

fn tests() -> Vec<Test> {
    vec![
        test("metrics_are_documented", async |world| {
            documented::check(&exercised(&world).await?)
        }),
        test("rules_and_dashboard_use_what_there_is", async |world| {
            rules::check(&exercised(&world).await?)
        }),
        test("alerts_have_runbooks", async |_| rules::check_runbooks()),
    ]
}
