//! What of a request's header the API server sees, and what of a response's the client does. Pure.
//!
//! The API server takes three things from headers for who calls: our own token, whom we impersonate, and, if it is told to,
//! `X-Remote-*`. A client must have no say in any of them.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};
use multicluster_trust::Caller;
use multicluster_upstream::headers::{ask_for_upgrade, connection_options, remove_hop_by_hop};
pub use multicluster_upstream::headers::{asks_for_upgrade, has_strange_encoding};

/// The user that is impersonated.
pub const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
/// One of the groups that are impersonated.
pub const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Beginnings of names by which somebody is taken for somebody else.
const REFUSED: [&str; 2] = ["impersonate-", "x-remote-"];
/// Where a client's word on its own address would end in the audit log.
const REMOVED: [&str; 1] = ["x-forwarded-"];
/// Tokens hide here, too: <https://github.com/kubernetes/kubernetes/pull/47740>.
const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// A field that no client may send.
pub fn refused(headers: &HeaderMap) -> Option<String> {
    let named = connection_options(headers).find(|option| is_refused(option));
    let sent = headers.keys().map(HeaderName::as_str).find(|name| is_refused(name));
    sent.or(named).map(|name| name.chars().take(64).collect())
}

/// Does anybody take this for one of those? Servers that make variables of headers take `_` for `-`.
fn is_refused(name: &str) -> bool {
    let plain = name.trim().to_ascii_lowercase().replace('_', "-");
    REFUSED.iter().any(|refused| plain.starts_with(refused))
}

/// Is there a token where browsers put it?
pub fn has_websocket_token(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    protocols.iter().any(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(',')
            .any(|protocol| protocol.trim().to_ascii_lowercase().starts_with(WEBSOCKET_TOKEN))
    })
}

/// A user that no header can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable;

/// Make a client's header one for the API server: nothing of what it says about itself stays, and what the proxy says of it
/// comes in. Whoever called [`refused`] before has lost nothing; whoever did not is safe, too.
pub fn towards_server(
    headers: &mut HeaderMap,
    caller: &Caller,
    client: IpAddr,
    upgrade: bool,
) -> Result<(), Unwritable> {
    let user = exact(&caller.user).ok_or(Unwritable)?;
    let trailers = headers
        .get(header::TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let protocols = remove_hop_by_hop(headers);
    for name in [
        header::AUTHORIZATION,
        // The server's own name is written instead.
        header::HOST,
        // Answered here.
        header::EXPECT,
        header::TE,
        header::FORWARDED,
        HeaderName::from_static("x-real-ip"),
    ] {
        headers.remove(name);
    }
    let ours = |name: &HeaderName| {
        is_refused(name.as_str()) || REMOVED.iter().any(|removed| name.as_str().starts_with(removed))
    };
    let names: Vec<_> = headers.keys().filter(|name| ours(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if upgrade {
        ask_for_upgrade(headers, protocols);
    }
    if let Ok(value) = HeaderValue::from_str(&client.to_string()) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    for group in &caller.groups {
        if let Some(value) = exact(group) {
            headers.append(IMPERSONATE_GROUP, value);
        }
    }
    headers.insert(IMPERSONATE_USER, user);
    Ok(())
}

/// Make the API server's header one for the client.
pub fn towards_client(headers: &mut HeaderMap, switched: bool) {
    if !switched {
        remove_hop_by_hop(headers);
    }
}

/// A value that is read as it is written: `None` where readers would trim it, or cannot read it.
fn exact(text: &str) -> Option<HeaderValue> {
    let same = text.trim() == text && !text.is_empty();
    same.then(|| HeaderValue::from_bytes(text.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests;
