//! What the pods of fake nodes say and answer: logs to follow, commands to run in them, a port to be forwarded to.
//!
//! ```text
//! kubectl logs, attach ──▶ API server ──▶ kwok ──▶ a file, which grows when the test says something
//! kubectl exec ─────────▶ API server ──▶ kwok ──▶ the command, on this machine
//! kubectl port-forward ─▶ API server ──▶ kwok ──▶ a TCP server of the test, which sends back what it gets
//! ```
//!
//! NOTE: kwok does not tell a command that its standard input has ended (pkg/utils/exec keeps the pipe open): let it read so
//! much and no more, as `head -c` does.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What all pods of the clusters whose kwok has [`Streams::kwok_config`] say and answer. Dropped, its server ends.
pub struct Streams {
    log: PathBuf,
    port: u16,
    server: JoinHandle<()>,
}

impl Streams {
    /// An empty log in this folder, and a server that echoes.
    pub async fn start(dir: &Path) -> Result<Self> {
        let log = dir.join("pods.log");
        fs::write(&log, "")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let server = tokio::spawn(echo(listener));
        Ok(Self { log, port, server })
    }

    /// Part of [`ClusterOptions::kwok_config`](crate::ClusterOptions::kwok_config).
    pub fn kwok_config(&self) -> Vec<String> {
        let (log, port) = (self.log.display(), self.port);
        let document = |kind: &str, spec: &str| {
            format!("{{apiVersion: kwok.x-k8s.io/v1alpha1, kind: {kind}, metadata: {{name: all}}, spec: {{{spec}}}}}")
        };
        vec![
            document("ClusterLogs", &format!("logs: [{{logsFile: {log}, follow: true}}]")),
            document("ClusterAttach", &format!("attaches: [{{logsFile: {log}}}]")),
            document("ClusterExec", "execs: [{local: {}}]"),
            document(
                "ClusterPortForward",
                &format!("forwards: [{{target: {{address: 127.0.0.1, port: {port}}}}}]"),
            ),
        ]
    }

    /// Let all pods print a line.
    pub fn say(&self, line: &str) -> Result<()> {
        // The form of the container runtimes' log files: time, stream, whether the line is complete.
        let entry = format!("2026-01-01T00:00:00.000000000Z stdout F {line}\n");
        File::options()
            .append(true)
            .open(&self.log)?
            .write_all(entry.as_bytes())?;
        Ok(())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn echo(listener: TcpListener) {
    // Dropped with the task: the connections end with their server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
