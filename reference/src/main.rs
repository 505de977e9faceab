//! `reference [--check] DIR`: writes the reference pages into a folder, or says which are not current.

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--check", dir] => {
            let old = multicluster_reference::outdated(Path::new(dir));
            if !old.is_empty() {
                bail!("not current: {}; run make manifests", old.join(", "));
            }
        }
        [dir] => {
            for (name, text) in multicluster_reference::pages() {
                let path = Path::new(dir).join(name);
                std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            }
        }
        _ => bail!("write: reference [--check] DIR"),
    }
    Ok(())
}
