//! Which replicas there are, and which of a cluster's agents leads, by their metrics.

use crate::eventually;
use crate::product::{Replica, Seat, admin_get};
use anyhow::{Result, ensure};

use super::world::{SOON, World};

/// All replicas run and are ready, whatever an earlier test left.
pub async fn all_up(world: &World) -> Result<()> {
    for seat in world.product.seats() {
        let front = seat.front.iter().flat_map(|front| [&front.webhook, &front.extender]);
        for replica in front.chain([&seat.agent]).flat_map(|component| component.all()) {
            replica.resume()?;
            if !replica.is_running() {
                replica.start()?;
            }
        }
        seat.wait_ready().await?;
    }
    Ok(())
}

/// The agent that leads, once there is exactly one.
pub async fn leader(seat: &Seat) -> Result<&Replica> {
    eventually("one agent to lead", SOON, async || {
        let leaders = leaders(seat).await;
        ensure!(leaders.len() == 1, "{} lead", leaders.len());
        Ok(Some(leaders[0]))
    })
    .await
}

/// Agents that lead, as far as they answer.
async fn leaders(seat: &Seat) -> Vec<&Replica> {
    let mut leaders = Vec::new();
    for agent in seat.agent.all() {
        let metrics = admin_get(agent.admin_port, "/metrics");
        // One that is paused does not answer.
        let answer = tokio::time::timeout(std::time::Duration::from_millis(500), metrics).await;
        let metrics = answer.ok().and_then(Result::ok).unwrap_or_default();
        if metrics.lines().any(|line| line == "multicluster_agent_leader 1") {
            leaders.push(agent);
        }
    }
    leaders
}

/// Wait until an agent leads that is not this one.
pub async fn successor<'a>(seat: &'a Seat, former: &Replica) -> Result<&'a Replica> {
    eventually("another agent to lead", SOON, async || {
        let leader = leaders(seat).await.into_iter();
        Ok(leader.clone().find(|leader| leader.admin_port != former.admin_port))
    })
    .await
}
