//! A network link that a test can disturb: a TCP proxy on loopback.
//!
//! ```text
//! source's agent, extender ──▶ 127.0.0.1:port ══ Link ══▶ the target's API server
//! ```
//!
//! What it plays is what TCP makes of a bad network: bytes are late, in order, or the connection ends. They are never
//! missing in the middle. It needs no root, and one link is disturbed while all others are not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Cluster;

/// Bytes taken at a time: about what a packet or two hold, so that losses hit requests as they do in life.
const CHUNK: usize = 4096;
/// Chunks under way in one direction of a connection; more wait in the sender's socket.
const WINDOW: usize = 256;
/// How long a TCP sender waits at first before it sends a lost packet again (RFC 6298's usual minimum).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// The same for the first packet of a connection (RFC 6298, 2.1).
const RETRANSMIT_SYN: Duration = Duration::from_secs(1);

/// The state of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// As good as loopback.
    Up,
    /// Packets vanish: connections stay open and say nothing; what was sent arrives when the network is back.
    Dropping,
    /// Connections are reset, new ones too.
    Resetting,
    /// Answers take this much longer.
    Slow(Duration),
    /// This part of all packets is lost, from 0 to 1, and sent again by TCP.
    Lossy(f64),
}

/// A link. Dropped, its connections end.
pub struct Link {
    port: u16,
    network: watch::Sender<Network>,
    carried: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// A link to a cluster's API server, up. Losses follow from `seed`.
    pub async fn to(cluster: &Cluster, seed: u64) -> Result<Self> {
        let server: SocketAddr = cluster
            .url()
            .trim_start_matches("https://")
            .parse()
            .context("the API server's address")?;
        Self::new(server, seed).await
    }

    /// A link to an address of this machine.
    pub async fn new(server: SocketAddr, seed: u64) -> Result<Self> {
        anyhow::ensure!(server.ip().is_loopback(), "{server} is not on this machine");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (network, state) = watch::channel(Network::Up);
        let carried = Arc::new(AtomicU64::new(0));
        let end = End {
            server,
            state,
            carried: carried.clone(),
            rng: Arc::new(Mutex::new(Rng::with_seed(seed))),
        };
        let task = tokio::spawn(async move {
            // Dropped with the task: the connections end with their link.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(end.clone().carry(client));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            port,
            network,
            carried,
            task,
        })
    }

    /// The state of the network from now on.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// The state of the network.
    pub fn network(&self) -> Network {
        *self.network.borrow()
    }

    /// Bytes that have passed, both ways.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// The server's URL by way of this link.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A cluster's kubeconfig, by way of this link.
    pub fn through(&self, cluster: &Cluster, kubeconfig: &str) -> String {
        kubeconfig.replace(cluster.url(), &self.url())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What each connection needs to know.
#[derive(Clone)]
struct End {
    server: SocketAddr,
    state: watch::Receiver<Network>,
    carried: Arc<AtomicU64>,
    rng: Arc<Mutex<Rng>>,
}

impl End {
    async fn carry(self, client: TcpStream) {
        let ends = [client.set_nodelay(true), client.set_zero_linger()];
        if ends.iter().any(Result::is_err) {
            return;
        }
        tokio::time::sleep(self.losses(RETRANSMIT_SYN)).await;
        let mut state = self.state.clone();
        // A connection that begins while nothing passes begins when something does.
        if state.wait_for(|network| *network != Network::Dropping).await.is_err() {
            return;
        }
        // From here on, dropping both sockets resets them: no orderly end tells one side of the other.
        let reset = async {
            let _ = state.wait_for(|network| *network == Network::Resetting).await;
        };
        tokio::select! { () = reset => {}, _ = self.exchange(client) => {} }
    }

    async fn exchange(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::try_join!(self.pump(from_client, to_server), self.pump(from_server, to_client)).map(drop)
    }

    /// Carry bytes one way, each when its time has come.
    async fn pump(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(WINDOW);
        let read = async {
            loop {
                let mut chunk = vec![0; CHUNK];
                let length = from.read(&mut chunk).await?;
                chunk.truncate(length);
                let due = Instant::now() + self.delay();
                if sender.send((due, chunk)).await.is_err() || length == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let write = async {
            let mut state = self.state.clone();
            while let Some((due, chunk)) = receiver.recv().await {
                tokio::time::sleep_until(due).await;
                if state.wait_for(|network| *network != Network::Dropping).await.is_err() {
                    break;
                }
                if chunk.is_empty() {
                    to.shutdown().await?;
                    break;
                }
                to.write_all(&chunk).await?;
                self.carried.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            io::Result::Ok(())
        };
        tokio::try_join!(read, write).map(drop)
    }

    /// How late a packet that is sent now arrives.
    fn delay(&self) -> Duration {
        match *self.state.borrow() {
            // Half on the way there, half on the way back.
            Network::Slow(round_trip) => round_trip / 2,
            _ => self.losses(RETRANSMIT),
        }
    }

    /// Time lost to packets that are sent again, each time after twice as long.
    fn losses(&self, first: Duration) -> Duration {
        let Network::Lossy(part) = *self.state.borrow() else {
            return Duration::ZERO;
        };
        let mut rng = self.rng.lock();
        let (mut lost, mut wait) = (Duration::ZERO, first);
        while rng.f64() < part && lost < Duration::from_secs(60) {
            lost += wait;
            wait *= 2;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn connect(link: &Link) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, link.port)).await.unwrap()
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<Duration> {
        let asked = Instant::now();
        stream.write_all(b"?").await?;
        stream.read_exact(&mut [0]).await?;
        Ok(asked.elapsed())
    }

    #[tokio::test]
    async fn each_state_of_the_network_is_felt_and_heals() {
        let link = Link::new(echo().await, 1).await.unwrap();
        let mut stream = connect(&link).await;
        ask(&mut stream).await.unwrap();

        link.set(Network::Slow(Duration::from_millis(300)));
        assert!(ask(&mut stream).await.unwrap() >= Duration::from_millis(300));

        link.set(Network::Dropping);
        stream.write_all(b"?").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut [0])).await;
        assert!(silent.is_err(), "bytes pass a link that drops them");
        link.set(Network::Up);
        stream.read_exact(&mut [0]).await.unwrap();

        link.set(Network::Lossy(0.5));
        let mut late = Duration::ZERO;
        for _ in 0..6 {
            late += ask(&mut stream).await.unwrap();
        }
        assert!(late >= RETRANSMIT, "nothing is lost on a lossy link");

        link.set(Network::Resetting);
        assert!(ask(&mut stream).await.is_err());
        assert!(ask(&mut connect(&link).await).await.is_err());
        link.set(Network::Up);
        ask(&mut connect(&link).await).await.unwrap();
    }
}
