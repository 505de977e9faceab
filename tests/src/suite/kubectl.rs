//! kubectl as somebody's own program, with their kubeconfig.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::world::SOON;

/// The protocol of exec, attach and port-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What kubectl chooses by itself.
    WebSocket,
    /// What it chose before.
    Spdy,
}

/// kubectl with somebody's kubeconfig.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// With this kubeconfig file.
    pub fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    fn command(&self, args: &[&str], protocol: Protocol) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(self.kubeconfig.with_extension("cache"))
            .args(args)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if protocol == Protocol::Spdy {
            command
                .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
                .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        }
        command
    }

    /// Run to the end, with something on its standard input.
    pub async fn output(&self, args: &[&str], input: &[u8], protocol: Protocol) -> Result<Output> {
        let mut child = self.command(args, protocol).spawn()?;
        let (mut stdin, input) = (child.stdin.take().context("standard input")?, input.to_vec());
        let write = async move {
            // One that does not read says why by its exit status.
            let _ = stdin.write_all(&input).await;
        };
        let (output, ()) = timeout(SOON, async { tokio::join!(child.wait_with_output(), write) })
            .await
            .with_context(|| format!("kubectl {} does not end", args.join(" ")))?;
        Ok(output?)
    }

    /// Run to the end; what it prints. An error with what it complains about if it fails.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, b"", Protocol::WebSocket).await
    }

    /// [`Kubectl::run`], with an input and a protocol.
    pub async fn run_with(&self, args: &[&str], input: &[u8], protocol: Protocol) -> Result<String> {
        let output = self.output(args, input, protocol).await?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Fails, and what it complains about.
    pub async fn refused(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args, b"", Protocol::WebSocket).await?;
        ensure!(!output.status.success(), "kubectl {} is not refused", args.join(" "));
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Run on.
    pub fn start(&self, args: &[&str], protocol: Protocol) -> Result<Running> {
        let mut child = self.command(args, protocol).spawn()?;
        let stdin = child.stdin.take().context("standard input")?;
        let lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        Ok(Running {
            what: format!("kubectl {}", args.join(" ")),
            child,
            stdin,
            lines,
        })
    }
}

/// A kubectl that runs on.
pub struct Running {
    /// Its command line.
    pub what: String,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line that it prints.
    pub async fn line(&mut self) -> Result<String> {
        let line = timeout(SOON, self.lines.next_line())
            .await
            .with_context(|| format!("{} prints nothing", self.what))??;
        match line {
            Some(line) => Ok(line),
            None => {
                let complaint = self.complaint().await;
                bail!("{} ended: {complaint}", self.what)
            }
        }
    }

    /// The first of the next lines with this in it.
    pub async fn line_with(&mut self, text: &str) -> Result<String> {
        loop {
            let line = self.line().await?;
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    /// Type a line.
    pub async fn enter(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    /// It still runs.
    pub fn runs(&mut self) -> Result<()> {
        let status = self.child.try_wait()?;
        ensure!(status.is_none(), "{} ended: {status:?}", self.what);
        Ok(())
    }

    /// Wait until it ends. Returns how long after `since` that was.
    pub async fn ended(&mut self, since: Instant, within: Duration) -> Result<Duration> {
        let left = within.saturating_sub(since.elapsed());
        // It may be printing still.
        let end = async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await
        };
        let ended = timeout(left, end).await;
        let status = ended.with_context(|| format!("{} goes on after {:.1?}", self.what, since.elapsed()))??;
        let _ = status;
        Ok(since.elapsed())
    }

    async fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = timeout(Duration::from_secs(2), stderr.read_to_string(&mut text)).await;
        }
        text
    }
}
