//! Whatever is held, the patch makes of it what is wanted, and leaves the rest alone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

pub(super) fn apply(object: &mut Value, operations: &[Value]) -> Result<(), json_patch::PatchError> {
    let patch: json_patch::Patch = serde_json::from_value(Value::from(operations.to_vec())).unwrap();
    json_patch::patch(object, &patch)
}

type Strings = BTreeMap<String, String>;

/// Keys of the source's people and of the target's may be the same.
fn strings() -> impl Strategy<Value = Strings> {
    prop::collection::btree_map("(a~b/|c\\.io/)?[a-d]", "[0-2]", 0..5)
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn spec() -> impl Strategy<Value = Value> {
    let fields = prop::collection::btree_map("[a-d/]", "[0-2]", 0..4);
    fields.prop_map(|fields| {
        let mut spec = json!(fields);
        spec["selector"] = json!({"app": "web"});
        spec
    })
}

/// An object of the source, in one of its versions.
fn object() -> impl Strategy<Value = Value> {
    let data = || prop::option::of(strings());
    let parts = (strings(), strings(), data(), data(), spec(), "u[12]");
    parts.prop_map(|(labels, annotations, data, binary, spec, uid)| {
        json!({
            "metadata": {"uid": uid, "labels": labels, "annotations": annotations},
            "data": data, "binaryData": binary, "spec": spec,
        })
    })
}

/// An API server keeps no nulls.
fn without_nulls(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_nulls);
    }
}

proptest! {
    #[test]
    fn a_patch_makes_what_is_wanted_and_leaves_the_rest_alone(
        kind in kind(),
        before in object(),
        after in object(),
        their_labels in strings(),
        their_annotations in strings(),
        their_field in "[v-z]",
        forgotten in any::<bool>(),
    ) {
        let (before, after) = (wanted(kind, &before), wanted(kind, &after));
        let mut object = made(&before.manifest());
        object["metadata"]["finalizers"] = json!(["theirs"]);
        object["status"] = json!({"theirs": true});
        let is_open = matches!(kind, Kind::Service | Kind::Ingress);
        if is_open {
            object["spec"][&their_field] = "theirs".into();
        }
        for (map, theirs) in [("labels", &their_labels), ("annotations", &their_annotations)] {
            for (key, value) in theirs {
                object["metadata"][map][key] = value.as_str().into();
            }
        }
        let mut there = held(kind, &object);
        if forgotten {
            there.digest = None;
        }
        let operations = match plan(Some(&after), Some(&there)) {
            Step::Nothing => {
                prop_assert_eq!(before, after);
                return Ok(());
            }
            Step::Patch { operations, .. } => operations,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        apply(&mut object, &operations).unwrap();
        without_nulls(&mut object);
        let once = object.clone();
        apply(&mut object, &operations).unwrap();
        without_nulls(&mut object);
        prop_assert_eq!(once, object.clone(), "a patch that was late on its way does no harm");
        prop_assert_eq!(plan(Some(&after), Some(&held(kind, &object))), Step::Nothing);

        let mut manifest = after.manifest();
        let metadata = object["metadata"].take();
        for (map, before, theirs) in [
            ("labels", &before.labels, &their_labels),
            ("annotations", &before.annotations, &their_annotations),
        ] {
            let mut wanted: Strings = serde_json::from_value(manifest["metadata"][map].take()).unwrap();
            for (key, value) in theirs.iter().filter(|(key, _)| !before.contains_key(*key)) {
                wanted.entry(key.clone()).or_insert(value.clone());
            }
            prop_assert_eq!(serde_json::from_value::<Strings>(metadata[map].clone()).unwrap(), wanted);
        }
        prop_assert_eq!(&metadata["finalizers"], &json!(["theirs"]));
        prop_assert_eq!(object["status"].take(), json!({"theirs": true}));
        if is_open {
            prop_assert_eq!(object["spec"][&their_field].take(), json!("theirs"));
        }
        manifest["metadata"] = Value::Null;
        without_nulls(&mut manifest);
        without_nulls(&mut object);
        prop_assert_eq!(object, manifest);
    }

    #[test]
    fn nobody_elses_object_is_touched(kind in kind(), object in object(), theirs in strings(), deleting in any::<bool>()) {
        let copy = wanted(kind, &object);
        let mut there = json!({"metadata": {"uid": "x", "labels": theirs, "annotations": copy.annotations}});
        if deleting {
            there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        let there = held(kind, &there);
        prop_assert_eq!(plan(Some(&copy), Some(&there)), Step::Conflict);
        prop_assert_eq!(plan(None, Some(&there)), Step::Nothing);
    }
}
