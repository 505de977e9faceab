//! Connections that speak something else than HTTP from now on: WebSocket and SPDY, for exec, attach and port-forward.

use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_util::sync::CancellationToken;

use crate::flights::Flight;

/// What is read at a time, each way.
const CHUNK: usize = 32 << 10;

/// Join the two, until both ends have closed, the caller is cut off, or `over`. An end that closes only its own way is still
/// read from the other.
pub async fn splice(client: OnUpgrade, server: OnUpgrade, flight: Flight, over: CancellationToken) {
    flight.is_upgraded();
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
        cut = flight.cut() => tracing::debug!(%cut, "upgraded connection cut"),
        () = over.cancelled() => {}
    }
}
