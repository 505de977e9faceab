//! Which nodes a pod accepts: nodeSelector, required node affinity, tolerations.
//!
//! Follows the stock plugins NodeAffinity, TaintToleration and NodeUnschedulable
//! (k8s.io/component-helpers/scheduling/corev1/nodeaffinity, core/v1 `ToleratesTaint`). Everything but the node's name
//! and hostname is the same for all nodes of a [`Class`], so it is judged once a class.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Toleration};
use multicluster_api::names::HOSTNAME;
use multicluster_api::options::SchedulingConstraints;
use serde::de::DeserializeOwned;

use super::facts::Fact;
use super::nodes::{Class, NodeTaint, Shard};

/// Taint that stands for a cordoned node.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";

/// Why no node of a class takes a pod, whatever is free there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// nodeSelector or required node affinity.
    Affinity,
    /// This taint is not tolerated.
    Taint(&'a NodeTaint),
    /// Cordoned.
    Unschedulable,
}

/// A pod's demands on a node, compiled.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    node_selector: Vec<(String, String)>,
    selector_clues: Vec<Clue>,
    /// `None`: no required affinity. Terms are ORed; an empty list matches nothing.
    terms: Option<Vec<Term>>,
    tolerations: Vec<Toleration>,
    /// Some demand speaks of the node's name or hostname.
    by_node: bool,
}

/// Requirements that are ANDed; `None` for a term that cannot be parsed, which matches nothing.
type Term = Option<Vec<Requirement>>;

#[derive(Clone, Debug)]
struct Requirement {
    subject: Subject,
    test: Test,
    /// What a shard must have for this to hold anywhere in it; `None` when that is no help.
    clue: Option<Clue>,
}

/// One of these must be true of a shard.
#[derive(Clone, Debug)]
enum Clue {
    Facts(Vec<Fact>),
    Hostnames(Vec<String>),
    Names(Vec<String>),
}

impl Clue {
    fn of(subject: &Subject, test: &Test) -> Option<Self> {
        match (subject, test) {
            (Subject::Label(key), Test::In(values)) => Some(Self::Facts(
                values.iter().map(|value| Fact::label(key, value)).collect(),
            )),
            (Subject::Label(key), Test::Exists | Test::Gt(_) | Test::Lt(_)) => Some(Self::Facts(vec![Fact::key(key)])),
            (Subject::Hostname, Test::In(values)) => Some(Self::Hostnames(values.clone())),
            (Subject::Name, Test::In(values)) => Some(Self::Names(values.clone())),
            _ => None,
        }
    }

    fn may_hold(&self, shard: &Shard) -> bool {
        match self {
            Self::Facts(facts) => facts.iter().any(|fact| shard.facts.may_hold(*fact)),
            Self::Hostnames(names) => names.iter().any(|name| shard.has_hostname(name)),
            Self::Names(names) => names.iter().any(|name| shard.find(name).is_some()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Label(String),
    Hostname,
    Name,
}

#[derive(Clone, Debug)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
}

/// The node that a requirement is held against; `None` to judge a whole class, where demands on a single node pass.
type Single<'a> = Option<(&'a str, Option<&'a str>)>;

impl Constraints {
    /// Compile the constraints of a delegate.
    pub fn compile(constraints: &SchedulingConstraints) -> Result<Self, serde_json::Error> {
        let selector: std::collections::BTreeMap<String, String> = field(constraints, "nodeSelector")?;
        let tolerations = field(constraints, "tolerations")?;
        let affinity: k8s_openapi::api::core::v1::Affinity = field(constraints, "affinity")?;
        let required = affinity
            .node_affinity
            .and_then(|node| node.required_during_scheduling_ignored_during_execution);
        let terms = required.map(|selector| selector.node_selector_terms.iter().filter_map(term).collect::<Vec<_>>());
        let named = |requirement: &Requirement| !matches!(requirement.subject, Subject::Label(_));
        let by_node = selector.contains_key(HOSTNAME) || terms.iter().flatten().flatten().flatten().any(named);
        let clue = |(key, value): (&String, &String)| match key.as_str() {
            HOSTNAME => Clue::Hostnames(vec![value.clone()]),
            key => Clue::Facts(vec![Fact::label(key, value)]),
        };
        Ok(Self {
            selector_clues: selector.iter().map(clue).collect(),
            node_selector: selector.into_iter().collect(),
            terms,
            tolerations,
            by_node,
        })
    }

    /// Do the demands differ from node to node inside a class?
    pub fn by_node(&self) -> bool {
        self.by_node
    }

    /// Can any node of the shard match at all? A quick look before that at each class.
    pub fn may_match(&self, shard: &Shard) -> bool {
        self.selector_clues.iter().all(|clue| clue.may_hold(shard))
            && self.terms.as_ref().is_none_or(|terms| {
                terms.iter().flatten().any(|term| {
                    term.iter()
                        .all(|requirement| requirement.clue.as_ref().is_none_or(|clue| clue.may_hold(shard)))
                })
            })
    }

    /// Judge a class, leaving out what depends on the single node.
    pub fn admits<'a>(&self, class: &'a Class) -> Result<(), Mismatch<'a>> {
        if !self.matches(class, None) {
            return Err(Mismatch::Affinity);
        }
        if class.unschedulable && !self.tolerates(UNSCHEDULABLE, "", NO_SCHEDULE) {
            return Err(Mismatch::Unschedulable);
        }
        let intolerable = class
            .taints
            .iter()
            .find(|taint| !self.tolerates(&taint.key, &taint.value, &taint.effect));
        match intolerable {
            Some(taint) if *taint.key == *UNSCHEDULABLE => Err(Mismatch::Unschedulable),
            Some(taint) => Err(Mismatch::Taint(taint)),
            None => Ok(()),
        }
    }

    /// Judge one node of a class that is admitted.
    pub fn admits_node(&self, class: &Class, name: &str, hostname: Option<&str>) -> bool {
        !self.by_node || self.matches(class, Some((name, hostname)))
    }

    fn matches(&self, class: &Class, single: Single<'_>) -> bool {
        let selected = self
            .node_selector
            .iter()
            .all(|(key, value)| match (key.as_str(), single) {
                (HOSTNAME, None) => true,
                (HOSTNAME, Some((_, hostname))) => hostname == Some(value),
                (key, _) => class.label(key) == Some(value),
            });
        selected
            && self.terms.as_ref().is_none_or(|terms| {
                terms
                    .iter()
                    .flatten()
                    .any(|term| term.iter().all(|requirement| requirement.holds(class, single)))
            })
    }

    fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|w| w.is_empty() || w == actual);
        self.tolerations.iter().any(|toleration| {
            is(&toleration.effect, effect)
                && is(&toleration.key, key)
                && match toleration.operator.as_deref().unwrap_or_default() {
                    "" | "Equal" => toleration.value.as_deref().unwrap_or_default() == value,
                    "Exists" => true,
                    // Gt and Lt are behind a feature gate of the target's scheduler that nobody publishes.
                    _ => false,
                }
        })
    }
}

impl Requirement {
    fn new(subject: Subject, test: Test) -> Self {
        let clue = Clue::of(&subject, &test);
        Self { subject, test, clue }
    }

    fn holds(&self, class: &Class, single: Single<'_>) -> bool {
        let value = match (&self.subject, single) {
            (Subject::Label(key), _) => class.label(key),
            (_, None) => return true,
            (Subject::Hostname, Some((_, hostname))) => hostname,
            (Subject::Name, Some((name, _))) => Some(name),
        };
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Gt(bound) => number().is_some_and(|number| number > *bound),
            Test::Lt(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

fn field<T: DeserializeOwned + Default>(
    constraints: &SchedulingConstraints,
    name: &str,
) -> Result<T, serde_json::Error> {
    constraints.get(name).map_or_else(|| Ok(T::default()), T::deserialize)
}

/// `None` for an empty term: it selects nothing. `Some(None)` for one that cannot be parsed: neither does that.
fn term(term: &NodeSelectorTerm) -> Option<Term> {
    let labels = term.match_expressions.iter().flatten().map(label_requirement);
    let fields = term.match_fields.iter().flatten().map(field_requirement);
    let requirements: Vec<_> = labels.chain(fields).collect();
    (!requirements.is_empty()).then(|| requirements.into_iter().collect())
}

fn label_requirement(requirement: &NodeSelectorRequirement) -> Option<Requirement> {
    let values = requirement.values.clone().unwrap_or_default();
    let bound = || match values.as_slice() {
        [only] => only.parse().ok(),
        _ => None,
    };
    let test = match requirement.operator.as_str() {
        "In" if !values.is_empty() => Test::In(values),
        "NotIn" if !values.is_empty() => Test::NotIn(values),
        "Exists" if values.is_empty() => Test::Exists,
        "DoesNotExist" if values.is_empty() => Test::DoesNotExist,
        "Gt" => Test::Gt(bound()?),
        "Lt" => Test::Lt(bound()?),
        _ => return None,
    };
    let subject = match requirement.key.as_str() {
        HOSTNAME => Subject::Hostname,
        key => Subject::Label(key.to_owned()),
    };
    Some(Requirement::new(subject, test))
}

/// The only field is `metadata.name`, with exactly one value.
fn field_requirement(requirement: &NodeSelectorRequirement) -> Option<Requirement> {
    let values = requirement.values.clone().unwrap_or_default();
    let test = match requirement.operator.as_str() {
        "In" if values.len() == 1 => Test::In(values),
        "NotIn" if values.len() == 1 => Test::NotIn(values),
        _ => return None,
    };
    (requirement.key == "metadata.name").then(|| Requirement::new(Subject::Name, test))
}
