//! What holds for all tokens.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(system:serviceaccount:)?[a-z:./]{0,12}".prop_map(Value::from),
        Just(AUDIENCE.into()),
        Just(ISSUER.into()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(Value::from)
    })
}

proptest! {
    #[test]
    fn signed_claims_give_the_service_account_as_it_stands_or_nothing(
        changes in prop::collection::btree_map("iss|sub|aud|exp|nbf|iat|groups", any_json(), 0..3),
    ) {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(changes);
        if let Ok(proven) = proven(&KEY.sign(&header("ES256"), &claims)) {
            let identity = &proven.identity;
            let sub = format!("system:serviceaccount:{}:{}", identity.namespace(), identity.name());
            prop_assert_eq!(&claims["sub"], &Value::from(sub));
            prop_assert_eq!(&claims["iss"], ISSUER);
            prop_assert!(claims["exp"].is_number());
            prop_assert!(claims.get("nbf").is_none_or(Value::is_number) && claims.get("iat").is_none_or(Value::is_number));
            prop_assert!(proven.expires > at(0));
        }
    }

    #[test]
    fn a_character_changed_proves_nothing(place in any::<prop::sample::Index>(), by in "[A-Za-z0-9_.-]") {
        let good = good();
        let place = place.index(good.len());
        let changed = format!("{}{by}{}", &good[..place], &good[place + 1..]);
        prop_assume!(changed != good);
        prop_assert!(proven(&changed).is_err());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}|([A-Za-z0-9_-]{0,40}\\.){0,4}") {
        prop_assert!(proven(&text).is_err());
        let _ = KeySet::parse(text.as_bytes());
    }
}
