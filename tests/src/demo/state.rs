//! The state folder of `testbed up`: `${XDG_STATE_HOME:-~/.local/state}/multicluster-scheduler/up`.
//!
//! Whoever serves holds `lock` locked, with its process id inside, so a lock that is free says that nobody serves, whatever
//! way the last one went. `kubeconfig` appears once all is ready.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

/// The name of the hidden command that serves, to recognise its process.
pub const SERVE: &str = "serve";

const LOCK_ATTEMPTS: usize = 10;

/// The state folder.
pub struct State {
    dir: PathBuf,
}

impl State {
    /// Finds the folder, and makes it if it is missing.
    pub fn new() -> Result<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = match set("XDG_STATE_HOME") {
            Some(state) => state,
            None => set("HOME")
                .context("neither HOME nor XDG_STATE_HOME is set")?
                .join(".local/state"),
        };
        let dir = state.join("multicluster-scheduler/up");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self { dir })
    }

    /// A kubeconfig with one context per cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The address and port of the DNS server.
    pub fn dns(&self) -> PathBuf {
        self.dir.join("dns")
    }

    /// The folder with kubectl, for those who have none.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// What the server prints.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Become the one who serves, or nothing if somebody else does. The lock is held as long as the file is open.
    pub fn serve(&self) -> Result<Option<File>> {
        let mut lock = self.open()?;
        for _ in 0..LOCK_ATTEMPTS {
            match lock.try_lock() {
                Ok(()) => {
                    lock.set_len(0)?;
                    write!(lock, "{}", std::process::id())?;
                    return Ok(Some(lock));
                }
                // Perhaps it is only somebody who looks: see `is_served`.
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
                Err(TryLockError::Error(error)) => return Err(error).context("locking the state folder"),
            }
        }
        Ok(None)
    }

    /// Does somebody serve?
    pub fn is_served(&self) -> Result<bool> {
        match self.open()?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context("locking the state folder"),
        }
    }

    /// Does somebody serve, and is all ready?
    pub fn is_ready(&self) -> Result<bool> {
        Ok(self.kubeconfig().exists() && self.is_served()?)
    }

    /// The process that serves, after a look whether it is one of ours.
    pub fn server(&self) -> Result<Pid> {
        let mut text = String::new();
        self.open()?.read_to_string(&mut text)?;
        let pid: i32 = text
            .trim()
            .parse()
            .with_context(|| format!("no process id in {}", self.lock().display()))?;
        let arguments = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let is_ours = arguments.split(|byte| *byte == 0).nth(1) == Some(SERVE.as_bytes());
        ensure!(is_ours, "process {pid} of {} is not the testbed", self.lock().display());
        Ok(Pid::from_raw(pid))
    }

    /// Remove what a server leaves behind for its users.
    pub fn clear(&self) {
        // Missing when nobody has served yet.
        let _ = fs::remove_file(self.kubeconfig());
    }

    fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    fn open(&self) -> Result<File> {
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.lock());
        open.with_context(|| self.lock().display().to_string())
    }
}
