//! A supervised process: it ends with the program that started it, whatever way that one goes.
//!
//! `sh` starts a watchdog in the background and then *becomes* the program (`exec`), so the program's id, exit status
//! and signals are direct. The watchdog reads from a pipe whose other end only the parent holds (Rust opens it
//! close-on-exec, no sibling inherits it). End of file means that the parent is gone, and the watchdog ends the program;
//! a word means that the parent has seen the program end, and the watchdog just leaves.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;

/// Ends the program ($$, which `exec` keeps) 5 seconds after a polite request when the pipe on descriptor 0 closes.
/// A stopped program gets SIGCONT, or it would never see the request.
const WATCHDOG: &str = r#"
exec 3<&0
(
    trap '' HUP INT TERM
    IFS= read -r word && exit 0
    kill -TERM $$ || exit 0
    kill -CONT $$
    tenths=0
    while [ $tenths -lt 50 ] && kill -0 $$; do sleep 0.1; tenths=$((tenths + 1)); done
    kill -KILL $$
) <&3 3<&- >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// How long [`Process::stop`] waits for a polite end before it kills.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a log an error shows.
const LOG_TAIL: u64 = 4096;

/// A process ended while something waited for it: waiting longer is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended unexpectedly ({status}); the end of {}:\n{tail}", log.display())]
pub struct ProcessEnded {
    name: String,
    status: ExitStatus,
    log: PathBuf,
    tail: String,
}

/// A program with its arguments, running or not. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<String, String>,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`; what it prints is appended to the file `log`.
    pub(crate) fn spawn(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: impl IntoIterator<Item = (String, String)>,
        log: PathBuf,
    ) -> Result<Self> {
        Self::spawn_within(name, [], program, args, env, log)
    }

    /// [`spawn`](Self::spawn), by a command that changes something and then becomes the program.
    pub(crate) fn spawn_within(
        name: &str,
        wrapper: impl IntoIterator<Item = OsString>,
        program: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: impl IntoIterator<Item = (String, String)>,
        log: PathBuf,
    ) -> Result<Self> {
        if !program.is_file() {
            bail!("{name}: there is no program {}", program.display());
        }
        let mut words = wrapper.into_iter().chain([program.as_os_str().to_owned()]);
        let program = PathBuf::from(words.next().unwrap_or_default());
        let program = program.as_path();
        let args: Vec<OsString> = words.chain(args.into_iter().map(Into::into)).collect();
        let env = env.into_iter().collect();
        let child = launch(program, &args, &env, &log).with_context(|| format!("cannot start {name}"))?;
        let state = Mutex::new(State { child, status: None });
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args,
            env,
            log,
            state,
        })
    }

    /// The name that messages and the log file carry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the program itself, also after it ended.
    pub fn pid(&self) -> u32 {
        self.state.lock().child.id()
    }

    /// The file with everything that the program printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether the program runs (a paused one does).
    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// How the program ended, or nothing while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        self.state.lock().poll()
    }

    /// An error with the end of the log when the program has ended. For waiting loops.
    pub fn check(&self) -> Result<()> {
        match self.status() {
            None => Ok(()),
            Some(status) => Err(ProcessEnded {
                name: self.name.clone(),
                status,
                log: self.log.clone(),
                tail: self.log_tail(),
            }
            .into()),
        }
    }

    /// The end of the log, for messages.
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(cannot read the log: {error})"))
    }

    /// SIGTERM, SIGKILL after 10 seconds; returns when the program has ended.
    pub async fn stop(&self) -> Result<ExitStatus> {
        if let Some(status) = self.status() {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        if let Ok(status) = tokio::time::timeout(GRACE, self.wait()).await {
            return Ok(status);
        }
        self.kill().await
    }

    /// SIGKILL; returns when the program has ended.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        Ok(self.wait().await)
    }

    /// SIGSTOP: the program hangs, its connections stay open.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT: ends a [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Any other signal. Nothing happens when the program has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // The lock keeps a program that just ended from being reaped between: its id cannot be another's yet.
        let mut state = self.state.lock();
        if state.poll().is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(state.child.id()).context("process id")?);
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Waits for the program's end.
    pub async fn wait(&self) -> ExitStatus {
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts an ended program again, with the same arguments (so the same ports and data).
    pub fn start(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.poll().is_none() {
            bail!("{} is running already", self.name);
        }
        let child = launch(&self.program, &self.args, &self.env, &self.log)
            .with_context(|| format!("cannot start {} again", self.name))?;
        *state = State { child, status: None };
        Ok(())
    }

    /// [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start()
    }
}

impl State {
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended(status);
        }
        self.status
    }

    /// Waits in the way of `drop`, which cannot be asynchronous.
    fn wait(&mut self) -> io::Result<ExitStatus> {
        // `Child::wait` closes the pipe first: the watchdog would take that for the parent's end.
        let watchdog = self.child.stdin.take();
        let status = self.child.wait()?;
        self.child.stdin = watchdog;
        self.ended(status);
        Ok(status)
    }

    fn ended(&mut self, status: ExitStatus) {
        self.status = Some(status);
        if let Some(mut watchdog) = self.child.stdin.take() {
            // Fails when the watchdog was killed: then nobody needs the word.
            let _ = watchdog.write_all(b"ended\n");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.poll().is_none()
            && let Err(error) = state.child.kill().and_then(|()| state.wait())
        {
            eprintln!("testbed: cannot end {}: {error}", self.name);
        }
    }
}

fn launch(program: &Path, args: &[OsString], env: &BTreeMap<String, String>, log: &Path) -> Result<Child> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let output = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", WATCHDOG, "testbed"])
        .arg(program)
        .args(args)
        .envs(env);
    command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
    // A group of its own: Ctrl-C in a terminal reaches the test, which then goes, and the watchdogs clear up.
    command.process_group(0);
    command.spawn().with_context(|| program.display().to_string())
}

fn tail(log: &Path) -> Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
