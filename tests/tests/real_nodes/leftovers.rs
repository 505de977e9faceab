//! What a site is made of, on this machine.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use testbed::eventually;

/// Everything of a site that the machine knows, in words.
pub type Things = BTreeSet<String>;

/// The links, network namespaces, control groups, mounts, and processes of the site `name`, whose files are in `folder`.
pub fn of(name: &str, folder: &Path) -> Result<Things> {
    let mut things = Things::new();
    let mut pids = BTreeSet::new();
    for file in names(Path::new("/sys/class/net")) {
        if file == name || file == format!("{name}p") {
            things.insert(format!("link {file}"));
        }
    }
    let ours = |file: &str| file == name || file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    for file in names(Path::new("/run/netns")).filter(|file| ours(file)) {
        let output = Command::new("ip").args(["netns", "pids", &file]).output()?;
        pids.extend(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned));
        things.insert(format!("namespace {file}"));
    }
    for hierarchy in names(Path::new("/sys/fs/cgroup")).chain([".".to_owned()]) {
        let parent = Path::new("/sys/fs/cgroup").join(hierarchy);
        for file in names(&parent).filter(|file| ours(file)) {
            let group = parent.join(file);
            members(&group, &mut pids);
            things.insert(format!("group {}", group.display()));
        }
    }
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        if line.contains(&format!(" {}/", folder.display())) {
            things.insert(format!("mount {line}"));
        }
    }
    things.extend(pids.into_iter().map(|pid| format!("process {pid}")));
    Ok(things)
}

/// Waits until nothing is left of what was there, and nothing new has come.
pub async fn gone(before: &Things, name: &str, folder: &Path, timeout: Duration) -> Result<()> {
    eventually("everything to be gone", timeout, async || {
        let mut left = of(name, folder)?;
        left.extend(before.iter().filter(|thing| runs(thing)).cloned());
        ensure!(left.is_empty(), "{left:#?}");
        Ok(Some(()))
    })
    .await
}

/// Whether this is a process that has not ended. A zombie has, and waits for its parent's notice only.
fn runs(thing: &str) -> bool {
    thing.strip_prefix("process ").is_some_and(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    })
}

fn members(group: &Path, pids: &mut BTreeSet<String>) {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().map(str::to_owned));
    for file in names(group) {
        let below = group.join(file);
        if below.is_dir() {
            members(&below, pids);
        }
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().display().to_string())
}
