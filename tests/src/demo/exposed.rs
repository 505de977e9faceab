//! The chapters of the demo about what follows pods: one Service and one Ingress become one name, which leads to the
//! clusters that run the pods.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::clusters::{EU, US, WORKLOAD};
use super::found::{Found, NAME};
use super::outside::HOST;
use super::story::{REGIONAL, STEP, Story};
use crate::eventually;

/// What the product promises: so soon a cluster without pods is no longer named.
const PROMISE: Duration = Duration::from_secs(10);
/// And so soon a change of a file has arrived.
const FILE_PROMISE: Duration = Duration::from_secs(2);

impl Story<'_> {
    pub(super) async fn expose(&mut self) -> Result<()> {
        self.screen
            .step("One Service and one Ingress, in the management cluster: they follow the pods");
        self.screen.lines([
            "Two parts are stand-ins here: load balancers give addresses on which nothing listens, since containers do not",
            "run either. What makes and answers names is real: external-dns, etcd, CoreDNS.",
        ]);
        self.kubectl("apply -f docs/quick-tour/exposed.yaml").await?;
        let found = self
            .wait_for_objects("copies in both clusters, and their addresses", |found| {
                found.has_followed() && found.addresses().len() == WORKLOAD.len()
            })
            .await?;
        self.screen
            .done("both clusters have them, and the Ingress that you wrote shows the addresses of both");
        self.screen.table(&found.table());
        self.show(&format!("get ingress {NAME} -o wide")).await?;
        self.wait_for_name(&WORKLOAD).await?;
        self.ask().await?;
        self.screen.done("one name leads to both regions");
        Ok(())
    }

    pub(super) async fn change_file(&mut self) -> Result<()> {
        self.screen.step("Change the ConfigMap that the pods use");
        let patch = r#"'{"data":{"GREETING":"Bonjour"}}'"#;
        self.kubectl(&format!("patch configmap {NAME} --patch {patch}")).await?;
        let changed = Instant::now();
        self.wait_for_objects("the change to arrive", |found| {
            found.greetings() == ["Bonjour"; WORKLOAD.len()]
        })
        .await?;
        let took = changed.elapsed();
        ensure!(
            took <= FILE_PROMISE,
            "the change took {took:?}, more than {FILE_PROMISE:?}"
        );
        self.screen.done(&format!(
            "both clusters have the change, after {:.2} s",
            took.as_secs_f32()
        ));
        Ok(())
    }

    pub(super) async fn fail_over(&mut self) -> Result<()> {
        let scaled = REGIONAL[0];
        self.screen
            .step(&format!("No pods in {US}: the name leads to the other region"));
        self.kubectl(&format!("scale deployment {scaled} --replicas=0")).await?;
        let took = self.wait_for_name(&[EU]).await?;
        ensure!(took <= PROMISE, "{US} was named for {took:?}, more than {PROMISE:?}");
        self.ask().await?;
        self.screen
            .done(&format!("{US} is no longer named, {:.1} s after", took.as_secs_f32()));
        self.kubectl(&format!("scale deployment {scaled} --replicas=4")).await?;
        let took = self.wait_for_name(&WORKLOAD).await?;
        self.wait_until("the pods to run again", |placement| placement.running(scaled, US) == 4)
            .await?;
        self.ask().await?;
        self.screen
            .done(&format!("and it is named again, {:.1} s after", took.as_secs_f32()));
        Ok(())
    }

    /// Wait until the name leads to these clusters, and no others. Returns how long that took.
    pub(super) async fn wait_for_name(&mut self, clusters: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        let Self {
            product,
            outside,
            screen,
        } = self;
        let mut last = String::new();
        let what = format!("{HOST} to lead to {clusters:?}");
        let named = eventually(&what, STEP, async || {
            product.source.agent.check()?;
            let mut named: Vec<_> = outside
                .answer()
                .await?
                .into_iter()
                .map(|(_, cluster)| cluster)
                .collect();
            named.dedup();
            last = if named.is_empty() {
                "nowhere".to_owned()
            } else {
                named.join(" and ")
            };
            screen.progress(&format!("{HOST} leads to {last}"));
            let all = clusters.iter().all(|cluster| named.contains(cluster));
            Ok((all && named.len() == clusters.len()).then_some(()))
        });
        named.await.with_context(|| format!("it leads to {last}"))?;
        Ok(start.elapsed())
    }

    /// Ask for the name as a user does, and show the answer.
    async fn ask(&mut self) -> Result<()> {
        self.screen.command(&self.outside.question());
        let answer = self.outside.answer().await?;
        let lines = answer
            .iter()
            .map(|(address, cluster)| format!("{:<15} # {cluster}", address.to_string()));
        let lines: Vec<_> = lines.collect();
        self.screen.lines(lines.iter().map(String::as_str));
        Ok(())
    }

    async fn wait_for_objects(&mut self, what: &str, is: impl Fn(&Found) -> bool) -> Result<Found> {
        let Self { product, screen, .. } = self;
        let mut last = String::new();
        let found = eventually(what, STEP, async || {
            for seat in product.seats() {
                seat.agent.check()?;
            }
            let found = Found::read(product).await?;
            screen.progress(what);
            last = found.table().lines(false).join("\n");
            Ok(is(&found).then_some(found))
        });
        found.await.with_context(|| format!("what is where:\n{last}"))
    }
}
