use std::net::Ipv4Addr;
use std::time::SystemTime;

use multicluster_trust::{Evidence, Identity, ProviderRef};
use proptest::prelude::*;

use super::*;

fn caller(groups: &[&str]) -> Caller {
    Caller {
        provider: ProviderRef {
            namespace: "default".into(),
            name: "management".into(),
            uid: "1".into(),
        },
        identity: Identity::parse("ns/default/id/default").unwrap(),
        user: "spiffe://management/ns/default/id/default".into(),
        groups: groups.iter().map(ToString::to_string).collect(),
        expires: SystemTime::now(),
        evidence: Evidence::Authority(vec![1].into()),
    }
}

fn client() -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1).into()
}

fn header(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    lines.iter().map(line).collect()
}

fn passed(lines: &[(&str, &str)], upgrade: bool) -> Vec<String> {
    let mut headers = header(lines);
    towards_server(&mut headers, &caller(&["g1", "g 2"]), client(), upgrade).unwrap();
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

const OURS: [&str; 4] = [
    "impersonate-group: g 2",
    "impersonate-group: g1",
    "impersonate-user: spiffe://management/ns/default/id/default",
    "x-forwarded-for: 10.0.0.1",
];

#[test]
fn what_speaks_of_the_connection_or_of_the_client_stays_here() {
    let lines = [
        ("authorization", "Bearer x"),
        ("connection", "keep-alive, X-Hop"),
        ("connection", "close"),
        ("expect", "100-continue"),
        ("forwarded", "for=1.1.1.1"),
        ("host", "proxy"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-host", "a"),
        ("x-hop", "a"),
        ("x-real-ip", "1.1.1.1"),
    ];
    assert_eq!(passed(&lines, false), OURS);
}

#[test]
fn the_rest_passes() {
    let lines = [
        ("accept", "application/json;as=Table"),
        ("content-length", "3"),
        ("te", "trailers"),
        ("warning", "299"),
    ];
    let rest = [
        "accept: application/json;as=Table",
        "content-length: 3",
        OURS[0],
        OURS[1],
        OURS[2],
    ];
    assert_eq!(
        passed(&lines, false),
        [&rest[..], &["te: trailers", "warning: 299", OURS[3]]].concat()
    );
    let lines = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v4"),
    ];
    let rest = [
        "connection: Upgrade",
        OURS[0],
        OURS[1],
        OURS[2],
        "upgrade: SPDY/3.1",
        OURS[3],
    ];
    assert_eq!(
        passed(&lines, true),
        [&rest[..], &["x-stream-protocol-version: v4"]].concat()
    );
}

#[test]
fn a_group_that_would_be_read_as_another_is_left_out() {
    let mut headers = HeaderMap::new();
    towards_server(&mut headers, &caller(&["a ", "b\n", "", "c"]), client(), false).unwrap();
    let groups: Vec<_> = headers.get_all(IMPERSONATE_GROUP).iter().collect();
    assert_eq!(groups, ["c"]);
    let mut nobody = caller(&[]);
    nobody.user = "a\nb".into();
    assert_eq!(towards_server(&mut headers, &nobody, client(), false), Err(Unwritable));
}

#[test]
fn what_could_be_taken_for_an_identity_is_refused() {
    for name in [
        "impersonate-user",
        "Impersonate-Extra-a%2fb",
        "IMPERSONATE_UID",
        "x-remote-user",
        "X_Remote-Extra-a",
    ] {
        assert!(refused(&header(&[(name, "x")])).is_some(), "{name}");
        assert!(refused(&header(&[("connection", name)])).is_some(), "{name}");
        assert!(
            refused(&header(&[("connection", &format!("close , {name}"))])).is_some(),
            "{name}"
        );
    }
    assert_eq!(
        refused(&header(&[("accept", "impersonate-user"), ("x-remotely", "x")])),
        None
    );
}

#[test]
fn only_plain_chunks_are_passed_on() {
    assert!(!has_strange_encoding(&header(&[("transfer-encoding", "Chunked")])));
    assert!(has_strange_encoding(&header(&[("transfer-encoding", "gzip, chunked")])));
    assert!(has_strange_encoding(&header(&[
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "chunked")
    ])));
}

#[test]
fn of_an_answer_only_what_speaks_of_the_connection_stays_here() {
    let lines = [
        ("connection", "close, x-hop"),
        ("x-hop", "a"),
        ("transfer-encoding", "chunked"),
        ("etag", "b"),
    ];
    let mut headers = header(&lines);
    towards_client(&mut headers, false);
    assert_eq!(headers, header(&[("etag", "b")]));
    let switched = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let mut headers = header(&switched);
    towards_client(&mut headers, true);
    assert_eq!(headers, header(&switched));
}

/// Names that matter, in all spellings, and any others.
fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-x",
        "x-remote-user",
        "authorization",
        "connection",
        "upgrade",
        "host",
        "x-forwarded-for",
        "te",
        "transfer-encoding",
        "content-length",
        "accept",
    ]);
    let spelled = (known, any::<u32>()).prop_map(|(name, bits)| {
        let spell = |(at, c): (usize, char)| match bits >> (at % 32) & 1 {
            1 => c.to_ascii_uppercase(),
            _ => c,
        };
        name.chars().enumerate().map(spell).collect::<String>()
    });
    prop_oneof![4 => spelled, 1 => "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::collection::vec(name(), 0..4).prop_map(|names| names.join(", ").into_bytes());
    prop_oneof![
        names,
        prop::collection::vec(prop_oneof![Just(b'\t'), 32u8..127, 128u8..=255], 0..30)
    ]
}

proptest! {
    /// Also where nobody has asked [`refused`] before.
    #[test]
    fn whatever_a_client_sends_the_server_sees_one_user_and_it_is_the_caller(
        lines in prop::collection::vec((name(), value()), 0..12),
        upgrade in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let caller = caller(&["g1"]);
        towards_server(&mut headers, &caller, client(), upgrade).unwrap();
        let users: Vec<_> = headers.get_all(IMPERSONATE_USER).iter().collect();
        prop_assert_eq!(users, [caller.user.as_str()]);
        let groups: Vec<_> = headers.get_all(IMPERSONATE_GROUP).iter().collect();
        prop_assert_eq!(groups, ["g1"]);
        let plain = |name: &HeaderName| name.as_str().replace('_', "-");
        let claims = headers.keys().filter(|name| plain(name).starts_with("impersonate-") || plain(name).starts_with("x-remote-"));
        prop_assert!(claims.count() == 2);
        prop_assert!(!headers.contains_key("authorization") && !headers.contains_key("host"));
        let sources: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        prop_assert_eq!(sources, ["10.0.0.1"]);
        // Nothing that the server could take from the message but that it may have to switch protocols.
        let connection: Vec<_> = headers.get_all("connection").iter().collect();
        prop_assert_eq!(connection.len(), usize::from(upgrade));
    }

    #[test]
    fn any_spelling_is_refused(name in "([iI]mpersonate|IMPERSONATE|[xX][-_]([rR]emote|REMOTE))[-_][a-zA-Z0-9_-]{0,12}") {
        prop_assert!(refused(&header(&[(&name, "x")])).is_some());
    }
}
