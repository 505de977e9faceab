//! Static programs for containers, from the package `multicluster-test-programs`.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::run;
use crate::cargo::cargo;
use crate::path;

const PACKAGE: &str = "multicluster-test-programs";

/// What the programs are built for.
fn target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

/// Why the programs cannot be built.
pub(super) fn missing() -> Result<(), String> {
    if env::var_os("CARGO").is_none() && path::find("cargo").is_none() {
        return Err("cargo is missing".to_owned());
    }
    let (target, rustc) = (target(), env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    let folder = run(&rustc, ["--print=target-libdir", "--target", &target]).map_err(|error| error.to_string())?;
    match PathBuf::from(folder.trim()).is_dir() {
        true => Ok(()),
        false => Err(format!("Rust's target {target} is missing: rustup target add {target}")),
    }
}

/// A program of ours for containers, `hello-world` or `pause`, built now if it is not there.
pub async fn program(name: &str) -> Result<PathBuf> {
    let name = name.to_owned();
    tokio::task::spawn_blocking(move || build(&name)).await?
}

fn build(name: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            PACKAGE,
            "--bin",
            name,
        ])
        .args(["--target", &target(), "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().context("cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "cannot build {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = String::from_utf8(output.stdout)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.with_context(|| format!("cargo says of no program {name}"))
}
