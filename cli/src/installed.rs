//! Names of what the manifests install, as far as they are looked at here.

/// The webhook's Deployment.
pub const WEBHOOK: &str = "multicluster-webhook";
/// The extender's Deployment.
pub const EXTENDER: &str = "multicluster-extender";
/// The second scheduler's Deployment, where there is one.
pub const SCHEDULER: &str = "multicluster-kube-scheduler";
/// The agent's Deployment, ServiceAccount and Lease.
pub const AGENT: &str = "multicluster-agent";
/// The second scheduler's Lease.
pub const SCHEDULER_LEASE: &str = "multicluster-scheduler";
/// Both webhook configurations.
pub const WEBHOOKS: &str = "multicluster-scheduler";
/// The webhook's certificate, a Secret.
pub const WEBHOOK_TLS: &str = "multicluster-webhook-tls";
/// The extender's certificate, a Secret.
pub const EXTENDER_TLS: &str = "multicluster-extender-tls";
/// The second scheduler's client certificate, a Secret.
pub const SCHEDULER_TLS: &str = "multicluster-scheduler-client-tls";
/// The authority of our servers, a Secret.
pub const AUTHORITY: &str = "multicluster-ca";
/// The authority of this cluster's identities in targets, a Secret.
pub const IDENTITY_AUTHORITY: &str = "multicluster-identity-ca";
/// The authority of the authenticating proxy's certificate, a Secret.
pub const AUTHPROXY_AUTHORITY: &str = "multicluster-authproxy-ca";
/// The authenticating proxy's certificate, a Secret.
pub const AUTHPROXY_TLS: &str = "multicluster-authproxy-tls";
/// The key of certificates in Secrets.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Environment variable of the agent's container: its roles.
pub const ROLES: &str = "ROLES";
/// Namespace that Kubernetes itself is in; its UID names a cluster.
pub const KUBE_SYSTEM: &str = "kube-system";
