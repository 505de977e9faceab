//! Requests that change something, as the API servers themselves count them.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::future::try_join_all;

use super::prometheus::samples;
use crate::Cluster;

/// What API servers call requests that change something.
const VERBS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION"];
/// Leases are renewed over time, not for pods; events are told to people, and are rate-limited.
const EXCLUDED: [&str; 2] = ["leases", "events"];

/// Requests of one sort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    cluster: String,
    resource: String,
    verb: String,
    code: String,
}

/// How many of each sort.
#[derive(Clone, Debug, Default)]
pub struct Writes(BTreeMap<Sort, f64>);

impl Writes {
    /// As counted so far.
    pub async fn now(clusters: impl IntoIterator<Item = &Cluster>) -> Result<Self> {
        let counts = clusters.into_iter().map(async |cluster| {
            let text = cluster.metrics().await?;
            anyhow::Ok(counts(cluster.name(), &text))
        });
        let mut all = Self::default();
        for counts in try_join_all(counts).await? {
            all.add(counts);
        }
        Ok(all)
    }

    fn add(&mut self, counts: impl IntoIterator<Item = (Sort, f64)>) {
        for (sort, count) in counts {
            *self.0.entry(sort).or_default() += count;
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let new = self.0.iter().map(|(sort, count)| {
            let before = before.0.get(sort).copied().unwrap_or_default();
            (sort.clone(), count - before)
        });
        Self(new.filter(|(_, count)| *count > 0.0).collect())
    }

    /// All of them.
    pub fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// Those per pod, by cluster, resource, verb and code, the most frequent first.
    pub fn table(&self, pods: usize) -> String {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by(|a, b| b.1.total_cmp(a.1));
        let mut table = format!("{:>8}  {:>8}  what\n", "count", "per pod");
        let mut row = |count: f64, what: &str| {
            table += &format!("{count:>8}  {:>8.3}  {what}\n", count / pods as f64);
        };
        for (sort, count) in rows {
            let Sort {
                cluster,
                resource,
                verb,
                code,
            } = sort;
            row(*count, &format!("{cluster}: {verb} {resource} ({code})"));
        }
        row(self.total(), "all");
        table
    }
}

fn counts(cluster: &str, metrics: &str) -> Vec<(Sort, f64)> {
    samples(metrics, "apiserver_request_total")
        .filter(|sample| VERBS.contains(&sample.label("verb")) && !EXCLUDED.contains(&sample.label("resource")))
        .map(|sample| {
            let parts = [sample.label("resource"), sample.label("subresource")];
            let sort = Sort {
                cluster: cluster.to_owned(),
                resource: parts.join("/").trim_end_matches('/').to_owned(),
                verb: sample.label("verb").to_owned(),
                code: sample.label("code").to_owned(),
            };
            (sort, sample.value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
apiserver_request_total{code="201",group="",resource="pods",subresource="",verb="POST",version="v1"} 10
apiserver_request_total{code="200",group="",resource="pods",subresource="status",verb="PATCH",version="v1"} 7
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",subresource="",verb="PUT"} 100
apiserver_request_total{code="201",group="",resource="events",subresource="",verb="POST"} 100
apiserver_request_total{code="200",group="",resource="pods",subresource="",verb="LIST"} 100
"#;

    #[test]
    fn changes_are_counted_and_reads_are_not() {
        let writes = |text: &str| Writes(counts("source", text).into_iter().collect());
        let before = writes(BEFORE);
        assert_eq!(before.total(), 17.0);
        let after = writes(&BEFORE.replace("} 10\n", "} 30\n").replace("} 100\n", "} 900\n"));
        let new = after.since(&before);
        assert_eq!(new.total(), 20.0);
        assert_eq!(
            new.table(10),
            "   count   per pod  what\n      20     2.000  source: POST pods (201)\n      20     2.000  all\n"
        );
    }
}
