//! Runs a reader's commands.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use testbed::product::repository;
use tokio::process::Command;

use super::stand_ins::StandIns;

/// The longest that one block may take.
const LONGEST: Duration = Duration::from_secs(600);

/// A shell in the repository's folder.
pub struct Shell {
    path: String,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Shell {
    /// With the stand-ins first in its `PATH`.
    pub fn new(stand_ins: &StandIns) -> Result<Self> {
        let path = std::env::var("PATH")?;
        let home = stand_ins.folder.join("home");
        std::fs::create_dir_all(&home)?;
        Ok(Self {
            path: format!("{}:{path}", stand_ins.folder.display()),
            kubeconfig: stand_ins.kubeconfig.clone(),
            home,
        })
    }

    /// What the commands print. The first that fails ends them, and is the error. Nothing that they start outlives them.
    pub async fn run(&self, commands: &str) -> Result<String> {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", commands])
            .current_dir(repository())
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = bash.spawn()?;
        let _group = Group(child.id());
        let output = tokio::time::timeout(LONGEST, child.wait_with_output())
            .await
            .with_context(|| format!("more than {} s for:\n{commands}", LONGEST.as_secs()))??;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "{} of:\n{commands}\n--- it said:\n{out}{err}",
            output.status
        );
        Ok(format!("{out}{err}"))
    }
}

/// A process group, ended when dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}
