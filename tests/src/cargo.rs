//! cargo, run by a program that cargo runs.

use std::env;
use std::process::Command;

/// Variables that cargo sets for what it runs. Build scripts look at some of them (ring's does): with them, cargo would build
/// half of all crates again, and the next cargo without them once more.
const SET_BY_CARGO: [&str; 5] = [
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
];

/// cargo, as if called by hand.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let ours = |name: &str| SET_BY_CARGO.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        cargo.env_remove(name);
    }
    cargo
}
