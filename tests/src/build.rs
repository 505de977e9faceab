//! Builds the programs from the Go modules in the folder `go` into the user's cache.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process::Process;

/// How often a build that takes long says so.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A Go module whose `tool` lines name programs, or whose `require` lines name modules with data.
#[derive(Debug)]
pub(crate) struct GoModule {
    /// The folder under `go`.
    pub name: &'static str,
    /// The upstream module: its version is written into the programs.
    pub upstream: &'static str,
    /// The Go packages with the variables `gitVersion`, `gitMajor` and `gitMinor`.
    pub version_packages: &'static [&'static str],
    /// Programs: the name that Go gives them, and ours.
    pub programs: &'static [(&'static str, &'static str)],
    /// Files that come with the modules.
    pub data: &'static [Data],
    /// The build tags of programs that call a C library, and so need a C compiler; without them everything is pure Go.
    pub c_tags: Option<&'static str>,
}

/// YAML files of a module.
#[derive(Debug)]
pub(crate) struct Data {
    /// The module.
    pub module: &'static str,
    /// The folder in it.
    pub folder: &'static str,
    /// Only files whose names end with one of these; all of them if there is none.
    pub files: &'static [&'static str],
    /// Our name for all the files together.
    pub name: &'static str,
}

impl GoModule {
    /// The folder with this module's programs and data, built now if it is not there.
    ///
    /// It is named after everything that makes its content, so it never changes: a second start, from another clone too,
    /// finds it and builds nothing.
    pub(crate) async fn ensure(&self) -> Result<PathBuf> {
        let folder = cache_dir()?.join(self.name);
        let target = folder.join(self.digest()?);
        if target.is_dir() {
            return Ok(target);
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let _lock = lock(&folder.join("lock"), self.name).await?;
        if target.is_dir() {
            return Ok(target);
        }
        let partial = folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        self.build(&partial).await?;
        fs::rename(&partial, &target)?;
        Ok(target)
    }

    fn source(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(self.name)
    }

    fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let path = self.source().join(file);
            hash.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        hash.update(self.go(&["env", "GOVERSION"])?);
        hash.update(format!("{:?}{:?}{:?}", self.version_packages, self.programs, self.data));
        // Nothing is added for the others, so that what is built of them stays valid.
        hash.update(self.c_tags.unwrap_or_default());
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    async fn build(&self, folder: &Path) -> Result<()> {
        let names: Vec<&str> = self.programs.iter().map(|(_, ours)| *ours).collect();
        let what = if names.is_empty() {
            "data".to_owned()
        } else {
            names.join(", ")
        };
        eprintln!("testbed: building {} ({what}), once on this machine", self.name);
        let start = Instant::now();
        fs::create_dir_all(folder)?;
        let version = self.go(&["list", "-m", "-f", "{{.Version}}", self.upstream])?;
        if !self.programs.is_empty() {
            self.compile(folder, &version, start).await?;
        }
        for (theirs, ours) in self.programs {
            if theirs != ours {
                fs::rename(folder.join(theirs), folder.join(ours)).with_context(|| format!("go built no {theirs}"))?;
            }
        }
        for data in self.data {
            // Compiled modules are there already; others are fetched now.
            self.go(&["mod", "download", data.module])?;
            let module = PathBuf::from(self.go(&["list", "-m", "-f", "{{.Dir}}", data.module])?);
            data.copy(&module, folder)?;
        }
        eprintln!(
            "testbed: built {} {version} in {} s",
            self.name,
            start.elapsed().as_secs()
        );
        Ok(())
    }

    async fn compile(&self, folder: &Path, version: &str, start: Instant) -> Result<()> {
        let source = self.source().display().to_string();
        let output = format!("{}/", folder.display());
        let args = [
            "build",
            "-C",
            &source,
            "-tags",
            self.c_tags.unwrap_or_default(),
            "-ldflags",
            &self.ldflags(version),
            "-o",
            &output,
            "tool",
        ];
        let cgo = if self.c_tags.is_some() { "1" } else { "0" };
        let env = [("CGO_ENABLED", cgo), ("GOWORK", "off")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let log = folder.join("build.log");
        let build = Process::spawn(
            &format!("go build of {}", self.name),
            &find_go()?,
            args,
            env,
            log.clone(),
        )?;
        loop {
            match tokio::time::timeout(HEARTBEAT, build.wait()).await {
                Ok(status) if status.success() => return Ok(()),
                Ok(status) => bail!(
                    "go build of {} failed ({status}), see {}:\n{}",
                    self.name,
                    log.display(),
                    build.log_tail()
                ),
                Err(_) => eprintln!(
                    "testbed: still building {}, {} s so far (the first build takes some minutes)",
                    self.name,
                    start.elapsed().as_secs()
                ),
            }
        }
    }

    fn ldflags(&self, version: &str) -> String {
        let mut flags = "-s -w".to_owned();
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
        for package in self.version_packages {
            flags += &format!(
                " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            );
        }
        flags
    }

    fn go(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(find_go()?)
            .args(args)
            .current_dir(self.source())
            .env("GOWORK", "off")
            .output()?;
        if !output.status.success() {
            bail!(
                "go {} failed in {}: {}",
                args.join(" "),
                self.source().display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// The testbed's folder in the user's cache.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").context("neither HOME nor XDG_CACHE_HOME is set")?).join(".cache"),
    };
    Ok(cache.join("multicluster-scheduler/testbed"))
}

fn find_go() -> Result<PathBuf> {
    crate::path::find("go")
        .context("the testbed builds its programs with Go: install Go 1.26 or set TESTBED_BIN_DIR to ready ones")
}

/// Two testbeds that start at once must not build the same module twice.
async fn lock(path: &Path, name: &str) -> Result<File> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("testbed: waiting for another testbed that builds {name}"),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await?
        .context("cannot lock the build cache")
}

impl Data {
    fn copy(&self, module: &Path, to: &Path) -> Result<()> {
        let (from, to) = (module.join(self.folder), to.join(self.name));
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let wanted = self.files.is_empty() || self.files.iter().any(|end| name.ends_with(end));
            if wanted && name.ends_with(".yaml") && name != "kustomization.yaml" {
                // Written anew, because files in Go's module cache are read-only.
                fs::write(to.join(name), fs::read(&path)?)?;
            }
        }
        Ok(())
    }
}
