//! Somebody who is not believed any more is cut off within 5 seconds, in the middle of what they do.

use std::time::{Duration, Instant};

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use testbed::{Network, eventually};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::caller::Caller;
use super::harness::{alone, test};
use super::kubectl::{Protocol, Running};
use super::passing::{echo, port_forward};
use super::world::{SOON, Test, World};

/// What is promised.
const CUT: Duration = Duration::from_secs(5);

pub fn tests() -> Vec<Test> {
    vec![
        test("deleting_a_source_cuts_its_user_off", async |world: Arc<World>| {
            for target in ["us", "eu"] {
                let caller = world.caller(target, "revoked-source").await?;
                caller.pod(&world, "web").await?;
                for protocol in [Protocol::WebSocket, Protocol::Spdy] {
                    let open = Open::all(&world, &caller, protocol).await?;
                    open.cut_by(&world, &caller, "source.multicluster.admiralty.io").await?;
                    caller.believe(&world).await?;
                }
            }
            Ok(())
        }),
        test("deleting_a_provider_cuts_its_users_off", async |world: Arc<World>| {
            let caller = world.caller("us", "revoked-provider").await?;
            caller.pod(&world, "web").await?;
            // Somebody else does not notice.
            let other = world.caller("us", "not-revoked").await?;
            other.pod(&world, "web").await?;
            let mut bystander = Open::all(&world, &other, Protocol::WebSocket).await?;
            let open = Open::all(&world, &caller, Protocol::WebSocket).await?;
            open.cut_by(&world, &caller, "trustedidentityprovider.multicluster.admiralty.io")
                .await?;
            bystander.go_on().await?;
            told(&world, &caller).await
        }),
        alone(
            "one_is_cut_off_also_when_the_proxys_own_watches_are_silently_dead",
            async |world: Arc<World>| {
                let caller = world.caller("us", "revoked-silently").await?;
                caller.pod(&world, "web").await?;
                let open = Open::all(&world, &caller, Protocol::WebSocket).await?;
                world.link.set(Network::Dropping);
                let cut = open
                    .cut_by_deletion(&world, &caller, "source.multicluster.admiralty.io")
                    .await;
                world.link.set(Network::Up);
                cut?;
                world.proxy("us")?.replicas.wait_ready().await?;
                caller.believe(&world).await
            },
        ),
    ]
}

/// What somebody has open through the proxy.
struct Open {
    running: Vec<Running>,
    forward: Running,
    forwarded: TcpStream,
    exec: Running,
}

impl Open {
    /// logs -f, exec, port-forward, and watches in all forms.
    async fn all(world: &World, caller: &Caller, protocol: Protocol) -> Result<Self> {
        let kubectl = &caller.kubectl;
        let mut logs = kubectl.start(&["logs", "--follow", "web"], protocol)?;
        eventually("logs to show", SOON, async || {
            world.streams.say("still here")?;
            let line = tokio::time::timeout(Duration::from_secs(1), logs.line());
            line.await.ok().transpose()
        })
        .await?;
        let mut watch = kubectl.start(&["get", "pods", "--watch", "--output=name"], protocol)?;
        watch.line_with("pod/web").await?;
        let mut exec = kubectl.start(&["exec", "--stdin", "web", "--", "cat"], protocol)?;
        exec.enter("here").await?;
        ensure!(exec.line().await? == "here");
        let (forward, mut forwarded) = port_forward(caller, protocol).await?;
        echo(&mut forwarded, b"here").await?;
        Ok(Self {
            running: vec![logs, watch],
            forward,
            forwarded,
            exec,
        })
    }

    /// All of it goes on.
    async fn go_on(&mut self) -> Result<()> {
        for running in self.running.iter_mut().chain([&mut self.forward]) {
            running.runs()?;
        }
        self.exec.enter("again").await?;
        ensure!(self.exec.line().await? == "again");
        echo(&mut self.forwarded, b"again").await
    }

    /// Delete the caller's object of this kind: all ends in time, and nothing new begins.
    async fn cut_by(mut self, world: &World, caller: &Caller, kind: &str) -> Result<()> {
        self.go_on().await?;
        self.cut_by_deletion(world, caller, kind).await?;
        let denied = caller.door.get(&caller.path("configmaps")).await?;
        ensure!(
            matches!(denied.status.as_u16(), 401 | 403),
            "{}: {}",
            denied.status,
            denied.text()
        );
        Ok(())
    }

    async fn cut_by_deletion(mut self, world: &World, caller: &Caller, kind: &str) -> Result<()> {
        let begin = Instant::now();
        let delete = [
            "delete",
            kind,
            "caller",
            "--namespace",
            caller.namespace,
            "--wait=false",
        ];
        world.target(caller.target).kubectl(&delete).await?;
        let mut slowest = Duration::ZERO;
        for running in self.running.iter_mut().chain([&mut self.exec]) {
            slowest = slowest.max(running.ended(begin, CUT).await?);
        }
        let mut rest = Vec::new();
        let left = CUT.saturating_sub(begin.elapsed());
        let end = tokio::time::timeout(left, self.forwarded.read_to_end(&mut rest)).await;
        // However it ends, it ends.
        let _ = end.with_context(|| format!("a forwarded connection goes on after {:.1?}", begin.elapsed()))?;
        println!("{kind}: cut off after {slowest:.1?}");
        Ok(())
    }
}

/// An event in the target, the proxy's log and a metric name who was not let in, and no secret.
async fn told(world: &World, caller: &Caller) -> Result<()> {
    // Proven, and named by nobody.
    let cluster = world.target(caller.target);
    cluster.apply_yaml(&caller.provider().to_string()).await?;
    let delete = [
        "delete",
        "source.multicluster.admiralty.io",
        "caller",
        "--namespace",
        caller.namespace,
    ];
    cluster.kubectl(&delete).await?;
    let proxy = world.proxy(caller.target)?;
    eventually("it to be known who is not let in", SOON, async || {
        let answer = caller.door.get(&caller.path("configmaps")).await?;
        ensure!(
            answer.status == 403 && answer.text().contains(&caller.user),
            "{}: {}",
            answer.status,
            answer.text()
        );
        Ok(Some(()))
    })
    .await?;
    let events = Api::<Event>::namespaced(cluster.client(), caller.namespace);
    let event = eventually("an event about who is not let in", SOON, async || {
        let all = events.list(&ListParams::default()).await?.items;
        let about = |event: &&Event| event.message.as_deref().is_some_and(|text| text.contains(&caller.user));
        Ok(all.iter().find(about).cloned())
    })
    .await?;
    ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
    let mut counted = 0.0;
    for replica in proxy.replicas.all() {
        let text = testbed::product::admin_get(replica.admin_port, "/metrics").await?;
        counted += text
            .lines()
            .filter(|line| line.starts_with("multicluster_authproxy_denied_total{") && line.contains(&caller.user))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>();
    }
    ensure!(counted > 0.0, "no metric names {}", caller.user);
    let log = proxy.logs()?;
    ensure!(log.contains(&caller.user), "the log does not name {}", caller.user);
    let key = caller.pair.key.lines().nth(1).context("a key")?;
    let all = format!("{log}{:?}", events.list(&ListParams::default()).await?.items);
    ensure!(!all.contains(key) && !all.contains("PRIVATE KEY"), "a key is told");
    Ok(())
}
