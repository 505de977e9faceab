//! Which targets there are, and one supervised task for each.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::select;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watch_object};
use kube::{Api, Client};
use multicluster_api::target::AnyTarget;
use multicluster_api::{ClusterTarget, Target, TargetRef};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Upstreams};
use crate::secret::{WantedSecret, Way};
use crate::{ConnectError, watching};

/// How long the work of a target that changed or went may take to end before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long to wait before a target's work that ended by itself begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What a component does with a target.
pub trait Runner: Send + Sync + 'static {
    /// Serve a connected target until `stop`. Begins anew when the spec or the kubeconfig changes; never runs twice at a time
    /// for one target. May return early to be connected anew. Other credentials of the same user change nothing: the client
    /// uses them from its next request on.
    fn run(&self, target: AnyTarget, client: Client, stop: CancellationToken) -> impl Future<Output = ()> + Send;

    /// The target exists. Before anything else is said of it, and before [`Runner::synced`]: its credentials may take
    /// their time, and until then it must not pass for one that is gone.
    fn known(&self, _target: &AnyTarget) {}

    /// The way to the target for requests that are passed on, before [`Runner::run`] begins with it; `None` when that has
    /// ended. There is none for the source cluster itself.
    fn reachable(&self, _target: &AnyTarget, _way: Option<Upstreams>) {}

    /// The target cannot be connected until its owner mends it.
    fn failed(&self, target: AnyTarget, error: ConnectError) -> impl Future<Output = ()> + Send;

    /// The Target or ClusterTarget is gone; its work has ended. `client` is the last one that was connected.
    fn removed(&self, target: AnyTarget, client: Option<Client>) -> impl Future<Output = ()> + Send;

    /// All targets that exist are known from now on.
    fn synced(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Follow Targets and ClusterTargets with `runner` until `stop`. `client` is for the source cluster.
pub async fn supervise<R: Runner>(client: Client, runner: Arc<R>, stop: CancellationToken) {
    let targets = watching::watch("targets".into(), Api::<Target>::all(client.clone()), Config::default())
        .map(|event| (Scope::Namespaced, map(event)));
    let cluster_targets = watching::watch(
        "clustertargets".into(),
        Api::<ClusterTarget>::all(client.clone()),
        Config::default(),
    )
    .map(|event| (Scope::Cluster, map(event)));
    let mut events = std::pin::pin!(select(targets, cluster_targets));
    let mut set = Set {
        client,
        runner,
        tasks: BTreeMap::new(),
        leaving: BTreeMap::new(),
        listed: BTreeSet::new(),
        missing: 2,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some((scope, event)) = events.next() => set.handle(scope, event).await,
        }
    }
    let tasks = join_all(std::mem::take(&mut set.tasks).into_values().map(Task::end));
    // Targets that went just now have work left in their clusters, and each has its own limit.
    futures::future::join(tasks, join_all(std::mem::take(&mut set.leaving).into_values())).await;
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Namespaced,
    Cluster,
}

fn map<K>(event: Event<K>) -> Event<AnyTarget>
where
    for<'a> AnyTarget: From<&'a K>,
{
    match event {
        Event::Apply(object) => Event::Apply((&object).into()),
        Event::InitApply(object) => Event::InitApply((&object).into()),
        Event::Delete(object) => Event::Delete((&object).into()),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// The tasks of all targets.
struct Set<R> {
    client: Client,
    runner: Arc<R>,
    tasks: BTreeMap<TargetRef, Task>,
    /// Targets that went, until what they leave behind is seen to. One of the same name waits for that.
    leaving: BTreeMap<TargetRef, JoinHandle<()>>,
    /// Targets seen since the list under way began.
    listed: BTreeSet<TargetRef>,
    /// Lists of which the first is still to come.
    missing: usize,
}

struct Task {
    target: AnyTarget,
    stop: CancellationToken,
    handle: JoinHandle<Option<Client>>,
}

impl Task {
    async fn end(self) -> Option<Client> {
        self.stop.cancel();
        let abort = self.handle.abort_handle();
        match tokio::time::timeout(STOP_GRACE, self.handle).await {
            Ok(client) => client.ok().flatten(),
            Err(_) => {
                abort.abort();
                None
            }
        }
    }
}

impl<R: Runner> Set<R> {
    async fn handle(&mut self, scope: Scope, event: Event<AnyTarget>) {
        match event {
            Event::Init => self.listed.retain(|target| scope_of(target) != scope),
            Event::InitApply(target) => {
                self.listed.insert(target.target.clone());
                self.apply(target);
            }
            Event::InitDone => self.finish_list(scope).await,
            Event::Apply(target) => self.apply(target),
            Event::Delete(target) => self.remove(&target.target),
        }
    }

    /// What an older list had and this one does not went while nobody was watching.
    async fn finish_list(&mut self, scope: Scope) {
        let known = self.tasks.keys().filter(|target| scope_of(target) == scope);
        let gone: Vec<_> = known.filter(|target| !self.listed.contains(target)).cloned().collect();
        for target in gone {
            self.remove(&target);
        }
        if self.missing > 0 {
            self.missing -= 1;
            if self.missing == 0 {
                self.runner.synced().await;
            }
        }
    }

    fn apply(&mut self, target: AnyTarget) {
        let before = match self.tasks.remove(&target.target) {
            Some(task) if same_spec(&task.target, &target) && !task.handle.is_finished() => {
                self.tasks.insert(target.target, task);
                return;
            }
            // Made anew under the same name while nobody was watching: to the runner, the old one went.
            Some(task) if task.target.uid != target.uid => Some(self.retire(task)),
            Some(task) => Some(tokio::spawn(async move { drop(task.end().await) })),
            None => self.leaving.remove(&target.target),
        };
        self.runner.known(&target);
        let stop = CancellationToken::new();
        let drive = drive(self.client.clone(), self.runner.clone(), target.clone(), stop.clone());
        let handle = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            drive.await
        });
        self.tasks.insert(target.target.clone(), Task { target, stop, handle });
    }

    fn remove(&mut self, target: &TargetRef) {
        self.leaving.retain(|_, leaving| !leaving.is_finished());
        if let Some(task) = self.tasks.remove(target) {
            let leaving = self.retire(task);
            self.leaving.insert(target.clone(), leaving);
        }
    }

    /// End a target's work and tell the runner. Beside everything else: a target that hangs takes its time.
    fn retire(&self, task: Task) -> JoinHandle<()> {
        let runner = self.runner.clone();
        tokio::spawn(async move {
            let target = task.target.clone();
            let client = task.end().await;
            runner.removed(target, client).await;
        })
    }
}

fn scope_of(target: &TargetRef) -> Scope {
    if target.namespace.is_some() {
        Scope::Namespaced
    } else {
        Scope::Cluster
    }
}

/// A change of the status alone changes nothing here.
fn same_spec(a: &AnyTarget, b: &AnyTarget) -> bool {
    let same_view = a.excluded_labels_regexp == b.excluded_labels_regexp && a.network == b.network;
    a.uid == b.uid && a.access == b.access && same_view
}

/// Connect one target, again whenever its credentials change, and serve it. Returns its last client.
async fn drive<R: Runner>(
    source: Client,
    runner: Arc<R>,
    target: AnyTarget,
    stop: CancellationToken,
) -> Option<Client> {
    match Way::of(&target.access) {
        Err(error) => {
            runner.failed(target, error).await;
            stop.cancelled().await;
            None
        }
        Ok(Way::Here) => {
            serve(&*runner, &target, &source, &stop).await;
            Some(source)
        }
        Ok(Way::Secret(wanted)) => drive_by_secret(source, &*runner, target, wanted, stop).await,
    }
}

/// What a kubeconfig Secret holds, or why it holds nothing of use; `None` before it was read at all.
type Content = Option<Result<ByteString, ConnectError>>;

async fn drive_by_secret<R: Runner>(
    source: Client,
    runner: &R,
    target: AnyTarget,
    wanted: WantedSecret,
    stop: CancellationToken,
) -> Option<Client> {
    let (sender, mut contents) = watch::channel(Content::None);
    let _pump = AbortOnDrop(tokio::spawn(pump_secret(source, wanted.clone(), sender)));
    let mut client = None;
    while !stop.is_cancelled() {
        let content = contents.borrow_and_update().clone();
        let context = wanted.context.as_deref();
        let connected = match content {
            None => None,
            Some(Ok(text)) => Some(Connection::new(&text, context).await),
            Some(Err(error)) => Some(Err(error)),
        };
        let connection = connected.as_ref().and_then(|connected| connected.as_ref().ok());
        let child = stop.child_token();
        let interrupted = async {
            tokio::select! { () = outdated(connection, &mut contents, context) => {}, () = stop.cancelled() => {} }
            child.cancel();
        };
        let work = async {
            match &connected {
                Some(Ok(connection)) => {
                    client = Some(connection.client.clone());
                    runner.reachable(&target, Some(connection.upstreams()));
                    serve(runner, &target, &connection.client, &child).await;
                    runner.reachable(&target, None);
                }
                Some(Err(error)) => runner.failed(target.clone(), error.clone()).await,
                None => {}
            }
        };
        tokio::join!(interrupted, within_grace(work, &child));
    }
    client
}

/// Wait until the Secret holds what this connection cannot take over while it is used.
async fn outdated(connection: Option<&Connection>, contents: &mut watch::Receiver<Content>, context: Option<&str>) {
    while contents.changed().await.is_ok() {
        let content = contents.borrow_and_update().clone();
        let renewed = match (connection, content) {
            (Some(connection), Some(Ok(text))) => connection.renew(&text, context).await,
            _ => false,
        };
        if !renewed {
            return;
        }
    }
}

/// Let work end by itself after `stop`, but not for ever.
async fn within_grace(work: impl Future<Output = ()>, stop: &CancellationToken) {
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! { () = work => {}, () = too_long => {} }
}

/// Follow a kubeconfig Secret. A Secret that merely cannot be read right now changes nothing once it has been read.
async fn pump_secret(source: Client, wanted: WantedSecret, contents: watch::Sender<Content>) {
    let api = Api::<Secret>::namespaced(source, &wanted.namespace);
    let mut secrets = std::pin::pin!(watch_object(api, &wanted.secret).backoff(watching::pauses()));
    while let Some(event) = secrets.next().await {
        let next = match event {
            Ok(secret) => wanted.content(secret),
            Err(error) => Err(ConnectError::SecretUnreadable(error.to_string())),
        };
        contents.send_if_modified(|content| {
            let unreadable = matches!(next, Err(ConnectError::SecretUnreadable(_)));
            let news = content.as_ref() != Some(&next) && !(unreadable && content.is_some());
            if news {
                *content = Some(next);
            }
            news
        });
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Run until `stop`; work that ended by itself begins again after a pause.
async fn serve<R: Runner>(runner: &R, target: &AnyTarget, client: &Client, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        // On the heap: it is what a program does with a target, and each future around it would hold it again. Without
        // optimisation they are all on the stack at once.
        Box::pin(runner.run(target.clone(), client.clone(), stop.clone())).await;
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RESTART_PAUSE) => {} }
    }
}

#[cfg(test)]
#[path = "tests/credentials.rs"]
mod tests;
