//! People talk to delegates through the virtual nodes: logs, exec, attach, port-forward, and metrics.
//!
//! ```text
//! kubectl ──▶ API server ──▶ the leader's address ──▶ multicluster_kubelet ──▶ the target's API server ──▶ delegate
//!                  │                                        │
//!                  └─ Node: address and port (endpoint)     └─ nodes: pod ─▶ virtual node, chaperon, target
//! ```
//!
//! * [`args`]: the flags.
//! * [`endpoint`]: how a virtual node says where its kubelet API is. Pure.
//! * [`nodes`]: which delegate a pod has, from what the agent has seen itself.
//! * [`usage`]: what delegates use.

pub mod args;
pub mod endpoint;
pub mod nodes;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use multicluster_kubelet::request::Tell;
use multicluster_kubelet::run::{Options, serve};
use tokio_util::sync::CancellationToken;

use self::args::KubeletArgs;
use self::nodes::Nodes;
use crate::events::Events;

/// How long streams may go on when the agent ends: less than the leader is given to finish.
const GRACE: Duration = Duration::from_millis(1500);

/// Serve the kubelet API until `stop`, if it is known where the API server reaches it.
pub async fn run(args: KubeletArgs, nodes: Nodes, stop: CancellationToken) {
    let Some(wish) = args.wish() else {
        tracing::info!("no kubelet API of virtual nodes: write --kubelet-address (or POD_IP) to have logs and exec");
        return stop.cancelled().await;
    };
    let home = nodes.home().clone();
    let options = Options {
        bind: args.bind(),
        wish,
        grace: GRACE,
    };
    let tell = Arc::new(Told(home.events.clone()));
    let metrics = home.metrics.kubelet.clone();
    serve(options, Arc::new(nodes), home.client.clone(), tell, metrics, stop).await;
}

/// Events about requests for certificates.
struct Told(Events);

impl Tell for Told {
    fn warn(&self, request: ObjectReference, reason: &'static str, note: String) {
        self.0.warning(request, reason, "Certify", note);
    }
}
