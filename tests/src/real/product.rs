//! What a user installs: the images, and the stock scheduler under the name by which the chart asks for it.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::Image;
use crate::Testbed;
use crate::product::repository;

/// The variable with a folder of ready archives; nothing is built then.
const IMAGES_DIR: &str = "TESTBED_IMAGES_DIR";

/// Builds images of ours for these targets of the Dockerfile, and returns their archives. What has not changed is not built
/// again.
///
/// `TESTBED_IMAGES_DIR` names a folder with ready ones instead, `TARGET.tar`.
pub async fn product_images(targets: &[&str]) -> Result<Vec<PathBuf>> {
    let archives = |folder: &Path| {
        targets
            .iter()
            .map(|target| folder.join(format!("{target}.tar")))
            .collect()
    };
    if let Some(folder) = env::var_os(IMAGES_DIR).filter(|value| !value.is_empty()) {
        return Ok(archives(Path::new(&folder)));
    }
    let folder = repository().join("target/images");
    let status = Command::new(repository().join("image/without-engine"))
        .arg(&folder)
        .args(targets)
        .status()
        .await
        .context("image/without-engine")?;
    ensure!(status.success(), "the images could not be built: see above");
    Ok(archives(&folder))
}

/// The stock scheduler's image, written into the testbed's folder.
pub fn kube_scheduler_image(testbed: &Testbed) -> Result<PathBuf> {
    let program = testbed.binaries().find("kube-scheduler")?;
    let name = "registry.k8s.io/kube-scheduler:v1.36.3";
    Image::of(name, "/usr/local/bin/kube-scheduler", program).write(&testbed.dir().join("images"))
}

/// Bytes of the layers of all these images, uncompressed; a layer that they share counts once.
pub fn layers_size(archives: &[PathBuf]) -> Result<u64> {
    let mut layers = BTreeMap::new();
    for archive in archives {
        layers.extend(layers_of(archive).with_context(|| archive.display().to_string())?);
    }
    Ok(layers.values().sum())
}

/// The layers of an archive as `docker save` writes it, by their names, which are their digests.
fn layers_of(archive: &Path) -> Result<BTreeMap<String, u64>> {
    let mut layers = BTreeMap::new();
    for entry in tar::Archive::new(File::open(archive)?).entries()? {
        let entry = entry?;
        let name = entry.path()?.display().to_string();
        // The same layers again, as links, for readers of an older form.
        if name.ends_with(".tar") && entry.header().entry_type().is_file() {
            layers.insert(name, entry.size());
        }
    }
    ensure!(!layers.is_empty(), "no layers");
    Ok(layers)
}
