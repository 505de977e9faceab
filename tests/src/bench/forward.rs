//! A port that kubectl forwards to a pod whose server sends back what it gets.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Bytes that go to the pod and back, once.
const STREAMED: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `kubectl port-forward`. Dropped, it ends.
pub struct Forward {
    _kubectl: Child,
    port: u16,
}

impl Forward {
    /// To a pod's port 80.
    pub async fn to_pod(kubectl: &Path, kubeconfig: &Path, namespace: &str, pod: &str) -> Result<Self> {
        let mut child = Command::new(kubectl)
            .args(["port-forward", pod, ":80", "--namespace", namespace, "--kubeconfig"])
            .arg(kubeconfig)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        let port = first
            .as_deref()
            .and_then(|line| line.split("127.0.0.1:").nth(1)?.split(' ').next());
        let port = port.with_context(|| format!("{first:?}"))?.parse()?;
        // It complains about a pipe that nobody reads.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { _kubectl: child, port })
    }

    /// MiB a second to the pod's server and back.
    pub async fn throughput(&self) -> Result<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let (mut read, mut write) = stream.split();
        let begin = Instant::now();
        let send = async {
            let chunk = vec![7; 1 << 16];
            for _ in 0..STREAMED / chunk.len() {
                write.write_all(&chunk).await?;
            }
            write.flush().await
        };
        let receive = async {
            let (mut left, mut chunk) = (STREAMED, vec![0; 1 << 16]);
            while left > 0 {
                let length = read.read(&mut chunk).await?;
                if length == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                left = left.saturating_sub(length);
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, async { tokio::try_join!(send, receive) })
            .await
            .context("the stream hangs")??;
        Ok(STREAMED as f64 / f64::from(1 << 20) / begin.elapsed().as_secs_f64())
    }
}
