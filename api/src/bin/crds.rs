//! Writes the CustomResourceDefinitions into a folder: `crds DIR`.

use std::path::PathBuf;

use multicluster_api::crds;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir: PathBuf = std::env::args_os().nth(1).ok_or("usage: crds DIR")?.into();
    for crd in crds::all() {
        std::fs::write(dir.join(crds::file_name(&crd)), crds::manifest(&crd)?)?;
    }
    Ok(())
}
