//! One watch of all pods feeds both the delegates and the summaries.

use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::view::PodView;

use super::delegates::Delegates;
use super::index::Delegate;
use super::publish::Publisher;
use crate::changes::{Change, changes, key_of};

/// Follow all pods of this cluster for ever.
pub async fn run(client: Client, delegates: Arc<Delegates>, publisher: Arc<Publisher>) {
    let mut changes = std::pin::pin!(changes("pods".into(), Api::<PodView>::all(client), Config::default()));
    while let Some(change) = changes.next().await {
        match change {
            Change::Put(pod) => {
                let key = key_of(&pod);
                publisher.put_pod(&key, &pod);
                if let Some(delegate) = Delegate::of(pod) {
                    delegates.put_delegate(key, delegate);
                }
            }
            Change::Gone(key) => {
                publisher.remove_pod(&key);
                delegates.remove_delegate(&key);
            }
            Change::Listed => {
                publisher.pods_listed();
                delegates.pods_listed();
            }
        }
    }
}
