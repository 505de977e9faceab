//! What follows pods into this target: its copies are watched, and what [`plan`](crate::source::following::plan) says is
//! carried out.
//!
//! * [`watch`]: what is there.
//! * [`copy`]: one object's copy. [`act`]: writes it.
//! * [`gate`]: delegates wait for their ConfigMaps and Secrets.
//! * [`site`]: what users see of the target.

mod act;
mod copy;
mod gate;
mod site;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kube::Client;
use multicluster_api::target::Access;
use multicluster_targets::identity::user_name;
use tokio_util::sync::CancellationToken;

use super::Link;
use crate::queue::Outcome;
use crate::source::following::follower::Job;
use crate::source::imports::seat::Connection;
use crate::source::proxy_pods::ProxyPod;

/// Copies and pods of one target that are worked on at a time.
const CONCURRENCY: usize = 16;

impl Link {
    /// Follow pods into the target until `stop`, once it is known which cluster it is.
    pub(super) async fn follow(self: &Arc<Self>, client: &Client, stop: CancellationToken) {
        let follower = &self.follower;
        let cluster_id = self.cluster_id.lock().clone();
        follower.restart(cluster_id.clone());
        let own = self.is_own(cluster_id.as_deref()).await;
        follower.learn(|facts| facts.own = own);
        let user = user_name(client).await;
        let connection = Connection {
            client: client.clone(),
            namespace: follower.namespace.clone(),
            user: user.clone(),
        };
        if follower.learn(|facts| facts.user = user) {
            // Copies name their owner.
            follower.forget_all();
        }
        follower.set_watched(true);
        self.set_usable();
        let (this, worker) = (self.clone(), client.clone());
        let work = move |job: Job| {
            let (this, client) = (this.clone(), worker.clone());
            async move {
                match job {
                    Job::Copy(key) => this.reconcile_copy(&client, key).await,
                    Job::Gate(uid) => this.reconcile_gate(&client, uid).await,
                }
            }
        };
        tokio::select! {
            () = follower.queue.run(CONCURRENCY, stop.clone(), work) => {}
            () = self.watch_copies(client) => {}
            () = self.seat.run(connection, stop) => {}
        }
    }

    /// Does the target lead back to the source? There everything is already.
    async fn is_own(&self, cluster_id: Option<&str>) -> bool {
        if self.target.read().access == Access::SelfCluster {
            return true;
        }
        cluster_id.is_some() && self.home.cluster_id().await == cluster_id
    }

    /// Whether it can be asked may have changed. Once it can, all is looked at.
    pub(super) fn set_usable(&self) {
        let usable = self.answers.load(Ordering::SeqCst) && self.settled.load(Ordering::SeqCst);
        if self.follower.set_usable(usable && self.follower.is_watched()) {
            // Of targets that lead to one cluster another one may have to write now.
            for mate in self.home.following.followers.mates(&self.follower) {
                self.home.following.add_all(&mate);
            }
            self.add_gates();
        }
    }

    /// All chaperons there are known.
    pub(super) fn set_chaperons_listed(&self) {
        if self.follower.learn(|facts| facts.chaperons_listed = true) {
            for mate in self.home.following.followers.mates(&self.follower) {
                self.home.following.add_all(&mate);
            }
        }
        self.add_gates();
    }

    fn add_gates(&self) {
        for uid in self.chaperons.parents() {
            if let Some(pod) = self.home.pods.get(&uid) {
                self.add_gate(&uid, &pod.namespace);
            }
        }
    }

    /// A pod is new or changed: is it here, or about to be?
    pub fn place(&self, pod: &ProxyPod) {
        if self.chaperons.contains(&pod.uid, &pod.namespace) {
            self.home.following.place(&pod.uid, &self.follower.node, true);
            self.add_gate(&pod.uid, &pod.namespace);
        }
    }

    /// A chaperon of this pod has come, or changed, or gone.
    pub(super) fn place_chaperon(&self, uid: &str) {
        // Of a pod that is not known yet its namespace is not known either.
        if let Some(pod) = self.home.pods.get(uid) {
            let there = self.chaperons.contains(uid, &pod.namespace);
            self.home.following.place(uid, &self.follower.node, there);
            self.add_gate(uid, &pod.namespace);
        } else if self.chaperons.all_of(uid).is_empty() {
            self.home.following.place(uid, &self.follower.node, false);
        }
    }

    fn add_gate(&self, uid: &str, namespace: &str) {
        if self.chaperons.awaits_files(uid, namespace) {
            self.follower.queue.add(Job::Gate(uid.to_owned()));
        }
    }

    /// The target is gone, and nothing is looked after there any more.
    pub(super) fn stop_following(&self) {
        self.follower.set_usable(false);
        self.home.following.followers.remove(&self.node);
        for uid in self.chaperons.parents() {
            self.home.following.place(&uid, &self.follower.node, false);
        }
    }

    fn target_name(&self) -> String {
        self.target.read().target.to_string()
    }
}

/// Work for which the target cannot be asked now: when it can, all is looked at anew.
const LATER: Outcome = Outcome::Done;
