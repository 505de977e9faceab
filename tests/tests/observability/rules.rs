//! The alert rules and the dashboard against what is shown.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};
use promql_parser::parser::{self, Expr, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;
use testbed::product::repository;

use super::exposed::Exposed;

/// Labels that Prometheus adds to what it scrapes.
const SCRAPED: [&str; 5] = ["job", "instance", "pod", "namespace", "container"];

/// All expressions are PromQL, of metrics and labels that there are.
pub fn check(exposed: &Exposed) -> Result<()> {
    let expressions = [rules()?, dashboard()?].concat();
    ensure!(expressions.len() > 30, "few expressions: {}", expressions.len());
    for (place, expression) in expressions {
        check_expression(exposed, &expression).with_context(|| format!("{place}: {expression}"))?;
    }
    Ok(())
}

/// Each alert says what it is, and what to do.
pub fn check_runbooks() -> Result<()> {
    let runbooks = std::fs::read_to_string(repository().join("docs/operations.md"))?;
    for rule in rule_objects()? {
        let name = rule["alert"].as_str().context("a rule without a name")?;
        for key in ["summary", "description"] {
            ensure!(rule["annotations"][key].is_string(), "{name} has no {key}");
        }
        ensure!(rule["labels"]["severity"].is_string(), "{name} has no severity");
        let link = format!("docs/operations.md#{}", name.to_lowercase());
        ensure!(
            rule["annotations"]["runbook_url"] == link.as_str(),
            "{name}: no link to {link}"
        );
        ensure!(runbooks.contains(&format!("### {name}\n")), "no runbook of {name}");
    }
    Ok(())
}

fn rule_objects() -> Result<Vec<Value>> {
    let path = repository().join("manifests/monitoring/prometheus-rule.yaml");
    let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
    let groups = object["spec"]["groups"].as_array().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    Ok(rules.flatten().cloned().collect())
}

fn rules() -> Result<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = rule_objects()?;
    Ok(rules
        .iter()
        .map(|rule| (text(&rule["alert"]), text(&rule["expr"])))
        .collect())
}

fn dashboard() -> Result<Vec<(String, String)>> {
    let path = repository().join("manifests/monitoring/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut all = vec![];
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("a target without an expression")?;
            let title = panel["title"].as_str().unwrap_or_default().to_owned();
            all.push((title, expression.replace("$__rate_interval", "5m")));
        }
    }
    Ok(all)
}

fn check_expression(exposed: &Exposed, expression: &str) -> Result<()> {
    let parsed = parser::parse(expression).map_err(|error| anyhow!(error))?;
    let mut names = Names::default();
    walk_expr(&mut names, &parsed).map_err(|never| match never {})?;
    ensure!(!names.metrics.is_empty(), "no metric");
    let mut labels: BTreeSet<String> = SCRAPED.iter().map(|label| (*label).to_owned()).collect();
    for (name, matchers) in names.metrics {
        let metric = exposed.of_sample(&name).with_context(|| format!("no metric {name}"))?;
        let mut own = metric.labels.clone();
        if name.ends_with("_bucket") {
            own.insert("le".into());
        }
        for (label, value) in matchers {
            let known = own.contains(&label) || SCRAPED.contains(&label.as_str());
            ensure!(known, "{name} has no label {label}");
            let bound = label != "le" || metric.bounds.contains(&value);
            ensure!(bound, "{name} has no bound {value}: {:?}", metric.bounds);
        }
        labels.extend(own);
    }
    let unknown: Vec<_> = names.grouped.difference(&labels).collect();
    ensure!(unknown.is_empty(), "grouped by {unknown:?}");
    Ok(())
}

#[derive(Default)]
struct Names {
    /// Metrics with the labels that are asked for, and their values.
    metrics: Vec<(String, Vec<(String, String)>)>,
    /// Labels that results are grouped by.
    grouped: BTreeSet<String>,
}

impl ExprVisitor for Names {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        let selector = match expression {
            Expr::VectorSelector(selector) => Some(selector),
            Expr::MatrixSelector(matrix) => Some(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                let modifier: Option<&LabelModifier> = aggregate.modifier.as_ref();
                let labels = modifier
                    .into_iter()
                    .flat_map(|modifier| modifier.labels().labels.clone());
                self.grouped.extend(labels);
                None
            }
            _ => None,
        };
        if let Some(selector) = selector {
            let matchers = selector.matchers.matchers.iter();
            let matchers = matchers.map(|matcher| (matcher.name.clone(), matcher.value.clone()));
            self.metrics
                .push((selector.name.clone().unwrap_or_default(), matchers.collect()));
        }
        Ok(true)
    }
}
