//! What the agent counts. Labels name targets, Kubeconfigs and reasons, never pods: their number is bounded, and what a target
//! or a Kubeconfig has goes with it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::queue_metrics::Queues;
use crate::source::following::object::Kind;
use crate::source::following::refusal::NAME_TAKEN;
use crate::source::following::watch::name;
use crate::source::kubeconfigs::problem::ISSUE_ERRORS;
use crate::source::kubelet::usage::problem;
use crate::target::trust::verdict;

/// Seconds without a heartbeat; 10 is what is promised.
const DETECTION: [f64; 10] = [5.0, 7.5, 8.5, 9.0, 9.5, 10.0, 12.5, 15.0, 30.0, 60.0];
/// Seconds from a status seen to the same one written.
const LAG: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The target has said what delegates use.
const ANSWERED: &str = "ok";

/// A target, by its virtual node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// Name of the virtual node.
    pub node: String,
}

impl TargetLabel {
    /// The target of this virtual node.
    pub fn new(node: &str) -> Self {
        Self { node: node.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    node: String,
    reason: &'static str,
}

/// What was done to a copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CopyLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
}

/// Why a copy was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CopyRefusedLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// As the event says.
    pub reason: &'static str,
}

/// Kind of what is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `ClusterSummary`, `NodeSummary`, `DNSEndpoint`, `EndpointSlice`, or `Status`.
    pub kind: &'static str,
}

/// What is said of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    reason: &'static str,
}

/// A Kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KubeconfigLabels {
    namespace: String,
    name: String,
}

/// Why no credentials could be issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssueErrorLabel {
    reason: &'static str,
}

/// What proves who we are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProofLabel {
    proof: &'static str,
}

/// How a target was asked for what delegates use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadingLabels {
    node: String,
    result: &'static str,
}

/// Counters and gauges of the agent.
#[derive(Debug)]
pub struct Metrics {
    /// Delegate pods made in this cluster.
    pub delegates_created: Counter,
    /// Delegates that were made again after they went without their source's doing.
    pub delegates_reborn: Counter,
    /// Delegates that this cluster's API server refused.
    pub delegates_refused: Counter,
    /// Statuses written to chaperons.
    pub chaperon_statuses: Counter,
    /// Statuses written to proxy pods.
    pub proxy_statuses: Counter,
    /// From seeing a chaperon's new status to having written it to the proxy pod, in seconds.
    pub proxy_status_lag: Histogram,
    /// Chaperons deleted in targets.
    pub chaperons_deleted: Family<TargetLabel, Counter>,
    /// Of these, chaperons of pods that were gone or lived elsewhere by then.
    pub orphans_deleted: Family<TargetLabel, Counter>,
    /// 1 while a target is well.
    pub target_ready: Family<TargetLabel, Gauge>,
    /// 1 for the reason of a target's Ready condition.
    target_reason: Family<ReasonLabels, Gauge>,
    reasons: Mutex<BTreeMap<String, &'static str>>,
    /// Changes of a virtual node's readiness.
    pub target_transitions: Family<TargetLabel, Counter>,
    /// 1 while most targets are silent, so that we suppose to be cut off ourselves.
    pub mass_failure: Gauge,
    /// 1 while this agent leads.
    pub leader: Gauge,
    /// From the last heartbeat of a target to its virtual node turned NotReady, in seconds.
    target_detection: Histogram,
    /// When targets were last heard of.
    heard: Heard,
    /// Copies of objects that follow pods, written in targets.
    pub copies_written: Family<CopyLabels, Counter>,
    /// Copies that targets did not take.
    pub copies_refused: Family<CopyRefusedLabels, Counter>,
    /// Selectors of the source's Services that were rewritten.
    pub selectors_rewritten: Counter,
    /// Finalizers taken off proxy pods.
    pub finalizers_removed: Counter,
    /// Summaries written.
    pub summaries: Family<KindLabel, Counter>,
    /// Bytes of JSON of these.
    pub summary_bytes: Family<KindLabel, Counter>,
    /// NodeSummaries that this cluster has.
    pub shards: Gauge,
    /// Writes that make applications seen from outside.
    pub exposure_writes: Family<KindLabel, Counter>,
    /// TrustedIdentityProviders by the reason of their condition.
    providers: Family<VerdictLabel, Gauge>,
    /// Users that the authenticating proxy may impersonate.
    pub impersonated_users: Gauge,
    /// How often the list of them was written.
    pub impersonation_writes: Counter,
    /// When the credentials of Kubeconfigs expire, in seconds since 1970.
    kubeconfig_expiry: Family<KubeconfigLabels, Gauge>,
    /// Credentials issued for Kubeconfigs.
    kubeconfig_issues: Family<ProofLabel, Counter>,
    /// Credentials that could not be issued.
    kubeconfig_issue_errors: Family<IssueErrorLabel, Counter>,
    /// Times that targets were asked for what delegates use.
    usage_readings: Family<ReadingLabels, Counter>,
    /// Work queues.
    pub queues: Queues,
    /// The virtual nodes' kubelet API.
    pub kubelet: multicluster_kubelet::metrics::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            delegates_created: Counter::default(),
            delegates_reborn: Counter::default(),
            delegates_refused: Counter::default(),
            chaperon_statuses: Counter::default(),
            proxy_statuses: Counter::default(),
            proxy_status_lag: Histogram::new(LAG),
            chaperons_deleted: Family::default(),
            orphans_deleted: Family::default(),
            target_ready: Family::default(),
            target_reason: Family::default(),
            reasons: Mutex::default(),
            target_transitions: Family::default(),
            mass_failure: Gauge::default(),
            leader: Gauge::default(),
            target_detection: Histogram::new(DETECTION),
            heard: Heard::default(),
            copies_written: Family::default(),
            copies_refused: Family::default(),
            selectors_rewritten: Counter::default(),
            finalizers_removed: Counter::default(),
            summaries: Family::default(),
            summary_bytes: Family::default(),
            shards: Gauge::default(),
            exposure_writes: Family::default(),
            providers: Family::default(),
            impersonated_users: Gauge::default(),
            impersonation_writes: Counter::default(),
            kubeconfig_expiry: Family::default(),
            kubeconfig_issues: Family::default(),
            kubeconfig_issue_errors: Family::default(),
            usage_readings: Family::default(),
            queues: Queues::default(),
            kubelet: Default::default(),
        }
    }
}

impl Metrics {
    /// Register all under the names that the documentation lists.
    pub fn register(&self, registry: &mut Registry) {
        self.begin_at_zero();
        self.queues.register(registry);
        self.kubelet.register(registry);
        let registry = registry.sub_registry_with_prefix("multicluster_agent");
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        let help = "Delegate pods made in this cluster";
        counter("delegates_created", help, &self.delegates_created);
        let help = "Delegate pods made again after they went while their source was away";
        counter("delegates_reborn", help, &self.delegates_reborn);
        let help = "Delegate pods that this cluster's API server refused";
        counter("delegates_refused", help, &self.delegates_refused);
        let help = "Statuses written to PodChaperons";
        counter("chaperon_statuses", help, &self.chaperon_statuses);
        counter(
            "proxy_pod_statuses",
            "Statuses written to proxy pods",
            &self.proxy_statuses,
        );
        counter(
            "finalizers_removed",
            "Finalizers taken off proxy pods",
            &self.finalizers_removed,
        );
        let help = "Selectors of the source's Services that were rewritten";
        counter("selectors_rewritten", help, &self.selectors_rewritten);
        let help = "From seeing a PodChaperon's new status to having written it to the proxy pod";
        registry.register_with_unit(
            "proxy_pod_status_lag",
            help,
            Unit::Seconds,
            self.proxy_status_lag.clone(),
        );
        let help = "PodChaperons deleted in targets";
        registry.register("chaperons_deleted", help, self.chaperons_deleted.clone());
        let help = "PodChaperons deleted in targets because their pods were gone or lived elsewhere";
        registry.register("orphaned_chaperons_deleted", help, self.orphans_deleted.clone());
        let help = "Copies of ConfigMaps, Secrets, Services, Ingresses and HTTPRoutes written in targets";
        registry.register("copies_written", help, self.copies_written.clone());
        let help = "Copies that a target did not take, by the reason of the event; counted when that changes";
        registry.register("copies_refused", help, self.copies_refused.clone());
        let help = "1 while a target is well";
        registry.register("virtual_node_ready", help, self.target_ready.clone());
        let help = "1 for the reason of a target's Ready condition";
        registry.register("virtual_node_condition", help, self.target_reason.clone());
        let help = "Changes of a virtual node's Ready condition";
        registry.register("virtual_node_transitions", help, self.target_transitions.clone());
        let help = "From a target's last heartbeat to its virtual node turned NotReady";
        registry.register_with_unit("target_detection", help, Unit::Seconds, self.target_detection.clone());
        registry.register_collector(Box::new(self.heard.clone()));
        let help = "1 while most targets are silent, and their pods are left alone for that";
        registry.register("mass_failure", help, self.mass_failure.clone());
        let help = "1 while this agent works, 0 while it stands by";
        registry.register("leader", help, self.leader.clone());
        registry.register("summary_writes", "Summaries written", self.summaries.clone());
        let help = "JSON of the summaries written";
        registry.register_with_unit("summary_written", help, Unit::Bytes, self.summary_bytes.clone());
        let help = "DNSEndpoints, EndpointSlices and statuses written or deleted for what is reached from outside";
        registry.register("exposure_writes", help, self.exposure_writes.clone());
        let help = "TrustedIdentityProviders by the reason of their Ready condition";
        registry.register("identity_providers", help, self.providers.clone());
        let help = "Users that the authenticating proxy may impersonate";
        registry.register("impersonated_users", help, self.impersonated_users.clone());
        let help = "Times that the ClusterRole of these users was written";
        registry.register("impersonation_role_writes", help, self.impersonation_writes.clone());
        let help = "NodeSummaries that this cluster has";
        registry.register("node_summary_shards", help, self.shards.clone());
        let help = "When the credentials of a Kubeconfig expire, in seconds since 1970";
        registry.register_with_unit(
            "kubeconfig_expiry_timestamp",
            help,
            Unit::Seconds,
            self.kubeconfig_expiry.clone(),
        );
        let help = "Credentials issued for Kubeconfigs";
        registry.register("kubeconfig_issues", help, self.kubeconfig_issues.clone());
        let help = "Attempts to issue credentials for Kubeconfigs that have failed, by the reason of the condition";
        registry.register("kubeconfig_issue_errors", help, self.kubeconfig_issue_errors.clone());
        let help = "Times that targets were asked for what delegates use";
        registry.register("pod_metrics_readings", help, self.usage_readings.clone());
    }

    /// A series that begins with its first event shows no increase: what alerts ask for begins at 0.
    fn begin_at_zero(&self) {
        for kind in Kind::ALL.map(name) {
            for verb in ["create", "update", "delete"] {
                drop(self.copies_written.get_or_create(&CopyLabels { kind, verb }));
            }
            let reason = NAME_TAKEN;
            drop(self.copies_refused.get_or_create(&CopyRefusedLabels { kind, reason }));
        }
        for kind in ["DNSEndpoint", "EndpointSlice", "Status"] {
            drop(self.exposure_writes.get_or_create(&KindLabel { kind }));
        }
        self.providers([]);
        for proof in ["certificate", "token"] {
            drop(self.kubeconfig_issues.get_or_create(&ProofLabel { proof }));
        }
        for reason in ISSUE_ERRORS {
            drop(self.kubeconfig_issue_errors.get_or_create(&IssueErrorLabel { reason }));
        }
    }

    /// Credentials of a Kubeconfig expire then; `None` when it has none.
    pub fn kubeconfig_expires(&self, namespace: &str, name: &str, expires: Option<Timestamp>) {
        let label = KubeconfigLabels {
            namespace: namespace.into(),
            name: name.into(),
        };
        match expires {
            Some(expires) => drop(self.kubeconfig_expiry.get_or_create(&label).set(expires.as_second())),
            None => drop(self.kubeconfig_expiry.remove(&label)),
        }
    }

    /// Credentials of this kind were issued.
    pub fn kubeconfig_issued(&self, proof: &'static str) {
        self.kubeconfig_issues.get_or_create(&ProofLabel { proof }).inc();
    }

    /// Credentials could not be issued.
    pub fn kubeconfig_failed(&self, reason: &'static str) {
        self.kubeconfig_issue_errors
            .get_or_create(&IssueErrorLabel { reason })
            .inc();
    }

    /// A Kubeconfig is gone.
    pub fn forget_kubeconfig(&self, namespace: &str, name: &str) {
        self.kubeconfig_expires(namespace, name, None);
    }

    /// What is said of all identity providers of this cluster.
    pub fn providers(&self, reasons: impl IntoIterator<Item = &'static str>) {
        let mut counts: BTreeMap<_, _> = verdict::REASONS.iter().map(|reason| (*reason, 0)).collect();
        for reason in reasons {
            *counts.entry(reason).or_default() += 1;
        }
        for (reason, count) in counts {
            self.providers.get_or_create(&VerdictLabel { reason }).set(count);
        }
    }

    /// A target's heartbeat was seen to change, or it was connected for the first time.
    pub fn heard_of(&self, node: &str) {
        self.heard.0.lock().insert(node.into(), Instant::now());
    }

    /// A target is being watched: its silence counts from now, unless it was heard of before.
    pub fn listening_to(&self, node: &str) {
        self.heard.0.lock().entry(node.into()).or_insert_with(Instant::now);
        let label = TargetLabel::new(node);
        // So that their first increase is one.
        drop(self.orphans_deleted.get_or_create(&label));
        drop(self.chaperons_deleted.get_or_create(&label));
        for labels in Self::readings(node) {
            drop(self.usage_readings.get_or_create(&labels));
        }
    }

    /// A target was asked for what delegates use, and this went wrong.
    pub fn usage_read(&self, node: &str, problem: Option<&'static str>) {
        let (node, result) = (node.into(), problem.unwrap_or(ANSWERED));
        self.usage_readings.get_or_create(&ReadingLabels { node, result }).inc();
    }

    fn readings(node: &str) -> impl Iterator<Item = ReadingLabels> {
        let results = [ANSWERED].into_iter().chain(problem::REASONS);
        results.map(|result| ReadingLabels {
            node: node.into(),
            result,
        })
    }

    /// A virtual node's condition has been written.
    pub fn condition(&self, node: &str, ready: bool, reason: &'static str) {
        let was = self
            .target_ready
            .get_or_create(&TargetLabel::new(node))
            .set(ready.into());
        if was == 1
            && !ready
            && let Some(silent) = self.heard.age(node)
        {
            self.target_detection.observe(silent.as_secs_f64());
        }
        let label = |reason| ReasonLabels {
            node: node.into(),
            reason,
        };
        if let Some(old) = self
            .reasons
            .lock()
            .insert(node.into(), reason)
            .filter(|old| *old != reason)
        {
            self.target_reason.remove(&label(old));
        }
        self.target_reason.get_or_create(&label(reason)).set(1);
    }

    /// A term has ended: who leads now tells how targets are.
    pub fn end_term(&self) {
        let nodes: Vec<_> = self.heard.0.lock().keys().cloned().collect();
        let told: Vec<_> = self.reasons.lock().keys().cloned().collect();
        nodes.iter().chain(&told).for_each(|node| self.forget(node));
        self.mass_failure.set(0);
        self.shards.set(0);
        self.impersonated_users.set(0);
        self.providers([]);
        self.kubeconfig_expiry.clear();
    }

    /// A target is gone, and so are its series.
    pub fn forget(&self, node: &str) {
        let label = TargetLabel::new(node);
        self.target_ready.remove(&label);
        self.target_transitions.remove(&label);
        self.chaperons_deleted.remove(&label);
        self.orphans_deleted.remove(&label);
        for labels in Self::readings(node) {
            self.usage_readings.remove(&labels);
        }
        if let Some(reason) = self.reasons.lock().remove(node) {
            let node = node.into();
            self.target_reason.remove(&ReasonLabels { node, reason });
        }
        self.heard.0.lock().remove(node);
        multicluster_runtime::metrics::watches::forget(node);
    }
}

/// When targets were last heard of, by our own clock.
#[derive(Clone, Debug, Default)]
struct Heard(std::sync::Arc<Mutex<BTreeMap<String, Instant>>>);

impl Heard {
    fn age(&self, node: &str) -> Option<Duration> {
        self.0.lock().get(node).map(Instant::elapsed)
    }
}

impl Collector for Heard {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let heard = self.0.lock();
        let age = |since: &Instant| ConstGauge::new(since.elapsed().as_secs_f64());
        let mut encoder = encoder.encode_descriptor(
            "target_heartbeat_age",
            "Since a target's heartbeat was last seen to change",
            Some(&Unit::Seconds),
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (node, since) in heard.iter() {
            age(since).encode(encoder.encode_family(&TargetLabel::new(node))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &Metrics) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_target_has_one_reason_and_takes_its_series_with_it() {
        let metrics = Metrics::default();
        metrics.listening_to("eu");
        metrics.heard_of("eu");
        metrics.condition("eu", true, "TargetReady");
        metrics.target_transitions.get_or_create(&TargetLabel::new("eu")).inc();
        metrics.condition("eu", false, "APIServerUnreachable");
        let text = shown(&metrics);
        assert!(text.contains("virtual_node_condition{node=\"eu\",reason=\"APIServerUnreachable\"} 1"));
        assert!(!text.contains("TargetReady"));
        assert!(text.contains("target_detection_seconds_count 1\n"), "{text}");
        assert!(text.contains("target_heartbeat_age_seconds{node=\"eu\"} "));
        // Still away, for another reason: noticed once.
        metrics.condition("eu", false, "AgentNotReporting");
        assert!(shown(&metrics).contains("target_detection_seconds_count 1\n"));
        metrics.forget("eu");
        assert!(!shown(&metrics).contains("\"eu\""), "{}", shown(&metrics));
    }

    #[test]
    fn a_standby_shows_nothing_of_the_targets_that_it_had() {
        let metrics = Metrics::default();
        metrics.listening_to("eu");
        // Never connected in this term.
        metrics.condition("us", false, "APIServerTimeout");
        metrics.mass_failure.set(1);
        metrics.end_term();
        let text = shown(&metrics);
        assert!(!text.contains("node="), "{text}");
        assert!(text.contains("multicluster_agent_mass_failure 0\n"), "{text}");
    }
}
