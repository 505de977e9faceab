//! The API: the calls that external-dns's AWS provider makes, for one hosted zone.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::State;
use crate::dns::Zone;

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// The id of the only hosted zone.
const ZONE: &str = "Z1TESTBED";

/// `ResourceRecordSet` of Route 53's API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecordSet {
    /// The name, absolute.
    pub name: String,
    /// A, AAAA or CNAME.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Which of the name's records this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
    /// Its share of the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Askers that are nearest to this region get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// PRIMARY or SECONDARY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<String>,
    /// For how many seconds it may be kept; aliases have none of their own.
    #[serde(rename = "TTL", default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource_records: Option<ResourceRecords>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alias_target: Option<AliasTarget>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceRecords {
    #[serde(default)]
    resource_record: Vec<ResourceRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AliasTarget {
    hosted_zone_id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    evaluate_target_health: bool,
}

impl RecordSet {
    /// Addresses or names.
    pub fn targets(&self) -> Vec<&str> {
        let alias = self.alias_target.iter().map(|alias| alias.dns_name.as_str());
        let records = self
            .resource_records
            .iter()
            .flat_map(|records| &records.resource_record);
        records.map(|record| record.value.as_str()).chain(alias).collect()
    }

    /// Whether it is an alias: Route 53's own kind of CNAME.
    pub fn is_alias(&self) -> bool {
        self.alias_target.is_some()
    }

    #[cfg(test)]
    pub(super) fn address(name: &str, set_identifier: Option<&str>, address: &str) -> Self {
        let record = ResourceRecord {
            value: address.to_owned(),
        };
        Self {
            name: format!("{name}."),
            kind: "A".to_owned(),
            set_identifier: set_identifier.map(str::to_owned),
            weight: None,
            region: None,
            failover: None,
            ttl: Some(5),
            resource_records: Some(ResourceRecords {
                resource_record: vec![record],
            }),
            alias_target: None,
        }
    }
}

/// `ChangeResourceRecordSetsRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    change_batch: Batch,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    change: Vec<Change>,
}

/// A change of one record.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    /// CREATE, UPSERT or DELETE.
    pub action: String,
    /// The record.
    pub resource_record_set: RecordSet,
}

pub(super) async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let records = format!("/2013-04-01/hostedzone/{ZONE}/rrset");
    let router = Router::new()
        .route("/2013-04-01/hostedzone", get(async || zones()))
        .route(&records, get(list).post(change))
        .route(&format!("{records}/"), get(list).post(change))
        .with_state(state);
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

fn zones() -> Response {
    let zone = Zone::Weighted.name();
    answer(
        "ListHostedZonesResponse",
        &format!(
            "<HostedZones><HostedZone><Id>/hostedzone/{ZONE}</Id><Name>{zone}.</Name><CallerReference>1</CallerReference>\
             <Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones>\
             <IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>"
        ),
    )
}

async fn list(Shared(state): Shared<Arc<Mutex<State>>>) -> Response {
    let mut sets = String::new();
    for record in state.lock().records.all() {
        sets += &quick_xml::se::to_string_with_root("ResourceRecordSet", record).unwrap_or_default();
    }
    answer(
        "ListResourceRecordSetsResponse",
        &format!(
            "<ResourceRecordSets>{sets}</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>300</MaxItems>"
        ),
    )
}

async fn change(Shared(state): Shared<Arc<Mutex<State>>>, body: String) -> Response {
    let mut state = state.lock();
    let changed = parse(&body).and_then(|changes| state.records.apply(changes));
    if let Err(error) = changed {
        let message = format!("{error:#}");
        let body = format!(
            "<Error><Type>Sender</Type><Code>InvalidChangeBatch</Code><Message>{}</Message></Error>",
            quick_xml::escape::escape(&message)
        );
        state.refused.push(message);
        return (StatusCode::BAD_REQUEST, answer("ErrorResponse", &body)).into_response();
    }
    let info = "<ChangeInfo><Id>/change/C1</Id><Status>INSYNC</Status>\
                <SubmittedAt>2024-01-01T00:00:00Z</SubmittedAt></ChangeInfo>";
    answer("ChangeResourceRecordSetsResponse", info)
}

fn parse(body: &str) -> Result<Vec<Change>> {
    let request: Request = quick_xml::de::from_str(body).with_context(|| body.to_owned())?;
    Ok(request.change_batch.changes.change)
}

fn answer(root: &str, body: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?>\n<{root} xmlns=\"{NAMESPACE}\">{body}</{root}>");
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_external_dns_sends_is_understood() {
        let body = "<?xml version=\"1.0\"?><ChangeResourceRecordSetsRequest xmlns=\"x\"><ChangeBatch><Changes><Change>\
            <Action>CREATE</Action><ResourceRecordSet><Name>web.example</Name><ResourceRecords><ResourceRecord>\
            <Value>192.0.2.1</Value></ResourceRecord><ResourceRecord><Value>192.0.2.2</Value></ResourceRecord>\
            </ResourceRecords><SetIdentifier>us</SetIdentifier><TTL>5</TTL><Type>A</Type><Weight>3</Weight>\
            </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>";
        let changes = parse(body).unwrap();
        let record = &changes[0].resource_record_set;
        assert_eq!(record.targets(), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!((record.weight, record.ttl), (Some(3), Some(5)));
        let text = quick_xml::se::to_string_with_root("ResourceRecordSet", record).unwrap();
        assert_eq!(&quick_xml::de::from_str::<RecordSet>(&text).unwrap(), record);
    }
}
