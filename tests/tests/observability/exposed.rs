//! What `/metrics` of all components shows, joined.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// A metric as the documentation names it.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// counter, gauge or histogram.
    pub kind: String,
    /// Names of its labels, `le` left out.
    pub labels: BTreeSet<String>,
    /// Bounds of a histogram.
    pub bounds: BTreeSet<String>,
    /// Values of all series that are no histogram's.
    pub values: Vec<(BTreeMap<String, String>, f64)>,
}

/// Metrics by name.
#[derive(Clone, Debug, Default)]
pub struct Exposed(pub BTreeMap<String, Metric>);

impl Exposed {
    /// Add what a component shows.
    pub fn read(&mut self, text: &str) -> Result<()> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (base, kind) = rest.split_once(' ').context("a TYPE line")?;
                let (name, kind) = match kind {
                    "counter" => (format!("{base}_total"), "counter"),
                    "info" => (format!("{base}_info"), "gauge"),
                    kind => (base.to_owned(), kind),
                };
                self.0.entry(name.clone()).or_default().kind = kind.to_owned();
                if kind == "histogram" {
                    for suffix in ["_bucket", "_sum", "_count"] {
                        names.insert(format!("{name}{suffix}"), name.clone());
                    }
                }
                names.insert(name.clone(), name);
            } else if !line.starts_with('#') {
                let (sample, labels, value) = parse(line).with_context(|| line.to_owned())?;
                let name = names.get(&sample).with_context(|| format!("no TYPE of {sample}"))?;
                let metric = self.0.entry(name.clone()).or_default();
                metric.bounds.extend(labels.get("le").cloned());
                metric
                    .labels
                    .extend(labels.keys().filter(|label| *label != "le").cloned());
                if metric.kind != "histogram" || sample.ends_with("_count") {
                    metric.values.push((labels, value));
                }
            }
        }
        Ok(())
    }

    /// The metric that a sample's name in PromQL belongs to.
    pub fn of_sample(&self, sample: &str) -> Option<&Metric> {
        let histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| self.0.get(sample.strip_suffix(suffix)?))
            .find(|metric| metric.kind == "histogram");
        histogram.or_else(|| self.0.get(sample).filter(|metric| metric.kind != "histogram"))
    }

    /// Sum of the series of a metric that have these labels; a histogram's counts.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &BTreeMap<String, String>| {
            labels
                .iter()
                .all(|(key, value)| series.get(*key).is_some_and(|v| v == value))
        };
        let values = self
            .0
            .get(name)
            .map(|metric| metric.values.as_slice())
            .unwrap_or_default();
        values
            .iter()
            .filter(|(series, _)| has(series))
            .map(|(_, value)| value)
            .sum()
    }
}

/// Name, labels and value of a line.
fn parse(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        let (inner, after) = inner.rsplit_once('}')?;
        for pair in inner.split("\",") {
            let (key, value) = pair.split_once("=\"")?;
            labels.insert(key.to_owned(), value.trim_end_matches('"').to_owned());
        }
        rest = after;
    }
    Some((name.to_owned(), labels, rest.trim().parse().ok()?))
}
