//! Benchmarks: real components on the testbed, numbers against goals.
//!
//! ```text
//! webhook ──▶ load over TLS ─▶ multicluster-webhook                     latency, CPU per review
//! filter ───▶ load over mTLS ▶ multicluster-extender, made-up targets   latency
//! pods ─────▶ "single" cluster, and source + 2 targets in turn          pods a second, writes, CPU, memory
//! writes ───▶ source + 6 targets                                        writes per pod
//! failover ─▶ source + 2 targets, one of them hangs                     seconds until noticed, mended, cleaned up
//! follow ───▶ source with 5,000 ConfigMaps + 2 targets                  seconds until a change arrives, memory
//! dns ──────▶ source + 2 targets, one of them hangs or has no pods      seconds until its address is in no answer
//! authproxy ▶ a target with the authenticating proxy                   as slow as the API server itself
//! talking ──▶ kubectl to a proxy pod, and to its delegate              as slow as the target itself
//! install ──▶ a cluster with a real node, the images, Helm             megabytes, seconds
//! soak ─────▶ source + 3 targets, things break at random                faults, promises broken
//! ```
//!
//! All load stays on loopback. See docs/benchmarks.md for what the numbers mean.

mod authproxy;
mod binds;
mod dns;
mod failover;
mod filter_load;
mod follow;
mod forward;
mod install;
pub(crate) mod percentiles;
pub mod proc;
mod processes;
mod prometheus;
mod server;
mod summary;
mod talking;
mod throughput;
mod webhook_load;
mod workload;
mod writes;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::product::Programs;
use crate::{Testbed, soak};
use summary::{Goal, Summary};
use throughput::Shape;

/// Measure the product on this machine, and compare with its goals
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub struct Args {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    pub only: Vec<Part>,
    /// Pods of the Deployments, with 2 targets; three fifths as many with 6 targets
    #[arg(long, default_value_t = 500)]
    pub pods: usize,
    /// How often pods are measured (the median counts), and how often targets hang or lose pods (the slowest time counts)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub repeat: u8,
    /// Reviews that the webhook is asked for
    #[arg(long, default_value_t = 50_000)]
    pub reviews: usize,
    /// Filter requests that the extender is asked for
    #[arg(long, default_value_t = 4_000)]
    pub filters: usize,
    /// End with an error when a goal is missed
    #[arg(long)]
    pub strict: bool,
}

/// A part of the benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Reviews by the webhook.
    Webhook,
    /// Filter requests to the extender.
    Filter,
    /// Pods a second.
    Pods,
    /// Requests per pod with many targets.
    Writes,
    /// A target that hangs.
    Failover,
    /// Files that follow pods.
    Follow,
    /// A name that leads to targets.
    Dns,
    /// The authenticating proxy against the API server itself.
    Authproxy,
    /// Exec and port-forward through a virtual node against the target itself.
    Talking,
    /// The images, and Helm.
    Install,
    /// Two minutes of the soak.
    Soak,
}

impl Part {
    const ALL: [Self; 11] = [
        Self::Webhook,
        Self::Filter,
        Self::Pods,
        Self::Writes,
        Self::Failover,
        Self::Follow,
        Self::Dns,
        Self::Authproxy,
        Self::Talking,
        Self::Install,
        Self::Soak,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Filter => "filter",
            Self::Pods => "pods",
            Self::Writes => "writes",
            Self::Failover => "failover",
            Self::Follow => "follow",
            Self::Dns => "dns",
            Self::Authproxy => "authproxy",
            Self::Talking => "talking",
            Self::Install => "install",
            Self::Soak => "soak",
        }
    }
}

/// Measure, print the table, and write the files.
pub async fn run(args: Args) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("bench: this is an unoptimised build; its numbers mean little");
    }
    let programs = Programs::build(&[]).await?;
    let dir = folder(&programs)?;
    let mut summary = Summary::default();
    for part in Part::ALL.into_iter().filter(|part| args.only.contains(part)) {
        println!("measuring: {}", part.name());
        measure(part, &args, &programs, &dir, &mut summary).await?;
    }
    println!("\n{summary}");
    summary.write(&dir.join("summary.json"))?;
    println!("written to {}", dir.display());
    let missed = summary.missed();
    anyhow::ensure!(!args.strict || missed.is_empty(), "missed: {}", missed.join(", "));
    Ok(())
}

async fn measure(part: Part, args: &Args, programs: &Programs, dir: &Path, summary: &mut Summary) -> Result<()> {
    // Each part has a run of its own: nothing of the others is left running.
    let testbed = Testbed::new(&format!("bench-{}", part.name())).await?;
    let shape = |targets, nodes, pods| Shape { targets, nodes, pods };
    match part {
        Part::Webhook => webhook_load::measure(&testbed, programs, args.reviews, summary).await,
        Part::Filter => filter_load::measure(&testbed, args.filters, summary).await,
        Part::Pods => {
            let shape = shape(2, 10, args.pods);
            throughput::compare(&testbed, shape, args.repeat.into(), dir, summary).await
        }
        Part::Writes => throughput::count_writes(&testbed, shape(6, 4, args.pods * 3 / 5), dir, summary).await,
        Part::Failover => failover::measure(&testbed, args.repeat.into(), summary).await,
        Part::Follow => follow::measure(&testbed, summary).await,
        Part::Dns => dns::measure(&testbed, args.repeat.into(), summary).await,
        Part::Authproxy => authproxy::measure(&testbed, args.repeat.into(), summary).await,
        Part::Talking => talking::measure(&testbed, args.repeat.into(), summary).await,
        Part::Install => install::measure(summary).await,
        Part::Soak => measure_soak(summary).await,
    }
    .with_context(|| format!("measuring {}", part.name()))
}

async fn measure_soak(summary: &mut Summary) -> Result<()> {
    let args = soak::Args {
        minutes: 2.0,
        seed: None,
    };
    let score = soak::measure(args).await?;
    summary.note("soak_faults", score.faults as f64);
    summary.goal("soak_violations", score.violations as f64, Goal::AtMost(0.0));
    Ok(())
}

/// `target/bench`, wherever the target folder is.
pub(crate) fn folder(programs: &Programs) -> Result<PathBuf> {
    let dir = programs.dir().parent().context("no target folder")?.join("bench");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}
