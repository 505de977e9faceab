//! What the delegates of this target use.

use std::collections::BTreeSet;
use std::sync::Arc;

use multicluster_kubelet::usage::node::Delegated;

use super::Link;
use crate::source::kubelet::usage::delegated::delegated;
use crate::source::kubelet::usage::fetch::Question;
use crate::source::kubelet::usage::problem::Problem;
use crate::source::kubelet::usage::target::{Asked, Shown, Tell};
use crate::source::target_status::reference;

impl Link {
    /// What they use, as far as the target tells it within seconds. `None` when this agent is about to end.
    pub async fn usage(self: &Arc<Self>) -> Option<Shown> {
        let this = self.clone();
        // A caller that goes away does not take the answer along that others wait for.
        tokio::spawn(async move { this.show_usage().await }).await.ok()
    }

    async fn show_usage(&self) -> Shown {
        let pods = self.delegated();
        let namespaces: BTreeSet<_> = pods.iter().map(|pod| pod.proxy.namespace.clone()).collect();
        let (target, client) = (self.target.read().clone(), self.client.lock().clone());
        let client = client
            .filter(|_| self.may_ask())
            .map(|client| self.home.fence.guard(client));
        let question = Question {
            cluster_name: &self.home.cluster_name,
            namespace: target.target.namespace.as_deref(),
            namespaces: &namespaces,
        };
        let ask = || {
            client.as_ref().map(|client| async move {
                let (reading, result) = self.fetcher.fetch(client, question).await;
                Asked { reading, result }
            })
        };
        let told = |result: &Result<(), Problem>, tell: Option<Tell>| {
            self.home
                .metrics
                .usage_read(&self.node, result.as_ref().err().map(Problem::reason));
            tell.inspect(|tell| self.tell_usage(tell));
        };
        self.usage.show(&pods, ask, told).await
    }

    fn delegated(&self) -> Vec<Delegated> {
        let parents = self.chaperons.parents().into_iter();
        let pods = parents.filter_map(|uid| self.home.pods.get(&uid));
        pods.filter_map(|pod| {
            let chaperon = self.chaperons.get(&pod.uid, &pod.namespace)?;
            delegated(&self.node, &pod, &chaperon)
        })
        .collect()
    }

    fn tell_usage(&self, tell: &Tell) {
        let (events, target) = (&self.home.events, reference(&self.target.read()));
        match tell {
            Tell::Problem(problem) => {
                tracing::warn!(node = self.node, %problem, "metrics of delegates");
                events.warning(target, tell.reason(), "Measure", problem.to_string());
            }
            Tell::Over => {
                tracing::info!(node = self.node, "metrics of delegates arrive again");
                let note = "what its pods use is known again".to_owned();
                events.normal(target, tell.reason(), "Measure", note);
            }
        }
    }
}
