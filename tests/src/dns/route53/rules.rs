//! The records of the hosted zone, and Route 53's rules about them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::api::{Change, RecordSet};

/// Name (absolute, in lower case), type, set identifier.
type Key = (String, String, Option<String>);

/// All records.
#[derive(Clone, Default)]
pub(super) struct Records(BTreeMap<Key, RecordSet>);

fn absolute(name: &str) -> String {
    // Route 53 writes what is no letter, digit, hyphen or dot as an octal number.
    format!("{}.", name.trim_end_matches('.').to_lowercase().replace('*', "\\052"))
}

fn key(record: &RecordSet) -> Key {
    (
        absolute(&record.name),
        record.kind.clone(),
        record.set_identifier.clone(),
    )
}

impl Records {
    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &RecordSet> {
        self.0.values()
    }

    /// Those of a name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &RecordSet> {
        let name = absolute(name);
        self.0
            .iter()
            .filter(move |((owner, ..), _)| *owner == name)
            .map(|(_, record)| record)
    }

    /// Makes all changes or none.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut all = self.clone();
        let mut names = BTreeSet::new();
        for Change {
            action,
            resource_record_set: mut record,
        } in changes
        {
            record.name = absolute(&record.name);
            let (key, name) = (key(&record), record.name.clone());
            match action.as_str() {
                "CREATE" => ensure!(all.0.insert(key, record).is_none(), "{name} exists already"),
                "UPSERT" => drop(all.0.insert(key, record)),
                "DELETE" => {
                    let held = all.0.remove(&key);
                    ensure!(
                        held.as_ref() == Some(&record),
                        "{name} is {held:?}, to delete was {record:?}"
                    );
                }
                _ => bail!("there is no action {action}"),
            }
            names.insert(name);
        }
        for name in names {
            all.check(&name)?;
        }
        *self = all;
        Ok(())
    }

    /// The rules about records of one name.
    fn check(&self, name: &str) -> Result<()> {
        let records: Vec<_> = self.of(name).collect();
        let kinds: BTreeSet<_> = records.iter().map(|record| record.kind.as_str()).collect();
        ensure!(
            !kinds.contains("CNAME") || kinds.len() == 1,
            "{name} has a CNAME and other records"
        );
        for kind in kinds {
            let of_kind: Vec<_> = records.iter().copied().filter(|record| record.kind == kind).collect();
            check_set(&of_kind)?;
        }
        Ok(())
    }
}

/// The rules about records of one name and type.
fn check_set(records: &[&RecordSet]) -> Result<()> {
    let mut regions = BTreeSet::new();
    let mut policies = BTreeSet::new();
    for record in records {
        let name = &record.name;
        let policy = (
            record.weight.is_some(),
            record.region.is_some(),
            record.failover.is_some(),
        );
        policies.insert(policy);
        let chosen = [policy.0, policy.1, policy.2].iter().filter(|chosen| **chosen).count();
        let identified = record.set_identifier.is_some();
        ensure!(chosen <= 1, "{name} has several routing policies: {record:?}");
        ensure!(
            identified == (chosen == 1),
            "{name}: a routing policy and a set identifier go together"
        );
        ensure!(
            record
                .set_identifier
                .as_ref()
                .is_none_or(|id| (1..=128).contains(&id.len())),
            "{name}: {record:?}"
        );
        ensure!(
            record.weight.unwrap_or_default() <= 255,
            "{name} has a weight above 255: {record:?}"
        );
        ensure!(
            record.is_alias() != record.ttl.is_some(),
            "{name}: records have a TTL, aliases have none"
        );
        ensure!(!record.targets().is_empty(), "{name} leads nowhere");
        ensure!(
            record.kind != "CNAME" || record.targets().len() == 1,
            "{name} is a CNAME of several names"
        );
        if let Some(region) = &record.region {
            ensure!(regions.insert(region), "{name} has two records for region {region}");
        }
    }
    ensure!(
        policies.len() <= 1,
        "records of one name and type have different routing policies: {records:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(id: &str, address: &str) -> RecordSet {
        RecordSet {
            weight: Some(1),
            ..RecordSet::address("web.example", Some(id), address)
        }
    }

    fn change(action: &str, record: RecordSet) -> Change {
        Change {
            action: action.to_owned(),
            resource_record_set: record,
        }
    }

    #[test]
    fn a_set_is_made_and_taken_away() {
        let mut records = Records::default();
        let (us, eu) = (weighted("us", "192.0.2.1"), weighted("eu", "198.51.100.1"));
        let both = vec![change("CREATE", us.clone()), change("CREATE", eu)];
        records.apply(both).unwrap();
        assert_eq!(records.of("WEB.example").count(), 2);
        records.apply(vec![change("DELETE", us)]).unwrap();
        assert_eq!(records.of("web.example").count(), 1);
    }

    #[test]
    fn what_route_53_refuses_is_refused_as_a_whole() {
        let plain = RecordSet::address("web.example", None, "192.0.2.1");
        let regional = |id: &str| RecordSet {
            weight: None,
            region: Some("eu-west-3".to_owned()),
            ..weighted(id, "192.0.2.1")
        };
        let alias = RecordSet {
            kind: "CNAME".to_owned(),
            ..weighted("named", "lb.example")
        };
        let heavy = RecordSet {
            weight: Some(256),
            ..weighted("us", "192.0.2.1")
        };
        let without_policy = RecordSet::address("web.example", Some("us"), "192.0.2.1");
        let cases = [
            ("two policies for a name", vec![plain, weighted("us", "192.0.2.1")]),
            ("a region twice", vec![regional("one"), regional("two")]),
            ("a CNAME and addresses", vec![weighted("us", "192.0.2.1"), alias]),
            ("too large a weight", vec![heavy]),
            ("an identifier without a policy", vec![without_policy]),
        ];
        for (case, all) in cases {
            let mut records = Records::default();
            let changes = all.into_iter().map(|record| change("CREATE", record)).collect();
            assert!(records.apply(changes).is_err(), "{case}");
            assert_eq!(records.all().count(), 0, "{case}");
        }
    }

    #[test]
    fn only_what_is_there_is_deleted() {
        let mut records = Records::default();
        records
            .apply(vec![change("CREATE", weighted("us", "192.0.2.1"))])
            .unwrap();
        assert!(
            records
                .apply(vec![change("DELETE", weighted("us", "192.0.2.2"))])
                .is_err()
        );
        assert!(
            records
                .apply(vec![change("CREATE", weighted("us", "192.0.2.2"))])
                .is_err()
        );
        assert_eq!(records.all().count(), 1);
    }
}
