//! Plays a DNS provider that knows set identifiers: external-dns's webhook provider on one side, a DNS server on the other.
//!
//! It stands in for Route 53, which cannot run here. It keeps records as external-dns sends them, and answers as Route 53
//! documents its routing policies: of the records of a name, those of the asker's region if they have regions, and of
//! these one, at random by weight; a record of weight 0 only when all others are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use simple_dns::rdata::{CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::Zone;

/// What external-dns calls its protocol.
const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";
/// For how long a record without a TTL may be kept: Route 53's clients use 300, but nobody here shall notice.
const DEFAULT_TTL: u32 = 300;

/// A record as external-dns writes it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The name.
    pub dns_name: String,
    /// Addresses or names.
    #[serde(default)]
    pub targets: Vec<String>,
    /// A, AAAA or CNAME.
    pub record_type: String,
    /// Which of the name's records this is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub set_identifier: String,
    /// For how many seconds it may be kept.
    #[serde(rename = "recordTTL", default, skip_serializing_if = "Option::is_none")]
    pub record_ttl: Option<u32>,
    /// What external-dns remembers by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The provider's own settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider_specific: Vec<Property>,
}

/// A setting of a provider.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Property {
    /// Its name, such as `aws/weight`.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

impl Endpoint {
    /// A setting of the provider.
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.provider_specific.iter().find(|property| property.name == name);
        found.map(|property| property.value.as_str())
    }

    fn weight(&self) -> Option<u32> {
        self.property("aws/weight")?.parse().ok()
    }

    fn key(&self) -> Key {
        (
            self.dns_name.trim_end_matches('.').to_lowercase(),
            self.record_type.clone(),
            self.set_identifier.clone(),
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changes {
    #[serde(default)]
    create: Option<Vec<Endpoint>>,
    #[serde(default)]
    update_old: Option<Vec<Endpoint>>,
    #[serde(default)]
    update_new: Option<Vec<Endpoint>>,
    #[serde(default)]
    delete: Option<Vec<Endpoint>>,
}

/// Name, type, set identifier.
type Key = (String, String, String);

#[derive(Default)]
struct Records {
    all: BTreeMap<Key, Endpoint>,
    region: Option<String>,
}

/// The provider. Dropped, it answers no more.
pub struct Provider {
    records: Arc<Mutex<Records>>,
    webhook: SocketAddr,
    dns: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Provider {
    pub(super) async fn start() -> Result<Self> {
        let records = Arc::<Mutex<Records>>::default();
        let (listener, socket) = (
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        );
        let (webhook, dns) = (listener.local_addr()?, socket.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_webhook(listener, records.clone()));
        tasks.spawn(serve_dns(socket, records.clone()));
        Ok(Self {
            records,
            webhook,
            dns,
            _tasks: tasks,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.webhook)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.dns
    }

    /// The records of a name, in order of their set identifiers.
    pub fn records(&self, name: &str) -> Vec<Endpoint> {
        let records = self.records.lock();
        let of_name = records.all.values().filter(|record| record.dns_name == name);
        of_name.cloned().collect()
    }

    /// Answers as somebody in this region sees it.
    pub fn ask_from(&self, region: Option<&str>) {
        self.records.lock().region = region.map(str::to_owned);
    }
}

impl Records {
    fn apply(&mut self, changes: Changes) {
        for gone in [changes.update_old, changes.delete].into_iter().flatten().flatten() {
            self.all.remove(&gone.key());
        }
        for new in [changes.create, changes.update_new].into_iter().flatten().flatten() {
            self.all.insert(new.key(), new);
        }
    }

    /// The record that answers a question.
    fn choose(&self, name: &str, kind: &str) -> Option<&Endpoint> {
        let name = name.to_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let of = |name: &str, kind: &str| -> Vec<&Endpoint> {
            let of_name = self.all.iter().filter(|((n, k, _), _)| n == name && k == kind);
            of_name.map(|(_, record)| record).collect()
        };
        let found = [(Some(name), kind), (wildcard, kind)]
            .into_iter()
            .filter_map(|(name, kind)| {
                let name = name?;
                [of(&name, kind), of(&name, "CNAME")]
                    .into_iter()
                    .find(|found| !found.is_empty())
            })
            .next()?;
        let near: Vec<_> = found
            .iter()
            .copied()
            .filter(|record| self.region.is_some() && record.property("aws/region") == self.region.as_deref())
            .collect();
        by_weight(if near.is_empty() { &found } else { &near })
    }
}

fn by_weight<'a>(records: &[&'a Endpoint]) -> Option<&'a Endpoint> {
    let total: u32 = records.iter().filter_map(|record| record.weight()).sum();
    if total == 0 {
        return fastrand::choice(records.iter().copied());
    }
    let mut point = fastrand::u32(..total);
    records.iter().copied().find(|record| {
        let weight = record.weight().unwrap_or_default();
        let chosen = point < weight;
        point = point.saturating_sub(weight);
        chosen
    })
}

async fn serve_webhook(listener: TcpListener, records: Arc<Mutex<Records>>) {
    let negotiate = async || answer(&json!({ "include": [Zone::Weighted.name()] }));
    let router = Router::new()
        .route("/", get(negotiate))
        .route("/records", get(list).post(apply))
        .route(
            "/adjustendpoints",
            post(async |Json(endpoints): Json<Vec<Endpoint>>| answer(&endpoints)),
        )
        .layer(axum::middleware::map_request(as_json))
        .with_state(records);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A client that goes away is none of our business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The protocol's own media type is JSON.
async fn as_json(mut request: axum::extract::Request) -> axum::extract::Request {
    let json = header::HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    request
}

fn answer(body: &impl Serialize) -> ([(header::HeaderName, &'static str); 1], String) {
    let body = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body)
}

async fn list(State(records): State<Arc<Mutex<Records>>>) -> impl IntoResponse {
    let all: Vec<_> = records.lock().all.values().cloned().collect();
    answer(&all)
}

async fn apply(State(records): State<Arc<Mutex<Records>>>, Json(changes): Json<Changes>) -> StatusCode {
    records.lock().apply(changes);
    StatusCode::NO_CONTENT
}

async fn serve_dns(socket: UdpSocket, records: Arc<Mutex<Records>>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let reply = respond(&buffer[..length], &records.lock());
        if let Ok(Some(reply)) = reply {
            // A client that is gone needs no answer.
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

fn respond(query: &[u8], records: &Records) -> Result<Option<Vec<u8>>> {
    let query = Packet::parse(query)?;
    let Some(question) = query.questions.first().cloned() else {
        return Ok(None);
    };
    let name = question.qname.to_string();
    let kind = match question.qtype {
        QTYPE::TYPE(TYPE::A) => "A",
        QTYPE::TYPE(TYPE::AAAA) => "AAAA",
        QTYPE::TYPE(TYPE::CNAME) => "CNAME",
        _ => "",
    };
    let mut reply = query.into_reply();
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let exists = records.all.keys().any(|(owner, ..)| *owner == name.to_lowercase());
    let chosen = records.choose(&name, kind);
    if chosen.is_none() && !exists {
        *reply.rcode_mut() = RCODE::NameError;
    }
    for target in chosen.iter().flat_map(|record| &record.targets) {
        let ttl = chosen.and_then(|record| record.record_ttl).unwrap_or(DEFAULT_TTL);
        let data = match target.parse() {
            Ok(IpAddr::V4(address)) => RData::A(address.into()),
            Ok(IpAddr::V6(address)) => RData::AAAA(address.into()),
            // Also an alias: a resolver sees addresses then, and here the name that has them.
            Err(_) => RData::CNAME(CNAME(Name::new(target)?.into_owned())),
        };
        let owner = question.qname.clone();
        reply.answers.push(ResourceRecord::new(owner, CLASS::IN, ttl, data));
    }
    Ok(Some(reply.build_bytes_vec()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(set_identifier: &str, target: &str, properties: &[(&str, &str)]) -> Endpoint {
        let properties = properties.iter().map(|(name, value)| Property {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        Endpoint {
            dns_name: "web.example".to_owned(),
            targets: vec![target.to_owned()],
            record_type: "A".to_owned(),
            set_identifier: set_identifier.to_owned(),
            record_ttl: Some(5),
            labels: None,
            provider_specific: properties.collect(),
        }
    }

    fn records(all: Vec<Endpoint>, region: Option<&str>) -> Records {
        Records {
            all: all.into_iter().map(|record| (record.key(), record)).collect(),
            region: region.map(str::to_owned),
        }
    }

    #[test]
    fn answers_are_spread_by_weight() {
        let us = record("us", "192.0.2.1", &[("aws/weight", "3")]);
        let eu = record("eu", "198.51.100.1", &[("aws/weight", "1")]);
        let records = records(vec![us, eu], None);
        let chosen = (0..4000).filter_map(|_| records.choose("Web.example", "A"));
        let us = chosen.filter(|record| record.set_identifier == "us").count();
        assert!((2800..3200).contains(&us), "{us} of 4000");
    }

    #[test]
    fn the_nearest_region_answers() {
        let us = record("us", "192.0.2.1", &[("aws/region", "us-west-2")]);
        let eu = record("eu", "198.51.100.1", &[("aws/region", "eu-west-3")]);
        let records = records(vec![us, eu], Some("eu-west-3"));
        for _ in 0..20 {
            assert_eq!(records.choose("web.example", "A").unwrap().set_identifier, "eu");
        }
    }

    #[test]
    fn an_update_replaces_and_a_delete_removes() {
        let mut records = records(vec![record("us", "192.0.2.1", &[])], None);
        let old = records.all.values().cloned().collect();
        let new = record("us", "192.0.2.2", &[]);
        records.apply(Changes {
            create: None,
            update_old: Some(old),
            update_new: Some(vec![new.clone()]),
            delete: None,
        });
        assert_eq!(records.choose("web.example", "A"), Some(&new));
        records.apply(Changes {
            create: None,
            update_old: None,
            update_new: None,
            delete: Some(vec![new]),
        });
        assert_eq!(records.choose("web.example", "A"), None);
    }
}
