//! Programs that the system has.

use std::env;
use std::path::PathBuf;

/// The first one of this name in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
