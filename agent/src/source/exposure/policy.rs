//! How the names of an object lead to clusters: what its annotations say.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use multicluster_api::names;

use super::dns_name::DnsName;
use super::properties;
use super::site::Exposed;
use crate::source::following::object::Kind;

/// Longest time that an answer may be kept, in seconds: a day.
const LONGEST_TTL: u32 = 86_400;
/// Names of one object; more would make objects that etcd does not take.
const MOST_HOSTS: usize = 100;
/// Largest factor of a cluster's weight.
const LARGEST_FACTOR: u32 = 1000;

/// How a resolver's question is answered when several clusters serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Routing {
    /// Each cluster in proportion to its ready pods.
    Weighted,
    /// The nearest region; all clusters in it alike.
    Latency,
    /// The nearest region; in it, each cluster in proportion to its ready pods.
    LatencyWeighted,
    /// The first cluster in an order, as long as it serves.
    Failover,
    /// All addresses in one record: for DNS providers that know no more.
    Simple,
    /// No records.
    None,
}

/// What an administrator has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether there are DNS records at all.
    pub publish: bool,
    /// The policy of objects that say nothing.
    pub routing: Routing,
    /// The TTL of records of objects that say nothing, in seconds.
    pub ttl: u32,
}

/// What an object wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How questions are answered.
    pub routing: Routing,
    /// Seconds that an answer may be kept.
    pub ttl: u32,
    /// Names, in order.
    pub hosts: BTreeSet<DnsName>,
    /// Clusters, targets or regions that are preferred, the first one most.
    pub order: Vec<String>,
    /// Factors of weights, of clusters, targets or regions.
    pub factors: BTreeMap<String, u32>,
    /// Properties of records that one DNS provider understands.
    pub properties: BTreeMap<String, String>,
}

impl Policy {
    /// The policy of an object, and what is wrong with its annotations. What is wrong is as if it were not written; the
    /// rest counts.
    pub fn of(exposed: &Exposed, settings: &Settings) -> (Self, Vec<String>) {
        let mut wrong = Wrong(vec![]);
        let text = |name: &str| exposed.annotations.get(name).map_or("", |text| text.trim());
        let routing = match text(names::DNS_POLICY) {
            "" => Ok(settings.routing),
            text => Routing::from_str(text, false).map_err(|_| POLICIES.into()),
        };
        let ttl = match text(names::DNS_TTL) {
            "" => Ok(settings.ttl),
            text => parse_ttl(text),
        };
        let policy = Self {
            routing: wrong.take(names::DNS_POLICY, routing).unwrap_or(settings.routing),
            ttl: wrong.take(names::DNS_TTL, ttl).unwrap_or(settings.ttl),
            hosts: hosts(exposed, text(names::DNS_HOSTS), &mut wrong),
            order: list(text(names::DNS_FAILOVER_ORDER)).map(str::to_owned).collect(),
            factors: list(text(names::DNS_WEIGHTS))
                .filter_map(|item| wrong.take(names::DNS_WEIGHTS, factor(item)))
                .collect(),
            properties: properties::of(&exposed.annotations, &mut |message| {
                wrong.add(names::DNS_PROPERTIES, message)
            }),
        };
        (policy, wrong.0)
    }
}

const POLICIES: &str = "write weighted, latency, latency-weighted, failover, simple or none";

/// What is wrong with annotations.
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, annotation: &str, message: String) {
        self.0.push(format!("annotation {annotation}: {message}"));
    }

    fn take<T>(&mut self, annotation: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(annotation, message)).ok()
    }
}

/// A TTL in seconds, as in annotations and flags.
pub fn parse_ttl(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(ttl) if (1..=LONGEST_TTL).contains(&ttl) => Ok(ttl),
        _ => Err(format!("write a whole number of seconds from 1 to {LONGEST_TTL}")),
    }
}

fn hosts(exposed: &Exposed, more: &str, wrong: &mut Wrong) -> BTreeSet<DnsName> {
    let mut hosts = BTreeSet::new();
    // The hosts of a Service are nowhere but in the annotation, and the facts may name them, too.
    let spec = exposed.hosts.iter().filter(|_| exposed.key.kind != Kind::Service);
    for (text, annotated) in spec
        .map(|host| (host.as_str(), false))
        .chain(list(more).map(|host| (host, true)))
    {
        match DnsName::host(text) {
            Ok(_) if hosts.len() >= MOST_HOSTS => {
                wrong.0.push(format!(
                    "only the first {MOST_HOSTS} names get records; divide them among several objects"
                ));
                break;
            }
            Ok(host) => drop(hosts.insert(host)),
            Err(error) if annotated => wrong.add(names::DNS_HOSTS, format!("{}: {error}", shown(text))),
            Err(error) => wrong.0.push(format!("host {} gets no records: {error}", shown(text))),
        }
    }
    hosts
}

/// The items of a list of a person: between commas, without blanks around them.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn factor(item: &str) -> Result<(String, u32), String> {
    let parts = item
        .split_once('=')
        .map(|(name, factor)| (name.trim(), factor.trim().parse()));
    match parts {
        Some((name, Ok(factor))) if !name.is_empty() && factor <= LARGEST_FACTOR => Ok((name.to_owned(), factor)),
        _ => Err(format!(
            "{}: write virtual nodes, targets or regions with whole numbers up to {LARGEST_FACTOR}, like us=3,eu=1",
            shown(item)
        )),
    }
}

/// A user's text in a message: not longer than it need be.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    format!("{short:?}")
}

#[cfg(test)]
#[path = "tests/policy.rs"]
pub(crate) mod tests;
