//! Why real nodes cannot run here.

use std::{env, fs, path::Path};

use super::run;
use crate::path;

/// Where Debian and others put the plugins that connect pods.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// The plugins that are used.
const CNI_PLUGINS: [&str; 3] = ["ptp", "host-local", "loopback"];
/// The programs of the system that are used, by us or by kube-proxy.
const PROGRAMS: [&str; 8] = ["awk", "bash", "flock", "ip", "mount", "nft", "nsenter", "unshare"];

/// A shell and the usual commands in one static program, for containers.
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// Why clusters with real nodes cannot run here, or nothing when they can. Tests then say `skipped: …`.
///
/// `tests/real-nodes-setup` installs what Debian has.
pub fn missing() -> Option<String> {
    check().err()
}

fn check() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("real nodes need Linux".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("real nodes need root".to_owned());
    }
    let lacking: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| path::find(program).is_none())
        .collect();
    if !lacking.is_empty() {
        return Err(format!("{} missing: run tests/real-nodes-setup", lacking.join(", ")));
    }
    if cni_folder().is_none() {
        return Err("CNI plugins are missing: run tests/real-nodes-setup".to_owned());
    }
    if !Path::new(BUSYBOX).is_file() {
        return Err(format!("{BUSYBOX} is missing: run tests/real-nodes-setup"));
    }
    if env::var_os(crate::binaries::BIN_DIR).is_none() {
        // To build runc with.
        run("cc", ["--version"]).map_err(|_| "a C compiler is missing".to_owned())?;
        run("pkg-config", ["--exists", "libseccomp"])
            .map_err(|_| "libseccomp's headers or pkg-config are missing: run tests/real-nodes-setup".to_owned())?;
    }
    super::programs::missing()?;
    super::cgroups::missing()?;
    let why = |error: anyhow::Error| format!("no namespaces or no overlayfs: {error:#}");
    // In namespaces of its own, so nothing is left behind.
    let folder = tempfile::tempdir_in(env::temp_dir()).map_err(|error| error.to_string())?;
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.path().join(name)).map_err(|error| error.to_string())?;
    }
    let script = "cd \"$1\" && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged \
                  && ip link add type veth && nft add table ip testbed";
    let private = ["--net", "--mount", "--propagation=private", "sh", "-c", script, "sh"];
    let folder = folder.path().as_os_str();
    run("unshare", private.into_iter().map(AsRef::as_ref).chain([folder]))
        .map(drop)
        .map_err(why)
}

/// The folder with the plugins.
pub(super) fn cni_folder() -> Option<&'static str> {
    let complete = |folder: &&str| {
        CNI_PLUGINS
            .iter()
            .all(|plugin| Path::new(folder).join(plugin).is_file())
    };
    CNI_FOLDERS.into_iter().find(complete)
}
