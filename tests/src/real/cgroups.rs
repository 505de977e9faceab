//! A control group for the pods of each kubelet: it removes what it does not know below its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const MOUNTS: &str = "/proc/self/mounts";
/// The file with a group's controllers, in version 2.
const CONTROLLERS: &str = "cgroup.controllers";

/// Makes the group in every hierarchy.
pub(super) fn make(name: &str) -> Result<()> {
    for (parent, options) in hierarchies(&fs::read_to_string(MOUNTS)?) {
        let group = parent.join(name);
        fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        hand_down_controllers(&parent);
        // A new group of this controller has no processors, and takes no process then.
        if options.split(',').any(|option| option == "cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(group.join(file), fs::read(parent.join(file))?).with_context(|| file.to_owned())?;
            }
        }
    }
    Ok(())
}

/// Why no groups can be made.
pub(super) fn missing() -> Result<(), String> {
    let mounts = fs::read_to_string(MOUNTS).map_err(|error| format!("{MOUNTS}: {error}"))?;
    let found = hierarchies(&mounts);
    if found.is_empty() {
        return Err("no control groups are mounted".to_owned());
    }
    let name = format!("mct-probe-{}", std::process::id());
    for (parent, _) in found {
        let group = parent.join(&name);
        fs::create_dir(&group)
            .map_err(|error| format!("control groups cannot be made in {}: {error}", parent.display()))?;
        hand_down_controllers(&parent);
        let controllers = fs::read_to_string(group.join(CONTROLLERS));
        let removed = fs::remove_dir(&group);
        removed.map_err(|error| format!("{}: {error}", group.display()))?;
        if let Ok(controllers) = controllers
            && let Some(lacking) = lacking(&controllers)
        {
            return Err(format!(
                "control groups in {} lack the controller {lacking}",
                parent.display()
            ));
        }
    }
    Ok(())
}

/// In version 2 a group has the controllers that its parent hands down, which every container runtime sees to.
fn hand_down_controllers(parent: &Path) {
    let controllers = fs::read_to_string(parent.join(CONTROLLERS)).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        // One that cannot be handed down is found missing if it is needed.
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A controller that a kubelet needs and that is not among these of a group.
fn lacking(controllers: &str) -> Option<&'static str> {
    let mut needed = ["cpu", "cpuset", "memory", "pids"].into_iter();
    needed.find(|needed| !controllers.split_whitespace().any(|each| each == *needed))
}

/// Mount points and options: every hierarchy of version 1 with the named one of systemd, or the single one of version 2.
fn hierarchies(mounts: &str) -> Vec<(PathBuf, String)> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
            // Beside version 1, version 2 carries no controllers.
            let counts = kind == "cgroup" || kind == "cgroup2" && Path::new(point) == Path::new("/sys/fs/cgroup");
            counts.then(|| (PathBuf::from(point), options.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(mounts: &str) -> Vec<PathBuf> {
        hierarchies(mounts).into_iter().map(|(point, _)| point).collect()
    }

    #[test]
    fn finds_the_hierarchies() {
        let v1 = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(points(v1), [Path::new("/sys/fs/cgroup/cpu")]);
        assert_eq!(
            points("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\nproc /proc proc rw 0 0\n"),
            [Path::new("/sys/fs/cgroup")]
        );
        assert!(points("").is_empty());
    }

    #[test]
    fn knows_what_a_kubelet_needs() {
        assert_eq!(lacking("cpuset cpu io memory pids\n"), None);
        assert_eq!(lacking("memory pids"), Some("cpu"));
    }
}
