//! Properties of DNS records that one provider understands.
//!
//! They are written in one annotation, since names like `aws/evaluate-target-health` cannot be part of an annotation's
//! name. What external-dns itself reads from an Ingress' or Service's annotations is taken as well, so that these say the
//! same whether external-dns reads the object or our DNSEndpoint.

use std::collections::BTreeMap;

use multicluster_api::names;

use super::policy::shown;

/// Route 53: the weight of a record in a set.
pub const AWS_WEIGHT: &str = "aws/weight";
/// Route 53: the region of a record in a set.
pub const AWS_REGION: &str = "aws/region";
/// Route 53: whether a CNAME becomes an alias record.
pub const ALIAS: &str = "alias";
/// Properties that say how questions are answered: a policy's business, and two answers would contradict each other.
const ROUTING: [&str; 4] = [AWS_WEIGHT, AWS_REGION, "aws/failover", "aws/multi-value-answer"];
/// The same, by their beginnings.
const ROUTING_PREFIX: &str = "aws/geo";
/// external-dns' annotations that become properties: the beginning of their names, and that of the properties'.
const ANNOTATIONS: [(&str, &str); 4] = [
    ("aws-", "aws/"),
    ("scw-", "scw/"),
    ("coredns-", "coredns/"),
    ("webhook-", "webhook/"),
];
/// external-dns' annotations that are properties as they are.
const CLOUDFLARE: &str = "cloudflare-";
const MOST: usize = 32;
const LONGEST_NAME: usize = 253;
const LONGEST_VALUE: usize = 1024;

/// The properties that these annotations say. `wrong` is told what cannot be used.
pub fn of(annotations: &BTreeMap<String, String>, wrong: &mut dyn FnMut(String)) -> BTreeMap<String, String> {
    let mut properties: BTreeMap<_, _> = annotations
        .iter()
        .filter_map(|(key, value)| Some((external_dns(key)?, value.clone())))
        .filter(|(name, value)| !is_routing(name) && is_property(name, value))
        .take(MOST)
        .collect();
    let text = annotations.get(names::DNS_PROPERTIES).map_or("", |text| text.trim());
    // Values may have commas when each property has a line.
    let between = if text.contains('\n') { '\n' } else { ',' };
    for item in text.split(between).map(str::trim).filter(|item| !item.is_empty()) {
        match parse(item) {
            Ok(_) if properties.len() >= MOST => {
                wrong(format!("only {MOST} properties are taken"));
                break;
            }
            Ok((name, value)) => drop(properties.insert(name, value)),
            Err(message) => wrong(format!("{}: {message}", shown(item))),
        }
    }
    properties
}

fn parse(item: &str) -> Result<(String, String), String> {
    let (name, value) = item
        .split_once('=')
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, value)| is_property(name, value))
        .ok_or("write names and values, like aws/evaluate-target-health=true, one in a line")?;
    match is_routing(name) {
        true => Err(format!(
            "the annotation {} says how questions are answered",
            names::DNS_POLICY
        )),
        false => Ok((name.to_owned(), value.to_owned())),
    }
}

/// The property that an annotation of external-dns stands for.
fn external_dns(key: &str) -> Option<String> {
    let name = key.strip_prefix(names::EXTERNAL_DNS_PREFIX)?;
    if name.starts_with(CLOUDFLARE) {
        return Some(key.to_owned());
    }
    ANNOTATIONS
        .iter()
        .find_map(|(prefix, property)| name.strip_prefix(prefix).map(|rest| format!("{property}{rest}")))
}

fn is_routing(name: &str) -> bool {
    ROUTING.contains(&name) || name.starts_with(ROUTING_PREFIX)
}

fn is_property(name: &str, value: &str) -> bool {
    let plain = |text: &str| !text.chars().any(char::is_control);
    let graphic = name.bytes().all(|byte| byte.is_ascii_graphic());
    !name.is_empty() && name.len() <= LONGEST_NAME && graphic && value.len() <= LONGEST_VALUE && plain(value)
}
