//! What a failed request means, in words for whoever typed the command.

use kube::Error;

use crate::contexts::Cluster;

/// Is what was asked for not there? Also when its kind is not known.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Was it forbidden?
pub fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403)
}

/// A sentence that names the context, the cause, and what to do.
pub fn words(cluster: &Cluster, error: &Error) -> String {
    let (context, server) = (&cluster.context, &cluster.server);
    match error {
        Error::Api(status) if status.code == 401 => format!(
            "context {context}: {server} does not accept the credentials in your kubeconfig (401); renew them, they may have \
             expired"
        ),
        Error::Api(status) if status.code == 403 => {
            format!(
                "context {context}: forbidden: {}; ask for the permission",
                status.message
            )
        }
        Error::Api(status) => format!("context {context}: {} ({})", status.message, status.code),
        Error::Auth(auth) => format!(
            "context {context}: the credentials in your kubeconfig cannot be used: {}; log in again",
            chain(auth)
        ),
        other => format!(
            "context {context}: {server} cannot be reached: {}; is it the right address, and are you in its network?",
            chain(other)
        ),
    }
}

/// The innermost cause alone: the outer ones say "client error (Connect)" and the like.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match error.source() {
        Some(_) => cause.to_string(),
        None => error.to_string(),
    }
}
