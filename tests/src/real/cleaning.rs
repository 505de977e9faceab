//! Removing what a site or a cluster left: one script, run by whoever comes to it.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use super::run;

const SCRIPT: &str = include_str!("clean.sh");
/// Waits until the pipe on standard input ends without a word: its owner is dead then.
const WATCHDOG: &str = "trap '' HUP INT TERM\nIFS= read -r word && exit 0\nset -- \"$@\" orphaned\n";

/// Removes the site or cluster `name`, whose files are in `folder`.
pub(super) fn clean(name: &str, folder: &Path) -> Result<()> {
    let folder = folder.display().to_string();
    run("sh", ["-c", SCRIPT, "testbed-clean", name, &folder]).map(drop)
}

/// Removes the sites whose owners are dead, and whose watchdogs are too.
pub(super) fn clean_orphans() -> Result<()> {
    for entry in fs::read_dir("/sys/class/net")? {
        let link = entry?;
        let name = link.file_name().display().to_string();
        if !super::site::is_name(&name) {
            continue;
        }
        // Gone in between when its owner is just ending.
        let Ok(folder) = fs::read_to_string(link.path().join("ifalias")) else {
            continue;
        };
        let args = ["-c", SCRIPT, "testbed-clean", &name, folder.trim_end(), "orphaned"];
        run("sh", args)?;
    }
    Ok(())
}

/// A process that removes the site once this one is gone, whatever way it goes.
pub(super) fn watch(name: &str, folder: &Path) -> Result<Child> {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{WATCHDOG}{SCRIPT}"))
        .args(["testbed-watchdog", name])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in a terminal ends the test, not this.
        .process_group(0);
    command.spawn().context("the watchdog of a site")
}
