//! docs/metrics.md against what is shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use testbed::product::repository;

use super::exposed::Exposed;

/// Metrics are shown as documented, with these types and labels, and no others are.
pub fn check(exposed: &Exposed) -> Result<()> {
    let text = std::fs::read_to_string(repository().join("docs/metrics.md"))?;
    let documented: BTreeMap<_, _> = text.lines().filter_map(row).collect();
    ensure!(documented.len() > 50, "few metrics documented: {}", documented.len());
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
    let (documented_names, exposed_names) = (names(documented.keys().collect()), names(exposed.0.keys().collect()));
    let unknown: Vec<_> = documented_names.difference(&exposed_names).collect();
    ensure!(unknown.is_empty(), "documented, and not shown: {unknown:?}");
    let untold: Vec<_> = exposed_names.difference(&documented_names).collect();
    ensure!(untold.is_empty(), "shown, and not documented: {untold:?}");
    for (name, (kind, labels)) in &documented {
        let metric = &exposed.0[name];
        ensure!(
            (kind, labels) == (&metric.kind, &metric.labels),
            "{name} is documented as {kind} with labels {labels:?}, and is {} with {:?}",
            metric.kind,
            metric.labels
        );
    }
    Ok(())
}

/// Name, type and labels of a row of a table of metrics. What stands in brackets are values of a label.
fn row(line: &str) -> Option<(String, (String, BTreeSet<String>))> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.trim_matches('`').to_owned();
    let kind = cells
        .next()
        .filter(|kind| matches!(*kind, "counter" | "gauge" | "histogram"))?;
    let (mut labels, mut depth) = (String::new(), 0);
    for c in cells.next()?.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if depth == 0 => labels.push(c),
            _ => {}
        }
    }
    let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
    Some((
        name,
        (kind.to_owned(), labels.filter(|label| !label.is_empty()).collect()),
    ))
}
