//! A TCP load balancer on loopback: what kube-proxy is to a Service.
//!
//! ```text
//! API server, kube-scheduler ──▶ 127.0.0.1:port ══ Balancer ──▶ one of the replicas that are ready
//! ```
//!
//! As there, each new connection goes to the next replica that is ready, and stays there until one side ends it: a
//! replica that is not ready any more keeps the connections it has. While none is ready, those that are stopping but still
//! serve are better than nothing (KEP-1669). Other than there, a replica that refuses a connection is passed over;
//! kube-proxy would not know of it until the kubelet says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::product::admin_get;

/// How often replicas are asked whether they are ready: an EndpointSlice's way to kube-proxy takes no less.
const PROBE: Duration = Duration::from_millis(200);

/// A balancer. Dropped, its connections end.
pub struct Balancer {
    _tasks: JoinSet<()>,
}

/// A server that connections may go to.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Port on loopback.
    pub port: u16,
    /// Its admin port, which knows whether it is ready.
    pub admin_port: u16,
}

struct Backend {
    endpoint: Endpoint,
    ready: AtomicBool,
}

struct Backends {
    all: Vec<Backend>,
    next: AtomicUsize,
}

impl Balancer {
    /// Listen on a port of loopback.
    pub async fn start(port: u16, endpoints: &[Endpoint]) -> Result<Self> {
        let backend = |endpoint: &Endpoint| Backend {
            endpoint: *endpoint,
            ready: AtomicBool::new(false),
        };
        let backends = Arc::new(Backends {
            all: endpoints.iter().map(backend).collect(),
            next: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(backends.clone().probe());
        tasks.spawn(async move {
            // Dropped with this task: the connections end with their balancer.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(backends.clone().carry(client));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { _tasks: tasks })
    }
}

impl Backends {
    async fn probe(self: Arc<Self>) {
        loop {
            for backend in &self.all {
                let answer = admin_get(backend.endpoint.admin_port, "/readyz");
                let ready = tokio::time::timeout(PROBE, answer)
                    .await
                    .is_ok_and(|answer| answer.is_ok());
                backend.ready.store(ready, Ordering::Relaxed);
            }
            tokio::time::sleep(PROBE).await;
        }
    }

    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (rest, begin) = (&self.all[first..], &self.all[..first]);
        let ready = |backend: &&Backend| backend.ready.load(Ordering::Relaxed);
        let (ready, others): (Vec<_>, Vec<_>) = rest.iter().chain(begin).partition(ready);
        for backend in ready.into_iter().chain(others) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, backend.endpoint.port));
            if let Ok(mut server) = TcpStream::connect(address).await {
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{eventually, free_port};

    /// A server that says who it is and keeps the connection; and its admin port, which says what `ready` says.
    async fn replica(name: u8, ready: Arc<AtomicBool>) -> (Endpoint, JoinSet<()>) {
        let (server, admin) = (local().await, local().await);
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let endpoint = Endpoint {
            port: port(&server),
            admin_port: port(&admin),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = server.accept().await {
                stream.write_all(&[name]).await.unwrap();
                open.push(stream);
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = admin.accept().await {
                let status = if ready.load(Ordering::Relaxed) { 200 } else { 503 };
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream
                    .write_all(format!("HTTP/1.0 {status} -\r\n\r\n").as_bytes())
                    .await;
            }
        });
        (endpoint, tasks)
    }

    async fn local() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    /// Who answers, or 0.
    async fn ask(port: u16) -> u8 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.read_u8().await.unwrap_or_default()
    }

    #[tokio::test]
    async fn connections_go_to_replicas_that_are_ready_and_there() {
        let (ready_a, ready_b) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let (a, _a) = replica(b'a', ready_a.clone()).await;
        let (b, mut tasks) = replica(b'b', ready_b).await;
        let port = free_port().unwrap();
        let _balancer = Balancer::start(port, &[a, b]).await.unwrap();
        let answers = async |wanted: &[u8]| {
            let wait = Duration::from_secs(10);
            eventually("the right replicas to answer", wait, async || {
                let mut answers = [ask(port).await, ask(port).await];
                answers.sort_unstable();
                Ok((answers == *wanted).then_some(()))
            })
            .await
            .unwrap();
        };
        answers(b"ab").await;
        ready_a.store(false, Ordering::Relaxed);
        answers(b"bb").await;
        ready_a.store(true, Ordering::Relaxed);
        answers(b"ab").await;
        // Its admin port may still say that it is ready.
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        assert_eq!([ask(port).await, ask(port).await], *b"aa");
    }
}
