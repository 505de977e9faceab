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

impl Sort {
    fn is_counted(&self) -> bool {
        VERBS.contains(&self.verb.as_str()) && !EXCLUDED.contains(&self.resource.as_str())
    }
}

/// How many requests of each sort, also of those that do not count: they explain where the time goes.
#[derive(Clone, Debug, Default)]
pub struct Requests(BTreeMap<Sort, f64>);

impl Requests {
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

    /// Samples that differ in other labels alone are of one sort.
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

    /// How many changed something; neither leases nor events.
    pub fn writes(&self) -> f64 {
        self.of(true).map(|(_, count)| count).sum()
    }

    fn of(&self, counted: bool) -> impl Iterator<Item = (&Sort, f64)> {
        let all = self.0.iter().map(|(sort, count)| (sort, *count));
        all.filter(move |(sort, _)| sort.is_counted() == counted)
    }

    /// Those per pod, by cluster, resource, verb and code, the most frequent first.
    pub fn table(&self, pods: usize) -> String {
        let mut table = format!("{:>8}  {:>8}  what\n", "count", "per pod");
        let mut row = |count: f64, what: &str| {
            table += &format!("{count:>8}  {:>8.3}  {what}\n", count / pods as f64);
        };
        for counted in [true, false] {
            let mut rows: Vec<_> = self.of(counted).collect();
            rows.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (sort, count) in &rows {
                let Sort {
                    cluster,
                    resource,
                    verb,
                    code,
                } = sort;
                row(*count, &format!("{cluster}: {verb} {resource} ({code})"));
            }
            let all = if counted {
                "all writes"
            } else {
                "all else: reads, leases, events"
            };
            row(rows.iter().map(|(_, count)| count).sum(), all);
        }
        table
    }
}

fn counts(cluster: &str, metrics: &str) -> Vec<(Sort, f64)> {
    samples(metrics, "apiserver_request_total")
        // Watches are counted when they end, which says nothing about now.
        .filter(|sample| sample.label("verb") != "WATCH" && !sample.label("resource").is_empty())
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
    fn changes_count_and_all_else_is_told() {
        let requests = |text: &str| Requests(counts("source", text).into_iter().collect());
        let before = requests(BEFORE);
        assert_eq!(before.writes(), 17.0);
        let after = requests(&BEFORE.replace("} 10\n", "} 30\n").replace("} 100\n", "} 105\n"));
        let new = after.since(&before);
        assert_eq!(new.writes(), 20.0);
        let table = new.table(10);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "      20     2.000  source: POST pods (201)");
        assert_eq!(lines[2], "      20     2.000  all writes");
        assert_eq!(lines[6], "      15     1.500  all else: reads, leases, events");
    }
}
