//! What one client may take from the others.

use std::time::Duration;

/// What one client may take from the others.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at a time. For one more, the one goes that has least to lose: one that never had an answer, or
    /// else the one that is idle for the longest time.
    pub connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for the whole header of a request, counted from the end of the handshake or of the last response; with
    /// HTTP/2, longest time without any request.
    ///
    /// It must be longer than clients keep idle connections (Go and therefore the API server and kube-scheduler: 90
    /// seconds). When the server closes first, a request that is just on its way fails, and `failurePolicy: Fail` makes
    /// that a pod that is not created.
    pub idle: Duration,
    /// How long requests in flight may take to finish at shutdown.
    pub grace: Duration,
    /// Largest header of a request over HTTP/2, in bytes.
    pub http2_header: u32,
    /// Most that is kept of a response over HTTP/2 for a client that does not read it, in bytes.
    pub unread: usize,
    /// After so long without a word, the kernel asks whether the client is still there. Who answers at once needs none.
    pub keepalive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            grace: Duration::from_secs(20),
            http2_header: 16 << 10,
            unread: 400 << 10,
            keepalive: None,
        }
    }
}
