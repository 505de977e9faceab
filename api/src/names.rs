//! Every label, annotation, finalizer, taint and well-known object name. One place each.
//!
//! docs/labels-and-annotations.md is made of this file: a comment says what the name is (`Label`, `Annotation`, `Taint` or
//! `Finalizer`) of which objects, a colon, and what it means there.

/// API group of the custom resources.
pub const GROUP: &str = "multicluster.admiralty.io";
/// API version of the custom resources.
pub const VERSION: &str = "v1alpha1";
/// Prefix of all labels and annotations that belong to this system.
pub const PREFIX: &str = "multicluster.admiralty.io/";

/// Label of namespaces: with the value `enabled`, the webhook makes proxy pods of elected pods there.
pub const NAMESPACE_LABEL: &str = "multicluster-scheduler";
/// Value of [`NAMESPACE_LABEL`] that turns the webhook on.
pub const NAMESPACE_LABEL_ENABLED: &str = "enabled";

/// Pod annotation: run this pod in one of the targets.
pub const ELECT: &str = "multicluster.admiralty.io/elect";
/// Pod annotation: do not ask for a fitting node first, the target's own scheduler decides.
pub const NO_RESERVATION: &str = "multicluster.admiralty.io/no-reservation";
/// Pod annotation: the spec's scheduling constraints choose the virtual node.
pub const USE_CONSTRAINTS_FROM_SPEC: &str =
    "multicluster.admiralty.io/use-constraints-from-spec-for-proxy-pod-scheduling";
/// Pod annotation: scheduling constraints of the proxy pod, as YAML.
pub const PROXY_POD_SCHEDULING_CONSTRAINTS: &str = "multicluster.admiralty.io/proxy-pod-scheduling-constraints";
/// Pod annotation: labels (as `key=value`) that match keep their key on the delegate.
pub const NO_PREFIX_LABEL_REGEXP: &str = "multicluster.admiralty.io/no-prefix-label-regexp";
/// Pod annotation: the target stops the delegate when it has not heard of the source for so long.
pub const FENCE_AFTER: &str = "multicluster.admiralty.io/fence-after";
/// Pod annotation: the virtual node where a pod was tried that must not run twice. The extender writes it before it creates a
/// chaperon. While that target cannot be asked, the pod goes nowhere else. It outlives whoever knows more.
pub const ATTEMPTED_IN: &str = "multicluster.admiralty.io/attempted-in";
/// Pod annotation: the pod as submitted, as YAML. The webhook writes it.
pub const SOURCE_POD_MANIFEST: &str = "multicluster.admiralty.io/sourcepod-manifest";
/// Annotation of proxy pods and chaperons while traces are on: the trace that they are part of, in the form of W3C Trace
/// Context's `traceparent`.
pub const TRACEPARENT: &str = "multicluster.admiralty.io/traceparent";
/// Pod label: the webhook marks proxy pods with it, so that they can be watched alone.
pub const HAS_FINALIZER: &str = "multicluster.admiralty.io/has-finalizer";
/// Finalizer of proxy pods: the delegate is known to be gone before the proxy pod goes.
pub const FINALIZER: &str = "multicluster.admiralty.io/multiclusterForegroundDeletion";

/// Finalizer of objects that give the agent its rights: they stay until it has cleaned up.
pub const UNINSTALL: &str = "multicluster.admiralty.io/uninstall";

/// Label of chaperons and delegates: UID of the proxy pod.
pub const PARENT_UID: &str = "multicluster.admiralty.io/parent-uid";
/// Label of chaperons and delegates: which source cluster the proxy pod lives in.
pub const PARENT_CLUSTER_NAME: &str = "multicluster.admiralty.io/parent-cluster-name";
/// Annotation of chaperons and delegates: name of the proxy pod.
pub const PARENT_NAME: &str = "multicluster.admiralty.io/parent-name";
/// Annotation of chaperons and delegates: namespace of the proxy pod.
pub const PARENT_NAMESPACE: &str = "multicluster.admiralty.io/parent-namespace";
/// Annotation of chaperons: the virtual node through which they came. Two Targets may lead to one cluster, and each
/// looks after its own chaperons there.
pub const VIRTUAL_NODE: &str = "multicluster.admiralty.io/virtual-node";
/// Annotation of chaperons: the user that made them, as the target's API server knows it. A policy in the target sees to
/// it that the annotation is true, and that no other user touches the chaperon.
pub const SOURCE_USER: &str = "multicluster.admiralty.io/source-user";
/// Annotation of fenced chaperons: the target's heartbeat that their source has seen last.
pub const HEARD: &str = "multicluster.admiralty.io/heard";
/// Annotation of chaperons: the pod uses ConfigMaps or Secrets. The extender writes it, and the target makes no delegate before
/// the source's agent has delivered them and removed it.
pub const AWAITS_FILES: &str = "multicluster.admiralty.io/awaits-files";
/// Annotation of chaperons: why the source's agent cannot deliver a ConfigMap or a Secret. The extender takes it as the
/// target's refusal of the pod.
pub const FILES_REFUSED: &str = "multicluster.admiralty.io/files-refused";
/// Annotation of delegates: what it is, for whoever meets it in the target.
pub const IS_DELEGATE: &str = "multicluster.admiralty.io/is-delegate";

/// Annotation of Services, Ingresses and HTTPRoutes: how their names lead to clusters.
pub const DNS_POLICY: &str = "multicluster.admiralty.io/dns-policy";
/// Annotation of Services, Ingresses and HTTPRoutes: seconds that resolvers may keep an answer.
pub const DNS_TTL: &str = "multicluster.admiralty.io/dns-ttl";
/// Annotation of Services, Ingresses and HTTPRoutes: names, besides those in the spec.
pub const DNS_HOSTS: &str = "multicluster.admiralty.io/dns-hosts";
/// Annotation of Services, Ingresses and HTTPRoutes: which clusters are preferred, for the policy `failover`.
pub const DNS_FAILOVER_ORDER: &str = "multicluster.admiralty.io/dns-failover-order";
/// Annotation of Services, Ingresses and HTTPRoutes: factors of the clusters' weights.
pub const DNS_WEIGHTS: &str = "multicluster.admiralty.io/dns-weights";
/// Annotation of Services, Ingresses and HTTPRoutes: properties of the records that one DNS provider understands.
pub const DNS_PROPERTIES: &str = "multicluster.admiralty.io/dns-properties";
/// What external-dns' own annotations begin with.
pub const EXTERNAL_DNS_PREFIX: &str = "external-dns.alpha.kubernetes.io/";

/// Label and annotation of EndpointSlices and DNSEndpoints: what they expose. `ingress.web`, or for the annotation
/// `ingress/web`.
pub const EXPOSES: &str = "multicluster.admiralty.io/exposes";
/// Label of virtual nodes: the name of the node. kube-scheduler spreads replicas over it. Label and annotation of EndpointSlices
/// that expose something: the virtual node of the cluster.
pub const CLUSTER: &str = "multicluster.admiralty.io/cluster";
/// Annotation of EndpointSlices that expose something: how much of the traffic the cluster should get.
pub const WEIGHT: &str = "multicluster.admiralty.io/weight";
/// Annotation of EndpointSlices that expose something: the cluster's region.
pub const REGION: &str = "multicluster.admiralty.io/region";
/// Label of many objects: who looks after them.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] of what the agent makes.
pub const MANAGED_BY_AGENT: &str = "multicluster-agent";
/// Value of [`MANAGED_BY`] of what `kubectl multicluster connect` makes.
pub const MANAGED_BY_CLI: &str = "kubectl-multicluster";
/// Annotation of what `kubectl multicluster connect` makes: for which connection, as the UID of the source's namespace
/// kube-system, a slash, and the virtual node.
pub const CONNECTION: &str = "multicluster.admiralty.io/connection";
/// Annotation of Targets and ClusterTargets that `kubectl multicluster connect` makes: name of the Source or ClusterSource
/// in the target.
pub const CONNECTED_AS: &str = "multicluster.admiralty.io/connected-as";

/// Label of the virtual node of a Target: the Target's name.
pub const TARGET_NAME: &str = "multicluster.admiralty.io/target-name";
/// Label of the virtual node of a Target: the Target's namespace.
pub const TARGET_NAMESPACE: &str = "multicluster.admiralty.io/target-namespace";
/// Label of the virtual node of a ClusterTarget: the ClusterTarget's name.
pub const CLUSTER_TARGET_NAME: &str = "multicluster.admiralty.io/cluster-target-name";
/// Annotation of virtual nodes: keys of the labels that came from the target, so that they can go again.
pub const TARGET_LABELS: &str = "multicluster.admiralty.io/target-labels";
/// Label of nodes: a name of its own. Virtual nodes have none.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label of Targets and ClusterTargets: the network of the cluster's pods. Pods of equal networks reach each other by their
/// addresses.
pub const NETWORK: &str = "multicluster.admiralty.io/network";
/// Annotation of virtual nodes: the extender changes it when refused pods should be tried again.
pub const WAKE: &str = "multicluster.admiralty.io/wake";
/// Annotation of nodes: where metrics-server finds what their pods use, other than at `/metrics/resource`.
pub const RESOURCE_METRICS_PATH: &str = "metrics.k8s.io/resource-metrics-path";
/// Label of CertificateSigningRequests: they are for the virtual nodes' kubelet API. Its value is `true`.
pub const KUBELET_REQUEST: &str = "multicluster.admiralty.io/kubelet-request";

/// Annotation of copies in targets of what follows pods: a hash of what was written, so that one look at its metadata says
/// whether a copy is in step. In the Secret of a Kubeconfig, a hash of its content.
pub const DIGEST: &str = "multicluster.admiralty.io/digest";
/// Annotation of copies in targets: which labels, annotations and fields are the source's, as JSON. What the target's own
/// controllers add is none of them.
pub const FOLLOWED_KEYS: &str = "multicluster.admiralty.io/followed-keys";
/// Annotation of a ConfigMap, a Secret, a Service, an Ingress or an HTTPRoute: `"false"` keeps it in the source, and pods
/// find what each target has under the name. `"true"` is as good as nothing.
pub const FOLLOW: &str = "multicluster.admiralty.io/follow";
/// Annotation of Services: their selector as the user wrote it, as JSON; the one in the spec speaks of delegates.
pub const ORIGINAL_SELECTOR: &str = "multicluster.admiralty.io/original-selector";
/// Annotation of followed Services, in the source and in targets: its endpoints are in several clusters.
pub const GLOBAL: &str = "multicluster.admiralty.io/global";
/// Annotation of followed Services: Cilium's mesh joins the endpoints of all clusters.
pub const CILIUM_GLOBAL: &str = "io.cilium/global-service";

/// Label and taint of virtual nodes: with the value `admiralty`, it says that they are ours.
pub const PROVIDER: &str = "virtual-kubelet.io/provider";
/// Value of [`PROVIDER`].
pub const PROVIDER_VALUE: &str = "admiralty";
/// Value of the label `type` of virtual nodes.
pub const VIRTUAL_KUBELET: &str = "virtual-kubelet";
/// Taint of nodes: they have no network of their own. Virtual nodes may carry it.
pub const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
/// Taint of nodes: the node-lifecycle controller puts it on those whose Ready condition is False.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of nodes: the node-lifecycle controller puts it on those that stopped renewing their Lease.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint of nodes: an administrator puts it on one that is down for certain, and what it ran may be started elsewhere
/// (KEP-2268).
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Seconds of toleration that the API server's DefaultTolerationSeconds plugin gives.
pub const API_SERVER_DEFAULT_TOLERATION_SECONDS: i64 = 300;

/// Default `schedulerName` of proxy pods: the stock kube-scheduler whose profile calls the extender.
pub const PROXY_SCHEDULER: &str = "admiralty-proxy";
/// Name of the only [`crate::ClusterSummary`] of a cluster.
pub const CLUSTER_SUMMARY: &str = "singleton";

/// Label of what an imported Service consists of: the Service's name. It is what tells these objects from copies.
pub const IMPORT: &str = "multicluster.admiralty.io/import";
/// Label of EndpointSlices (Multi-Cluster Services API, KEP-1645): name of the ServiceImport that they serve.
pub const MCS_SERVICE_NAME: &str = "multicluster.kubernetes.io/service-name";
/// Label of EndpointSlices (Multi-Cluster Services API, KEP-1645): the cluster whose pods they name.
pub const MCS_SOURCE_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";
/// Label of EndpointSlices: name of the Service that they serve.
pub const SLICE_SERVICE: &str = "kubernetes.io/service-name";
/// Label of EndpointSlices: who keeps them, `multicluster-agent` if it is the agent. Kubernetes' own controllers leave those
/// of others alone.
pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// What the audiences of tokens begin with that are issued for targets: never good in the cluster that issues them. A policy
/// there holds the agent to it.
pub const AUDIENCE_PREFIX: &str = "multicluster.admiralty.io/";
/// Type of the Secrets that Kubeconfigs make. A policy lets the agent write Secrets of this type alone.
pub const KUBECONFIG_SECRET: &str = "multicluster.admiralty.io/kubeconfig";
/// Annotation of a Kubeconfig: another value than before renews its credentials at once. In its Secret, the value that was
/// seen last.
pub const RENEW: &str = "multicluster.admiralty.io/renew";
/// Annotation of the Secret of a Kubeconfig: a hash of what was asked for.
pub const ISSUED_FOR: &str = "multicluster.admiralty.io/issued-for";
/// Annotation of the Secret of a Kubeconfig: when its credentials came, by the agent's clock.
pub const ISSUED_AT: &str = "multicluster.admiralty.io/issued-at";
/// Annotation of the Secret of a Kubeconfig: when its credentials expire.
pub const EXPIRES_AT: &str = "multicluster.admiralty.io/expires-at";
/// Label of cert-manager's CertificateRequests that are made for a Kubeconfig: its UID.
pub const KUBECONFIG_UID: &str = "multicluster.admiralty.io/kubeconfig-uid";
/// Annotation of cert-manager's CertificateRequests that are made for a Kubeconfig: its namespace and name, for people.
pub const KUBECONFIG: &str = "multicluster.admiralty.io/kubeconfig";
/// Name of cert-manager's Issuer, in [`INSTALL_NAMESPACE`], of the identities that Kubeconfigs ask for.
pub const IDENTITY_ISSUER: &str = "multicluster-identities";
/// Name of the authenticating proxy's ServiceAccount, Deployment and Service.
pub const AUTHPROXY: &str = "multicluster-authproxy";
/// ClusterRole that lists whom the authenticating proxy may impersonate. The agent keeps its rules.
pub const IMPERSONATION_ROLE: &str = "multicluster-authproxy-impersonation";

/// Annotation of all objects: kubectl keeps the whole object there, as it was applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Namespace of all that is installed.
pub const INSTALL_NAMESPACE: &str = "multicluster-scheduler";
/// Label of installed objects: they belong to this system.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Value of [`PART_OF`].
pub const PART_OF_VALUE: &str = "multicluster-scheduler";

/// Is this label or annotation key one of ours?
pub fn is_ours(key: &str) -> bool {
    key.starts_with(PREFIX)
}
