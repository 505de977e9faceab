//! Our own programs, built in the profile that this program was built in.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::repository;
use crate::cargo::cargo;

const PACKAGES: [&str; 5] = [
    "multicluster-agent",
    "multicluster-authproxy",
    "multicluster-cli",
    "multicluster-extender",
    "multicluster-webhook",
];

/// Cargo's profiles that the tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Unoptimised, quick to build.
    Dev,
    /// As users run it.
    Release,
}

/// The folder of our programs.
#[derive(Clone, Debug)]
pub struct Programs {
    dir: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Programs {
    /// Build what is out of date, with these features of the extender.
    pub async fn build(extender_features: &[&str]) -> Result<Self> {
        let (dir, profile) = here()?;
        let mut cargo = Command::from(cargo());
        cargo.current_dir(repository()).args(["build", "--quiet", "--bins"]);
        for package in PACKAGES {
            cargo.args(["--package", package]);
        }
        for feature in extender_features {
            cargo.args(["--features", &format!("multicluster-extender/{feature}")]);
        }
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        // The output goes where this program itself came from, whatever CARGO_TARGET_DIR says by now.
        cargo.env("CARGO_TARGET_DIR", dir.parent().context("no target folder")?);
        let status = cargo.status().await.context("running cargo")?;
        ensure!(status.success(), "cargo build failed: see above");
        Ok(Self { dir, env: vec![] })
    }

    /// Start them with these environment variables, too.
    pub fn with_env(mut self, env: Vec<(&'static str, String)>) -> Self {
        self.env = env;
        self
    }

    /// What they are started with, besides what each of them needs.
    pub fn env(&self) -> &[(&'static str, String)] {
        &self.env
    }

    /// The path of a program.
    pub fn find(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The folder of all programs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The folder that cargo puts programs into, and the profile it belongs to.
fn here() -> Result<(PathBuf, Profile)> {
    let program = env::current_exe()?;
    let mut dir = program.parent().context("no folder")?;
    // Tests and examples lie one folder deeper.
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent().context("no folder")?;
    }
    let profile = if dir.ends_with("release") {
        Profile::Release
    } else {
        Profile::Dev
    };
    Ok((dir.to_owned(), profile))
}
