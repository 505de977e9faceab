//! The program itself, in front of an API server that speaks TLS: it starts, serves, costs little, and stops.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use multicluster_certs::dev::DevCa;
use multicluster_certs::{RELOAD_INTERVAL, ServingTls};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, connect_to, text};
use crate::server::ApiServer;
use crate::world::{IDENTITY, USER, provider, until};

struct Program {
    api: ApiServer,
    ca: DevCa,
    serving: DevCa,
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Program {
    async fn start() -> Self {
        let (ca, serving) = (DevCa::new().unwrap(), DevCa::new().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let certificate = serving.server(&["localhost", "127.0.0.1"]).unwrap();
        let files = certificate.write_to(folder.path()).unwrap();
        let tls = ServingTls::start(&files, RELOAD_INTERVAL, CancellationToken::new()).unwrap();
        let mut config = (*tls.current()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let api = ApiServer::start_with(Some(TlsAcceptor::from(std::sync::Arc::new(config)))).await;
        api.objects.add(provider(&ca));
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, serving.pem()).unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", api.addr), "certificate-authority": authority,
            }}],
            "users": [{"name": "c", "user": {"token": "of-the-proxy"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let (port, admin) = (free_port(), free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_multicluster-authproxy"))
            .arg(format!("--listen-addr=127.0.0.1:{port}"))
            .arg(format!("--admin-addr=127.0.0.1:{admin}"))
            .arg("--kubeconfig")
            .arg(path)
            .arg("--tls-cert-file")
            .arg(files.tls_cert_file)
            .arg("--tls-private-key-file")
            .arg(files.tls_private_key_file)
            .args(["--shutdown-delay-seconds=0", "--grace-seconds=1", "--log-format=plain"])
            .env("MALLOC_ARENA_MAX", "2")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let program = Self {
            api,
            ca,
            serving,
            port,
            child,
            _folder: folder,
        };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        program
    }

    async fn client(&self) -> Client {
        let identity = self.ca.client(IDENTITY).unwrap();
        let addr = ([127, 0, 0, 1], self.port).into();
        Client::over(connect_to(addr, &self.serving, Some(&identity), &[b"http/1.1"]).await).await
    }

    /// Memory that it holds, in KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_watches_cost_little_and_a_signal_ends_them() {
    let mut program = Program::start().await;
    let mut client = program.client().await;
    for _ in 0..100 {
        let response = client.get("/version").await;
        if response.status() == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(text(client.get("/version").await).await, "hello");
    let asked = program.api.asked().pop().unwrap();
    assert_eq!(asked.headers["impersonate-user"], USER);
    assert_eq!(asked.headers["authorization"], "Bearer of-the-proxy");

    let before = program.resident();
    let mut watches = Vec::new();
    for _ in 0..500 {
        let mut client = program.client().await;
        let body = client.get("/watch").await.into_body();
        watches.push((client, body));
    }
    until("all are open", || program.api.watches() == 500).await;
    for _ in 0..3 {
        program.api.events.send(Bytes::from(vec![b'x'; 3000])).unwrap();
        for (_, body) in &mut watches {
            let mut left = 3000;
            while left > 0 {
                left -= body.frame().await.unwrap().unwrap().into_data().unwrap().len();
            }
        }
    }
    let after = program.resident();
    println!("resident: {before} KiB, with 500 watches {after} KiB");
    assert!(after < 60 << 10, "{after} KiB");

    let pid = program.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let end = tokio::time::timeout(Duration::from_secs(4), async {
        loop {
            if let Some(status) = program.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(end.await.unwrap().success());
    let (_, body) = &mut watches[0];
    assert!(body.frame().await.unwrap().is_err(), "cut, not ended");
}
