//! Who has a name: of several objects that want one, in whatever namespaces, the one that was made first.
//!
//! The age cannot be chosen by a user. So nobody takes a name from another one by asking for it later.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::dns_name::DnsName;
use crate::source::following::object::ObjectKey;

/// Age first; an object whose age is not known comes last. The UID decides between equals.
type Claim = (bool, Option<Timestamp>, String, ObjectKey);

/// What all exposed objects want.
#[derive(Debug, Default)]
pub struct Claims {
    names: BTreeMap<DnsName, BTreeSet<Claim>>,
    objects: BTreeMap<ObjectKey, (Claim, BTreeSet<DnsName>)>,
}

impl Claims {
    /// The object wants these names and no others. Returns the other objects that have won or lost a name by that.
    pub fn set(
        &mut self,
        key: &ObjectKey,
        created: Option<Timestamp>,
        uid: &str,
        names: BTreeSet<DnsName>,
    ) -> BTreeSet<ObjectKey> {
        let claim = (created.is_none(), created, uid.to_owned(), key.clone());
        if self
            .objects
            .get(key)
            .is_some_and(|(old, had)| (old, had) == (&claim, &names))
        {
            return BTreeSet::new();
        }
        let mut touched = self.remove(key);
        for name in &names {
            touched.extend(self.owner(name).cloned());
            self.names.entry(name.clone()).or_default().insert(claim.clone());
        }
        if !names.is_empty() {
            self.objects.insert(key.clone(), (claim, names));
        }
        touched.remove(key);
        touched
    }

    /// The object wants nothing any more. Returns the objects that have won a name by that.
    pub fn remove(&mut self, key: &ObjectKey) -> BTreeSet<ObjectKey> {
        let Some((claim, names)) = self.objects.remove(key) else {
            return BTreeSet::new();
        };
        let mut touched = BTreeSet::new();
        for name in names {
            if let Some(claims) = self.names.get_mut(&name) {
                claims.remove(&claim);
                match claims.is_empty() {
                    true => drop(self.names.remove(&name)),
                    false => touched.extend(self.owner(&name).cloned()),
                }
            }
        }
        touched
    }

    /// Who has the name.
    pub fn owner(&self, name: &DnsName) -> Option<&ObjectKey> {
        self.names.get(name)?.first().map(|(_, _, _, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::following::object::Kind;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Ingress, "default", name)
    }

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn want(claims: &mut Claims, object: &str, created: Option<Timestamp>, names: &[&str]) -> Vec<ObjectKey> {
        let names = names.iter().map(|text| name(text)).collect();
        claims.set(&key(object), created, object, names).into_iter().collect()
    }

    #[test]
    fn the_older_one_has_the_name() {
        let mut claims = Claims::default();
        want(&mut claims, "young", at(2), &["a.com", "b.com"]);
        // Whoever loses a name must hear of it.
        assert_eq!(want(&mut claims, "old", at(1), &["a.com"]), [key("young")]);
        assert_eq!(
            want(&mut claims, "thief", at(3), &["a.com", "b.com"]),
            [key("old"), key("young")]
        );
        want(&mut claims, "ageless", None, &["a.com"]);
        assert_eq!(claims.owner(&name("a.com")), Some(&key("old")));
        assert_eq!(claims.owner(&name("b.com")), Some(&key("young")));
        assert_eq!(claims.owner(&name("c.com")), None);
    }

    #[test]
    fn a_name_that_is_given_up_goes_to_the_next() {
        let mut claims = Claims::default();
        want(&mut claims, "old", at(1), &["a.com"]);
        want(&mut claims, "young", at(2), &["a.com"]);
        assert_eq!(claims.remove(&key("old")), BTreeSet::from([key("young")]));
        assert_eq!(claims.owner(&name("a.com")), Some(&key("young")));
        assert_eq!(want(&mut claims, "young", at(2), &[]), []);
        assert!(claims.names.is_empty() && claims.objects.is_empty());
    }

    #[test]
    fn saying_the_same_again_touches_nobody() {
        let mut claims = Claims::default();
        want(&mut claims, "old", at(1), &["a.com"]);
        want(&mut claims, "young", at(2), &["a.com"]);
        assert_eq!(want(&mut claims, "old", at(1), &["a.com"]), []);
    }

    proptest! {
        #[test]
        fn the_oldest_of_those_that_want_it_has_it(steps in proptest::collection::vec((0u8..4, 0u8..8, 0i64..3), 0..40)) {
            let mut claims = Claims::default();
            let mut wanted = BTreeMap::<u8, (u8, i64)>::new();
            for (object, names, age) in steps {
                wanted.insert(object, (names, age));
                let names: Vec<_> = ["a", "b", "c"].into_iter().enumerate().filter(|(i, _)| names & (1 << i) != 0).collect();
                let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
                want(&mut claims, &object.to_string(), at(age), &names);
                for (i, text) in ["a", "b", "c"].into_iter().enumerate() {
                    let wants = wanted.iter().filter(|(_, (names, _))| names & (1 << i) != 0);
                    let oldest = wants.map(|(object, (_, age))| (*age, object.to_string())).min();
                    let oldest = oldest.map(|(_, object)| key(&object));
                    prop_assert_eq!(claims.owner(&name(text)), oldest.as_ref());
                }
            }
        }
    }
}
