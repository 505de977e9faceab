//! The name servers.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use simple_dns::rdata::{CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::UdpSocket;

use super::State;
use super::api::RecordSet;

/// The TTL that an alias has from its target: Route 53's load balancers have this one.
const ALIAS_TTL: u32 = 60;

pub(super) async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let reply = respond(&buffer[..length], &state.lock());
        if let Ok(Some(reply)) = reply {
            // A client that is gone needs no answer.
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

fn respond(query: &[u8], state: &State) -> Result<Option<Vec<u8>>> {
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
    let chosen = choose(state, &name, kind);
    if chosen.is_none() && owner(state, &name).is_none() {
        *reply.rcode_mut() = RCODE::NameError;
    }
    for target in chosen.iter().flat_map(|record| record.targets()) {
        let ttl = chosen.and_then(|record| record.ttl).unwrap_or(ALIAS_TTL);
        let data = match target.parse() {
            Ok(IpAddr::V4(address)) => RData::A(address.into()),
            Ok(IpAddr::V6(address)) => RData::AAAA(address.into()),
            // Also an alias: a resolver sees addresses then, and here the name that has them.
            Err(_) => RData::CNAME(CNAME(Name::new(target.trim_end_matches('.'))?.into_owned())),
        };
        let owner = question.qname.clone();
        reply.answers.push(ResourceRecord::new(owner, CLASS::IN, ttl, data));
    }
    Ok(Some(reply.build_bytes_vec()?))
}

/// The name whose records answer for this one: itself, or a wildcard.
fn owner(state: &State, name: &str) -> Option<String> {
    let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let mut names = [Some(name.to_owned()), wildcard].into_iter().flatten();
    names.find(|name| state.records.of(name).next().is_some())
}

/// The record that answers a question.
fn choose<'a>(state: &'a State, name: &str, kind: &str) -> Option<&'a RecordSet> {
    let owner = owner(state, name)?;
    let of = |kind: &str| -> Vec<_> { state.records.of(&owner).filter(|record| record.kind == kind).collect() };
    let found = [of(kind), of("CNAME")].into_iter().find(|found| !found.is_empty())?;
    let near = |record: &&&RecordSet| state.region.is_some() && record.region == state.region;
    let near: Vec<_> = found.iter().filter(near).copied().collect();
    by_weight(if near.is_empty() { &found } else { &near })
}

fn by_weight<'a>(records: &[&'a RecordSet]) -> Option<&'a RecordSet> {
    let total: u32 = records.iter().filter_map(|record| record.weight).sum();
    if total == 0 {
        return fastrand::choice(records.iter().copied());
    }
    let mut point = fastrand::u32(..total);
    records.iter().copied().find(|record| {
        let weight = record.weight.unwrap_or_default();
        let chosen = point < weight;
        point = point.saturating_sub(weight);
        chosen
    })
}

#[cfg(test)]
mod tests {
    use super::super::api::Change;
    use super::*;

    fn state(records: [RecordSet; 2], region: Option<&str>) -> State {
        let mut state = State::default();
        let changes = records.map(|record| Change {
            action: "CREATE".to_owned(),
            resource_record_set: record,
        });
        state.records.apply(changes.into()).unwrap();
        state.region = region.map(str::to_owned);
        state
    }

    fn record(id: &str) -> RecordSet {
        RecordSet::address("web.example", Some(id), "192.0.2.1")
    }

    #[test]
    fn answers_are_spread_by_weight() {
        let weighted = |id: &str, weight| RecordSet {
            weight: Some(weight),
            ..record(id)
        };
        let state = state([weighted("us", 3), weighted("eu", 1)], None);
        let chosen = (0..4000).filter_map(|_| choose(&state, "Web.example", "A"));
        let us = chosen
            .filter(|record| record.set_identifier.as_deref() == Some("us"))
            .count();
        assert!((2800..3200).contains(&us), "{us} of 4000");
    }

    #[test]
    fn the_nearest_region_answers() {
        let regional = |id: &str, region: &str| RecordSet {
            region: Some(region.to_owned()),
            ..record(id)
        };
        let state = state(
            [regional("us", "us-west-2"), regional("eu", "eu-west-3")],
            Some("eu-west-3"),
        );
        for _ in 0..20 {
            let chosen = choose(&state, "web.example", "A").unwrap();
            assert_eq!(chosen.set_identifier.as_deref(), Some("eu"));
        }
    }
}
