//! The source side: virtual nodes stand for targets, and proxy pods live what their delegates live.
//!
//! ```text
//! Target ──▶ fleet ──one a target──▶ link ──watch──▶ ClusterSummary, PodChaperon (in the target)
//!              │                      │ virtual_node ──▶ Node, Lease, Target status
//!              ▼                      ▼
//! Pod ──▶ proxy_pods ──────────▶ decide ──▶ Pod status, deletion, finalizer │ PodChaperon deletion (in the target)
//! ```
//!
//! * [`proxy_pods`]: the proxy pods of this cluster.
//! * [`chaperons`]: their chaperons, per target.
//! * [`decide`]: what to do about a pod and its chaperon. Pure.
//! * [`release`]: when a pod may go whose target cannot be asked. Pure. [`out_of_service`]: by an administrator's word.
//! * [`echo`]: which chaperons are told that their source lives. Pure.
//! * [`status`]: the status of a proxy pod, from that of its delegate. Pure.
//! * [`held`]: which pods wait for a target that is away. Pure.
//! * [`health`]: what tells how a target is; [`judge`]: whether it is well. Pure.
//! * [`mass_failure`]: whether rather we are cut off, when most targets fail at once. Pure.
//! * [`virtual_node`]: what the node looks like; [`offer`]: what of it the target chooses. Pure.
//! * [`strays`]: pods on virtual nodes that are no proxy pods.
//! * [`mod@withdraw`]: takes back what this cluster has in a target.
//! * [`left_overs`]: one event for many of them.
//! * [`following`]: ConfigMaps, Secrets, Services, Ingresses and HTTPRoutes follow the delegates.
//! * [`exposure`]: how applications are reached from outside.
//! * [`imports`]: Services that are exported to all clusters. [`ports`]: what they need to know of pods.
//! * [`kubeconfigs`]: credentials for targets, issued by this cluster.
//! * [`kubelet`]: people talk to delegates through the virtual nodes.
//! * [`link`]: the work for one target. [`fleet`]: for all of them.

pub mod chaperons;
pub mod decide;
pub mod echo;
pub mod exposure;
pub mod fleet;
pub mod following;
pub mod health;
pub mod held;
pub mod imports;
pub mod judge;
pub mod keep_node;
pub mod kubeconfigs;
pub mod kubelet;
pub mod left_overs;
pub mod link;
pub mod mass_failure;
pub mod offer;
pub mod out_of_service;
pub mod ports;
pub mod proxy_pods;
pub mod release;
pub mod status;
pub mod strays;
pub mod target_status;
pub mod virtual_node;
pub mod withdraw;
