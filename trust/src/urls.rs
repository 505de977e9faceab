//! URLs in our kinds. The errors quote none: some people write passwords into them. Schemes are taken in lower case alone, as the
//! readers of kubeconfigs take them.

use http::Uri;

/// An https URL of a server: host, maybe port and path, and nothing more.
pub(crate) fn https(field: &str, text: &str) -> Result<Uri, String> {
    plain(text).filter(|_| text.starts_with("https://")).ok_or_else(|| {
        format!("{field} cannot be used: write https://HOST[:PORT][/PATH], without user, query and fragment")
    })
}

/// The URL of a proxy: http or https, host and port.
pub(crate) fn proxy(field: &str, text: &str) -> Result<Uri, String> {
    plain(text)
        .filter(|_| text.starts_with("http://") || text.starts_with("https://"))
        .filter(|uri| uri.port_u16().is_some() && matches!(uri.path(), "" | "/"))
        .ok_or_else(|| format!("{field} cannot be used: write http://HOST:PORT, without user, path and query"))
}

/// A URL with a host, and without user, query and fragment.
fn plain(text: &str) -> Option<Uri> {
    // The parser drops fragments without a word.
    if text.contains(['#', '?', '@', '\\']) || !text.bytes().all(|c| c.is_ascii_graphic()) {
        return None;
    }
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let host = authority.host();
    // `host:` and `host:0`, `host:99999`: a port that is written must be one.
    let port = authority.as_str().len() == host.len() || uri.port_u16().is_some_and(|port| port != 0);
    (port && is_host(host)).then_some(uri)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => multicluster_api::syntax::is_subdomain(&host.to_ascii_lowercase()),
    }
}
