//! What a user asks for by pod annotations, parsed once.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{fence, names};

/// Longest annotation value that is looked into, in bytes. The API server allows 256 KiB for all of them together.
const MAX_REGEXP: usize = 4096;

/// An annotation that cannot work. The message says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidAnnotation {
    /// Not YAML, or not of the wanted form.
    #[error(
        "annotation {key}: {reason}; write YAML with any of the fields nodeSelector, tolerations, affinity and \
         topologySpreadConstraints, as in a pod's spec"
    )]
    Constraints {
        /// Key of the annotation.
        key: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Not a regular expression.
    #[error(
        "annotation {key}: {reason}; write a regular expression (RE2 syntax, at most 4096 bytes) that is matched against key=value of each label"
    )]
    Regexp {
        /// Key of the annotation.
        key: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Not a time that a fence may take.
    #[error(
        "annotation {key}: {reason}; write a whole number and a unit (s, m or h), from 20s to 24h, such as 60s or 5m"
    )]
    Fence {
        /// Key of the annotation.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The saved pod cannot be read.
    #[error("annotation {key}: {reason}; leave this annotation out, it is written when the pod is admitted")]
    Manifest {
        /// Key of the annotation.
        key: &'static str,
        /// What the parser said.
        reason: String,
    },
}

/// The fields of a pod's spec that choose a node, as JSON, checked to be of the right types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulingConstraints(Map<String, Value>);

/// Names of the fields of [`SchedulingConstraints`].
pub const CONSTRAINT_FIELDS: [&str; 4] = ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"];

/// Only for checking types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct TypedConstraints {
    node_selector: Option<BTreeMap<String, String>>,
    tolerations: Option<Vec<Toleration>>,
    affinity: Option<Affinity>,
    topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

impl SchedulingConstraints {
    /// From the YAML of the `proxy-pod-scheduling-constraints` annotation.
    pub fn from_yaml(yaml: &str) -> Result<Self, InvalidAnnotation> {
        let invalid = |reason: String| InvalidAnnotation::Constraints {
            key: names::PROXY_POD_SCHEDULING_CONSTRAINTS,
            reason,
        };
        let value = parse_yaml(yaml).map_err(invalid)?;
        if value.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value::<TypedConstraints>(value.clone()).map_err(|e| invalid(first_line(&e.to_string())))?;
        match value {
            Value::Object(fields) => Ok(Self(fields.into_iter().filter(|(_, v)| !v.is_null()).collect())),
            _ => Err(invalid("not a mapping".into())),
        }
    }

    /// The constraints of a pod's spec.
    pub fn from_spec(spec: &Map<String, Value>) -> Self {
        let fields = CONSTRAINT_FIELDS
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), spec.get(*field)?.clone())));
        Self(fields.filter(|(_, value)| !value.is_null()).collect())
    }

    /// Are all fields of the right types? What is saved now must be readable later.
    pub fn are_typed(&self) -> bool {
        serde_json::from_value::<TypedConstraints>(Value::Object(self.0.clone())).is_ok()
    }

    /// One of [`CONSTRAINT_FIELDS`].
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Put these constraints in the place of the spec's own.
    pub fn apply_to(&self, spec: &mut Map<String, Value>) {
        for field in CONSTRAINT_FIELDS {
            match self.0.get(field) {
                Some(value) => spec.insert(field.to_owned(), value.clone()),
                None => spec.remove(field),
            };
        }
    }
}

/// Which constraints choose the virtual node.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ProxyConstraints {
    /// None but the virtual nodes' own; the spec's stay with the delegate.
    #[default]
    None,
    /// The spec's; the delegate has none.
    FromSpec,
    /// These; the spec's stay with the delegate.
    Given(SchedulingConstraints),
}

/// All that a user's annotations say.
#[derive(Clone, Debug, Default)]
pub struct PodOptions {
    /// The target's own scheduler decides, without a check of its nodes first.
    pub no_reservation: bool,
    /// Which constraints choose the virtual node.
    pub proxy_constraints: ProxyConstraints,
    /// Labels that keep their key on the delegate.
    pub no_prefix: Option<Regex>,
    /// After how long without a word of its source a target stops the delegate.
    pub fence_after: Option<Duration>,
}

impl PodOptions {
    /// Read a pod's annotations.
    pub fn parse(annotations: &BTreeMap<String, String>) -> Result<Self, InvalidAnnotation> {
        let proxy_constraints = match annotations.get(names::PROXY_POD_SCHEDULING_CONSTRAINTS) {
            Some(yaml) => ProxyConstraints::Given(SchedulingConstraints::from_yaml(yaml)?),
            None if annotations.contains_key(names::USE_CONSTRAINTS_FROM_SPEC) => ProxyConstraints::FromSpec,
            None => ProxyConstraints::None,
        };
        let no_prefix = annotations
            .get(names::NO_PREFIX_LABEL_REGEXP)
            .map(|text| no_prefix_regexp(text))
            .transpose()?;
        let fence_after = annotations
            .get(names::FENCE_AFTER)
            .map(|text| fence::parse(text))
            .transpose()
            .map_err(|reason| InvalidAnnotation::Fence {
                key: names::FENCE_AFTER,
                reason,
            })?;
        Ok(Self {
            no_reservation: annotations.contains_key(names::NO_RESERVATION),
            proxy_constraints,
            no_prefix,
            fence_after,
        })
    }
}

fn no_prefix_regexp(text: &str) -> Result<Regex, InvalidAnnotation> {
    compile_regexp(text).map_err(|reason| InvalidAnnotation::Regexp {
        key: names::NO_PREFIX_LABEL_REGEXP,
        reason,
    })
}

/// Compile a user's regular expression within bounds.
pub fn compile_regexp(text: &str) -> Result<Regex, String> {
    if text.len() > MAX_REGEXP {
        return Err(format!("longer than {MAX_REGEXP} bytes"));
    }
    regex::RegexBuilder::new(text)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| match error {
            regex::Error::Syntax(message) => message
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .into(),
            other => other.to_string(),
        })
}

/// The pod as it was submitted, as far as it is trusted: what decides where it may run, and how long it may take to
/// stop. Everything else of a delegate comes from the proxy pod's visible spec, which the source's admission has judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceManifest {
    /// The constraints as submitted.
    pub constraints: SchedulingConstraints,
    /// The scheduler's name as submitted.
    pub scheduler_name: Option<String>,
    /// The grace period as submitted, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
}

#[derive(Deserialize)]
struct TypedManifest {
    #[serde(default)]
    spec: TypedManifestSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct TypedManifestSpec {
    node_selector: Option<BTreeMap<String, String>>,
    tolerations: Option<Vec<Toleration>>,
    affinity: Option<Affinity>,
    topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    scheduler_name: Option<String>,
    termination_grace_period_seconds: Option<i64>,
}

impl SourceManifest {
    /// Read the `sourcepod-manifest` annotation (YAML, of which JSON is a part).
    pub fn parse(text: &str) -> Result<Self, InvalidAnnotation> {
        let invalid = |reason: String| InvalidAnnotation::Manifest {
            key: names::SOURCE_POD_MANIFEST,
            reason,
        };
        let value = parse_yaml(text).map_err(invalid)?;
        let typed: TypedManifest =
            serde_json::from_value(value.clone()).map_err(|e| invalid(first_line(&e.to_string())))?;
        let spec = value.get("spec").and_then(Value::as_object);
        Ok(Self {
            constraints: spec.map(SchedulingConstraints::from_spec).unwrap_or_default(),
            scheduler_name: typed.spec.scheduler_name,
            termination_grace_period_seconds: typed.spec.termination_grace_period_seconds,
        })
    }
}

/// YAML as a JSON value. Text that is JSON, as the webhook writes it, takes the short way.
pub fn parse_yaml(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => serde_saphyr::from_str(text).map_err(|error| first_line(&error.to_string())),
    }
}

/// Parsers quote what they cannot read, however long it is.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The submitted pod as it is kept in the annotation. JSON is YAML, and written ten times as fast.
pub fn write_manifest(pod: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(pod)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn given_constraints_win_over_those_of_the_spec() {
        let options = PodOptions::parse(&annotations(&[
            (names::USE_CONSTRAINTS_FROM_SPEC, ""),
            (
                names::PROXY_POD_SCHEDULING_CONSTRAINTS,
                "nodeSelector:\n  topology.kubernetes.io/region: eu\n",
            ),
        ]))
        .unwrap();
        let ProxyConstraints::Given(given) = options.proxy_constraints else {
            panic!("{options:?}")
        };
        assert_eq!(
            given.get("nodeSelector"),
            Some(&json!({"topology.kubernetes.io/region": "eu"}))
        );
    }

    #[test]
    fn broken_annotations_say_what_to_write() {
        for (key, value, hint) in [
            (names::PROXY_POD_SCHEDULING_CONSTRAINTS, "nodeSelector: [", "write YAML"),
            (
                names::PROXY_POD_SCHEDULING_CONSTRAINTS,
                "nodeSelecter: {}",
                "unknown field",
            ),
            (
                names::PROXY_POD_SCHEDULING_CONSTRAINTS,
                "tolerations: yes",
                "write YAML",
            ),
            (names::PROXY_POD_SCHEDULING_CONSTRAINTS, "- a", "write YAML"),
            (names::NO_PREFIX_LABEL_REGEXP, "(", "regular expression"),
            (names::FENCE_AFTER, "", "write a whole number"),
            (names::FENCE_AFTER, "5s", "from 20s"),
            (
                names::NO_PREFIX_LABEL_REGEXP,
                "((((a{999}){999}){999}){999})",
                "regular expression",
            ),
        ] {
            let message = PodOptions::parse(&annotations(&[(key, value)]))
                .unwrap_err()
                .to_string();
            assert!(message.contains(hint) && message.contains(key), "{message}");
        }
    }

    #[test]
    fn manifests_of_both_notations_are_read() {
        for text in [
            "spec:\n  nodeSelector:\n    a: b\n  schedulerName: mine\n  terminationGracePeriodSeconds: 7\n",
            r#"{"spec":{"nodeSelector":{"a":"b"},"schedulerName":"mine","terminationGracePeriodSeconds":7}}"#,
        ] {
            let manifest = SourceManifest::parse(text).unwrap();
            assert_eq!(manifest.constraints.get("nodeSelector"), Some(&json!({"a": "b"})));
            assert_eq!(manifest.scheduler_name.as_deref(), Some("mine"));
            assert_eq!(manifest.termination_grace_period_seconds, Some(7));
        }
    }

    #[test]
    fn a_manifest_of_wrong_types_is_refused() {
        for text in [
            "spec: 3",
            "spec: {nodeSelector: [a]}",
            "spec: {tolerations: {a: b}}",
            "{",
            "\t- x",
        ] {
            assert!(SourceManifest::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_size_and_repetition_are_bounded() {
        let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
        let laughs = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |yaml, n| {
            format!("{yaml}a{m}: &a{m} [*a{n}, *a{n}]\n", m = n + 1)
        });
        let indented: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        // On a stack as the servers' threads have it.
        let on_small_stack = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            for text in [
                deep("[", "]"),
                deep("{a: ", "}"),
                deep("{\"a\":", "}"),
                deep("- ", ""),
                deep("? ", ""),
                deep("!!a ", ""),
                format!("spec: {}", deep("[", "]")),
                format!("nodeSelector: {}", deep("{a: ", "}")),
                indented,
                laughs,
                "a: &a [*a]".into(),
                "a: *missing".into(),
                "x".repeat(1 << 20),
                format!("a: {}", "9".repeat(1 << 20)),
                "\0".into(),
                "\u{feff}".into(),
            ] {
                let (manifest, constraints) = (SourceManifest::parse(&text), SchedulingConstraints::from_yaml(&text));
                for message in [manifest.err(), constraints.err()].into_iter().flatten() {
                    assert!(message.to_string().len() < 2048, "{}", message.to_string().len());
                }
            }
        });
        on_small_stack.unwrap().join().unwrap();
    }

    #[test]
    fn regular_expressions_are_bounded_and_linear() {
        for text in [
            "((a{999}){999}){999}",
            "(?:\\pL{1000}){1000}",
            &"(".repeat(4096),
            &"a".repeat(4097),
        ] {
            assert!(compile_regexp(text).unwrap_err().len() < 1024, "{text}");
        }
        let slow_elsewhere = compile_regexp("^(a+)+$").unwrap();
        let begin = std::time::Instant::now();
        assert!(!slow_elsewhere.is_match(&format!("{}b", "a".repeat(1 << 16))));
        assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    }

    /// Something like a manifest, of right and wrong types.
    fn manifest() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            Just(json!({"a": "b"})),
            Just(json!([{"key": "a", "operator": "Exists"}])),
        ];
        let key = proptest::sample::select(vec![
            "nodeSelector",
            "tolerations",
            "affinity",
            "topologySpreadConstraints",
            "schedulerName",
            "terminationGracePeriodSeconds",
            "containers",
        ]);
        prop::collection::btree_map(key.prop_map(String::from), leaf, 0..5)
            .prop_map(|spec| json!({ "spec": Value::Object(spec.into_iter().collect()) }))
    }

    proptest! {
        #[test]
        fn what_is_typed_when_it_is_saved_can_be_read(manifest in manifest()) {
            let constraints = SchedulingConstraints::from_spec(manifest["spec"].as_object().unwrap());
            let read = SourceManifest::parse(&write_manifest(&manifest).unwrap());
            if let Ok(read) = &read {
                prop_assert_eq!(&read.constraints, &constraints);
            }
            prop_assert!(constraints.are_typed() || read.is_err());
        }

        #[test]
        fn no_annotation_panics(text in "\\PC{0,200}") {
            let _ = SourceManifest::parse(&text);
            let _ = SchedulingConstraints::from_yaml(&text);
            let _ = compile_regexp(&text);
        }
    }
}
