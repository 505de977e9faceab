//! One run of the testbed: its programs, and a folder for everything that it writes.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{Binaries, Process, wait};

/// The file that a run's program holds locked in the run's folder.
const LOCK: &str = "lock";
/// How long the folder of a killed run stays, for a look at its logs.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// One run: the programs, and a folder with logs, data and kubeconfigs.
///
/// The folder is removed in the end, unless a test panicked or a wait was in vain: then it is kept and its path printed.
/// `TESTBED_KEEP=1` keeps it always. [`Cluster`](crate::Cluster)s hold on to the folder: the order of dropping is free.
#[derive(Clone, Debug)]
pub struct Testbed {
    binaries: Binaries,
    folder: Arc<Folder>,
}

impl Testbed {
    /// Ensures the programs (the first build on a machine takes some minutes) and makes a new folder.
    pub async fn new(name: &str) -> Result<Self> {
        let binaries = Binaries::ensure().await?;
        let parent = env::temp_dir().join("multicluster-testbed");
        fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
        remove_abandoned(&parent);
        Ok(Self {
            binaries,
            folder: Arc::new(Folder::new(&parent, name)?),
        })
    }

    /// Ensures the programs that real nodes need, too.
    pub(crate) async fn with_nodes(mut self) -> Result<Self> {
        self.binaries = self.binaries.with_nodes().await?;
        Ok(self)
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The programs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Starts any program, supervised as the testbed's own are; its log is `<dir>/<name>.log`.
    ///
    /// It gets this program's environment and `env`.
    pub fn spawn(
        &self,
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Process> {
        Process::spawn(name, program, args, env, self.log(name))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir().join(format!("{name}.log"))
    }
}

/// The run's folder, which this program holds the lock of.
#[derive(Debug)]
struct Folder {
    temp: Option<TempDir>,
    _lock: File,
}

impl Folder {
    fn new(parent: &Path, name: &str) -> Result<Self> {
        let temp = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(parent)?;
        let lock = File::create(temp.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            temp: Some(temp),
            _lock: lock,
        })
    }

    fn path(&self) -> &Path {
        self.temp.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let keep = env::var_os("TESTBED_KEEP").is_some_and(|value| !value.is_empty());
        if (keep || wait::has_failed() || std::thread::panicking())
            && let Some(temp) = self.temp.take()
        {
            let path = temp.keep();
            // Without its lock file nothing takes the folder for abandoned.
            let _ = fs::remove_file(path.join(LOCK));
            eprintln!("testbed: logs and data are kept in {}", path.display());
        }
    }
}

/// Removes the folders of runs that were killed over an hour ago. Those that cannot be removed are another user's.
fn remove_abandoned(parent: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        let age = lock
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|time| time.elapsed().unwrap_or_default());
        let old = age.is_ok_and(|age| age > ABANDONED) && lock.try_lock().is_ok();
        // What is mounted there may be the machine's: real nodes have mounts, and their own way to end them.
        if old && !mounts.contains(&entry.path().display().to_string()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
