//! One of our servers by itself, with certificates of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use multicluster_certs::dev::DevCa;
use rustls::ClientConfig;

use crate::https::Connection;
use crate::{Process, Testbed, eventually, free_port};

/// The name in the servers' certificates.
const SERVER: &str = "localhost";

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// A running server that lets in clients with a certificate.
pub struct Server {
    /// The process.
    pub process: Process,
    port: u16,
    client: Arc<ClientConfig>,
}

impl Server {
    /// Starts a program and waits until it takes connections.
    pub async fn start(testbed: &Testbed, program: &Path, args: &[String]) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ca = DevCa::new()?;
        let folder = testbed.dir().join(format!("{name}-tls"));
        std::fs::create_dir_all(&folder)?;
        ca.server(&[SERVER])?.write_to(&folder)?;
        std::fs::write(folder.join("ca.crt"), ca.pem())?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let file = |name: &str| folder.join(name).display().to_string();
        let env = [
            ("LISTEN_ADDR", format!("127.0.0.1:{port}")),
            ("ADMIN_ADDR", format!("127.0.0.1:{admin_port}")),
            ("TLS_CERT_FILE", file("tls.crt")),
            ("TLS_PRIVATE_KEY_FILE", file("tls.key")),
            ("CLIENT_CA_FILE", file("ca.crt")),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value));
        let server = Self {
            process: testbed.spawn(&name, program, args, env)?,
            port,
            client: ca.client_config(Some(&ca.client("bench")?))?,
        };
        eventually(&format!("{name} to take connections"), START, async || {
            server.process.check()?;
            Ok(server.connect().await.ok())
        })
        .await?;
        Ok(server)
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(self.port, SERVER, self.client.clone()).await
    }
}

/// A copy of a program, which a later build with other features does not replace.
pub fn keep_program(testbed: &Testbed, program: &Path) -> Result<PathBuf> {
    let copy = testbed.dir().join(program.file_name().unwrap_or_default());
    std::fs::copy(program, &copy)?;
    Ok(copy)
}
