//! The decision over what was read. Pure.

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::ResourceExt;
use multicluster_api::target::AnyTarget;
use multicluster_api::{PodChaperon, names};

use super::fit;
use super::report::{Candidate, Delegate, Explanation, State, Told};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Context of the source, for commands.
    pub context: String,
    /// The pod.
    pub pod: Pod,
    /// Is its namespace served by the webhook?
    pub served: bool,
    /// All Targets and ClusterTargets.
    pub targets: Vec<AnyTarget>,
    /// All virtual nodes.
    pub nodes: Vec<Node>,
    /// The pod's events.
    pub events: Vec<Event>,
    /// What the target has of it, if a context for it was given: nothing, or its chaperon.
    pub chaperon: Option<Option<PodChaperon>>,
    /// Events there about chaperon and delegate.
    pub target_events: Vec<Event>,
}

/// How many events are shown.
const EVENTS: usize = 5;

/// Explain a pod.
pub fn explain(evidence: &Evidence) -> Explanation {
    let pod = &evidence.pod;
    let mut explanation = Explanation {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        state: State::Pending,
        summary: String::new(),
        virtual_node: None,
        delegate: None,
        targets: vec![],
        notes: vec![],
        advice: vec![],
        events: told(&evidence.events),
    };
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_default();
    let elected = pod.annotations().contains_key(names::ELECT);
    let is_proxy =
        pod.annotations().contains_key(names::SOURCE_POD_MANIFEST) && pod.labels().contains_key(names::HAS_FINALIZER);
    if !elected && !is_proxy {
        not_elected(&mut explanation, &node);
    } else if !is_proxy {
        not_reviewed(&mut explanation, evidence);
    } else if !node.is_empty() {
        placed(&mut explanation, evidence, &node);
    } else {
        pending(&mut explanation, evidence);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        ending(&mut explanation, pod);
    }
    explanation
}

fn not_elected(explanation: &mut Explanation, node: &str) {
    explanation.state = State::NotElected;
    explanation.summary = match node {
        "" => "an ordinary pod without a node: it is not elected, so no target is considered".into(),
        node => format!("an ordinary pod, on node {node}: it is not elected"),
    };
    explanation.advice.push(format!(
        "to run it in a target, give its pod template the annotation {}: \"\", in a namespace labelled {}={}",
        names::ELECT,
        names::NAMESPACE_LABEL,
        names::NAMESPACE_LABEL_ENABLED
    ));
}

fn not_reviewed(explanation: &mut Explanation, evidence: &Evidence) {
    let (context, namespace) = (&evidence.context, explanation.namespace.clone());
    explanation.state = State::NotReviewed;
    match evidence.served {
        false => {
            explanation.summary = format!(
                "elected, but its namespace {namespace} is not served by the webhook, so it is an ordinary pod"
            );
            explanation.advice.push(format!(
                "kubectl --context {context} label namespace {namespace} {}={}",
                names::NAMESPACE_LABEL,
                names::NAMESPACE_LABEL_ENABLED
            ));
        }
        true => {
            explanation.summary = "elected, but the webhook has not seen it: it was created before its namespace was \
                                   labelled, or while the webhook was not configured"
                .into();
            explanation
                .advice
                .push(format!("kubectl multicluster check --context {context}"));
        }
    }
    explanation.advice.push(
        "then delete the pod, so that its controller makes it anew; a pod is reviewed only when it is created".into(),
    );
}

fn placed(explanation: &mut Explanation, evidence: &Evidence, node: &str) {
    explanation.virtual_node = Some(node.to_owned());
    let target = evidence.targets.iter().find(|target| node_of(target) == node);
    let Some(target) = target else {
        explanation.state = State::PlacedUnreachable;
        explanation.summary = format!("on {node}, for which there is no Target any more");
        explanation
            .advice
            .push("the pod is deleted by and by; its controller makes a new one".into());
        return;
    };
    let pod = &evidence.pod;
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_else(|| "Pending".into());
    let describe = format!("{} {}", target.target.kind(), target.target);
    match not_ready(target) {
        Some(why) => {
            explanation.state = State::PlacedUnreachable;
            explanation.summary = format!("{phase} in {describe}, by node {node}; that target is not Ready: {why}");
            explanation.notes.push("its status is what was last heard".into());
            explanation
                .advice
                .push(format!("kubectl multicluster status --context {}", evidence.context));
        }
        None => {
            explanation.state = if matches!(phase.as_str(), "Succeeded" | "Failed") {
                State::Ended
            } else {
                State::Placed
            };
            explanation.summary = format!("{phase} in {describe}, by node {node}");
        }
    }
    match &evidence.chaperon {
        None => explanation
            .notes
            .push("with --target CONTEXT its delegate is looked at, too".into()),
        Some(None) => {
            explanation
                .notes
                .push("there is no PodChaperon for it in the target's context".into());
            explanation
                .advice
                .push("is --target the cluster of its Target? If so, the pod is replaced soon".into());
        }
        Some(Some(chaperon)) => explanation.delegate = Some(delegate(chaperon, &evidence.target_events)),
    }
}

fn delegate(chaperon: &PodChaperon, events: &[Event]) -> Delegate {
    let status = chaperon.status.clone().unwrap_or_default();
    let mut notes = vec![];
    if let Some(refused) = chaperon.annotations().get(names::FILES_REFUSED) {
        notes.push(format!("its ConfigMaps and Secrets cannot follow: {refused}"));
    } else if chaperon.annotations().contains_key(names::AWAITS_FILES) {
        notes.push("it waits for its ConfigMaps and Secrets, which the source's agent brings".into());
    }
    for container in status.pod.container_statuses.iter().flatten() {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        if let Some(waiting) = waiting {
            let (reason, message) = (waiting.reason.clone(), waiting.message.clone());
            notes.push(format!(
                "container {}: {} {}",
                container.name,
                reason.unwrap_or_default(),
                message.unwrap_or_default()
            ));
        }
    }
    notes.extend(
        told(events)
            .into_iter()
            .map(|told| format!("{}: {}", told.reason, told.message)),
    );
    let delegate = status.delegate.unwrap_or_default();
    Delegate {
        name: chaperon.name_any(),
        node: delegate.node_name,
        phase: status.pod.phase.unwrap_or_else(|| "Pending".into()),
        notes,
    }
}

fn pending(explanation: &mut Explanation, evidence: &Evidence) {
    let pod = &evidence.pod;
    let spec = pod.spec.clone().unwrap_or_default();
    if let Some(gates) = spec.scheduling_gates.filter(|gates| !gates.is_empty()) {
        let names: Vec<_> = gates.into_iter().map(|gate| gate.name).collect();
        explanation.state = State::Gated;
        explanation.summary = format!(
            "no scheduler may look at it before its gates are removed: {}",
            names.join(", ")
        );
        return;
    }
    explanation.targets = evidence
        .targets
        .iter()
        .map(|target| candidate(evidence, target))
        .collect();
    let fitting = explanation.targets.iter().filter(|candidate| candidate.fits).count();
    let serving = evidence
        .targets
        .iter()
        .filter(|target| target.target.serves(&explanation.namespace))
        .count();
    let failed = evidence
        .events
        .iter()
        .any(|event| event.reason.as_deref() == Some("FailedScheduling"));
    explanation.summary = match (serving, fitting) {
        (0, _) => {
            explanation.advice.push(format!(
                "kubectl multicluster connect --source {} --target CONTEXT --namespace {}",
                evidence.context, explanation.namespace
            ));
            format!("pending: no Target serves namespace {}", explanation.namespace)
        }
        (_, 0) => "pending: no target takes it just now".into(),
        _ if failed => {
            explanation
                .advice
                .push("the events say which target has no room, or has refused it lately".into());
            format!(
                "pending: {fitting} targets could take it by their labels and taints, but have no room, or refuse it"
            )
        }
        _ => {
            let scheduler = spec.scheduler_name.clone().unwrap_or_default();
            explanation.advice.push(format!(
                "is a kube-scheduler running with the profile {scheduler}? kubectl multicluster check --context {}",
                evidence.context
            ));
            format!("pending: the scheduler {scheduler} has said nothing about it yet; {fitting} targets could take it")
        }
    };
    for candidate in explanation.targets.iter().filter(|candidate| !candidate.fits) {
        if candidate.reasons.iter().any(|reason| reason.starts_with("not Ready")) {
            explanation.advice.push(format!(
                "{}: mend what its condition says, see kubectl --context {} describe node {}",
                candidate.target, evidence.context, candidate.virtual_node
            ));
        }
    }
    if let Some(attempted) = pod.annotations().get(names::ATTEMPTED_IN) {
        explanation.notes.push(format!(
            "it must not run twice and was tried on {attempted}: while that target cannot be asked, it goes nowhere else"
        ));
    }
    if spec.scheduler_name.as_deref() == Some("default-scheduler") {
        explanation
            .notes
            .push("its scheduler is the cluster's own, which must call the extender".into());
    }
}

fn candidate(evidence: &Evidence, target: &AnyTarget) -> Candidate {
    let name = node_of(target);
    let namespace = evidence.pod.namespace().unwrap_or_default();
    let node = evidence.nodes.iter().find(|node| node.name_any() == name);
    let mut reasons = vec![];
    if !target.target.serves(&namespace) {
        reasons.push(format!(
            "it serves namespace {} alone",
            target.target.namespace.clone().unwrap_or_default()
        ));
    } else {
        reasons.extend(not_ready(target).map(|why| format!("not Ready: {why}")));
        match node {
            None => reasons.push("its virtual node is not there yet".into()),
            Some(node) => reasons.extend(fit::reasons(&evidence.pod, node)),
        }
    }
    Candidate {
        target: format!("{} {}", target.target.kind(), target.target),
        virtual_node: name,
        fits: reasons.is_empty(),
        reasons,
    }
}

fn node_of(target: &AnyTarget) -> String {
    target.target.virtual_node().into()
}

fn not_ready(target: &AnyTarget) -> Option<String> {
    let ready = target
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(format!("{}, {}", ready.reason, ready.message)),
        None => Some("the agent has not looked at it yet".into()),
    }
}

fn ending(explanation: &mut Explanation, pod: &Pod) {
    explanation.state = State::Ending;
    let held = pod.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    explanation.summary = match held {
        true => format!(
            "it is being deleted, and held until its delegate is known to be gone; before that: {}",
            explanation.summary
        ),
        false => format!("it is being deleted; before that: {}", explanation.summary),
    };
}

/// The latest first.
fn told(events: &[Event]) -> Vec<Told> {
    let mut events: Vec<&Event> = events.iter().collect();
    let time = |event: &Event| {
        let series = event
            .series
            .as_ref()
            .and_then(|series| series.last_observed_time.as_ref())
            .map(|time| time.0);
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        series.or(last).or(event.event_time.as_ref().map(|time| time.0))
    };
    events.sort_by_key(|event| std::cmp::Reverse(time(event)));
    let told = events.into_iter().take(EVENTS).map(|event| Told {
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        count: event
            .series
            .as_ref()
            .and_then(|series| series.count)
            .or(event.count)
            .unwrap_or(1),
    });
    told.collect()
}

#[cfg(test)]
mod tests;
