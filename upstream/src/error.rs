//! What can go wrong on the way to an API server. No message holds credentials.

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A kubeconfig by which no API server can be reached.
#[derive(Debug, thiserror::Error)]
pub enum NotUsable {
    /// Its certificates or keys cannot be used.
    #[error("{0}")]
    Kube(Box<kube::Error>),
    /// The URL of the API server is no URL.
    #[error("the API server's URL has no {0}")]
    Url(&'static str),
    /// A kind of proxy that is not known here.
    #[error("the proxy-url must begin with http:// or https://")]
    Proxy,
}

impl From<kube::Error> for NotUsable {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// What was asked for has no path.
    #[error("not a path")]
    NotAPath,
    /// The API server cannot be reached, or has said nothing to a request that does no harm twice.
    #[error("the API server cannot be reached")]
    Unreachable,
    /// It has hung up, and may have done what it was asked to.
    #[error("the API server has hung up without an answer; the request may have been carried out")]
    Lost,
}

/// An error with all that is behind it.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
