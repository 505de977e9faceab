//! Connections that speak something else than HTTP from now on: WebSocket and SPDY, for exec, attach and port-forward.

use std::fmt::Display;
use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

/// What is read at a time, each way.
const CHUNK: usize = 32 << 10;

/// Join the two, until both ends have closed, or `cut` says that it is over. An end that closes only its own way is still
/// read from the other.
pub async fn splice<Why: Display>(client: OnUpgrade, server: OnUpgrade, cut: impl Future<Output = Why>) {
    let spliced = async {
        let (client, server) = tokio::try_join!(client, server).map_err(io::Error::other)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        copy_bidirectional_with_sizes(&mut client, &mut server, CHUNK, CHUNK).await
    };
    tokio::select! {
        ended = spliced => if let Err(error) = ended {
            tracing::debug!(%error, "upgraded connection ended");
        },
        // Dropped as it is, without a goodbye: the client is to see that something has happened.
        cut = cut => tracing::debug!(%cut, "upgraded connection cut"),
    }
}
