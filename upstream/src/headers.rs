//! Fields of headers that speak of one connection, and not of what is sent over it (RFC 9110, 7.6.1). Pure.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Does a body come as anything else than plain chunks?
pub fn has_strange_encoding(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => false,
        (Some(one), None) => !one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => true,
    }
}

/// Does it ask for another protocol on this connection?
pub fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) && connection_options(headers).any(|one| one.eq_ignore_ascii_case("upgrade"))
}

/// Take out all that speaks of the connection; give the protocols back that were asked for.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) -> Vec<HeaderValue> {
    let protocols = headers.get_all(header::UPGRADE).iter().cloned().collect();
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<_> = connection_options(headers)
            .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    protocols
}

/// Ask for one of these protocols.
pub fn ask_for_upgrade(headers: &mut HeaderMap, protocols: Vec<HeaderValue>) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for protocol in protocols {
        headers.append(header::UPGRADE, protocol);
    }
}

/// What the field `Connection` names.
pub fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter();
    let options = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    options.flat_map(|value| value.split(',')).map(str::trim)
}
