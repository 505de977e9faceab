//! Kubeconfigs: credentials for targets, issued by this cluster, renewed in time, in a Secret.
//!
//! ```text
//! Kubeconfig ──watch──▶ controller ──decide──▶ certificate ──▶ CertificateRequest (cert-manager) ──┐
//! Secret ─────get──────────▲                    token ───────▶ TokenRequest ────────────────────────┤
//!                          │                                                                        ▼
//!                          └────────────────────────────── secret ◀── content ◀──────────── Credentials
//! ```
//!
//! * [`decide`]: what to do now. Pure. [`held`]: what the Secret says; what is issued is remembered nowhere else.
//! * [`certificate`]: key, request, and whether what came back is what was asked for. [`request`]: cert-manager's part.
//! * [`token`]: the API server's part.
//! * [`content`]: the kubeconfig. [`secret`]: its Secret.
//! * [`problem`]: why there are no credentials, in words for people. [`status`]: what the Kubeconfig says of itself.
//! * [`controller`]: watches. `work`: decides, and says how it went. `act`: asks, stores, deletes.
//!
//! The private key is made here and goes nowhere but into the Secret. The next leader does not know the keys of requests that
//! are under way: it deletes these, and makes its own.
//!
//! What the agent needs in the source cluster:
//!
//! | API group, resource | verbs | where |
//! |---|---|---|
//! | multicluster.admiralty.io `kubeconfigs` | list, watch | all namespaces |
//! | multicluster.admiralty.io `kubeconfigs/status` | patch | all namespaces |
//! | core `secrets` | get, list, watch, create, update, delete | all namespaces; a policy narrows writes to the type `multicluster.admiralty.io/kubeconfig`. Lists and watches have the field selector `type=…` |
//! | core `serviceaccounts/token` | create | all namespaces; a policy narrows audiences to those with our prefix |
//! | cert-manager.io `certificaterequests` | create, get, list, delete | namespace `multicluster-scheduler` |
//! | core, events.k8s.io `events` | create, patch | all namespaces, as elsewhere |
//!
//! Whoever may make a CertificateRequest for the Issuer `multicluster-identities` can be anybody: nobody but the agent should.

mod act;
pub mod certificate;
pub mod content;
pub mod controller;
pub mod decide;
pub mod held;
pub mod problem;
pub mod request;
pub mod secret;
pub mod status;
pub mod token;
mod work;
