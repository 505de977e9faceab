//! The chart's values, as their comments describe them.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A value of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name: `agent.dns.ttl`.
    pub name: String,
    /// What its comment says.
    pub comment: String,
    /// What it is unless given, as JSON; nothing for a group of values.
    pub default: Option<String>,
}

struct Line<'a> {
    indent: usize,
    name: String,
    comment: String,
    key: &'a str,
}

/// All values with their comments, in the order of the file. Each must have one, or be part of one that has.
pub fn described(yaml: &str) -> Result<Vec<Described>> {
    let defaults: Value = serde_saphyr::from_str(yaml).context("values.yaml")?;
    let lines = lines(yaml);
    let mut all = vec![];
    for (number, line) in lines.iter().enumerate() {
        let below = lines[number + 1..]
            .iter()
            .take_while(|other| other.indent > line.indent);
        let group = below.clone().any(|other| !other.comment.is_empty());
        let within = all
            .iter()
            .any(|value: &Described| value.default.is_some() && line.name.starts_with(&format!("{}.", value.name)));
        if line.comment.is_empty() {
            ensure!(group || within, "values.yaml: {} has no comment", line.name);
            continue;
        }
        let mut default = &defaults;
        for key in line.name.split('.') {
            match default.get(key) {
                Some(found) => default = found,
                None => bail!("values.yaml: {} is not found (no key {})", line.name, line.key),
            }
        }
        all.push(Described {
            name: line.name.clone(),
            comment: line.comment.clone(),
            default: (!group).then(|| default.to_string()),
        });
    }
    Ok(all)
}

/// The keys of the file's maps, with the comments right above them.
fn lines(yaml: &str) -> Vec<Line<'_>> {
    let (mut lines, mut path, mut comment) = (Vec::new(), Vec::<(usize, &str)>::new(), String::new());
    for text in yaml.lines() {
        let line = text.trim_start();
        let indent = text.len() - line.len();
        if let Some(words) = line.strip_prefix('#') {
            comment = format!("{comment} {}", words.trim()).trim().to_owned();
        } else if let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with('-')) {
            path.retain(|(other, _)| *other < indent);
            path.push((indent, key));
            let names: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
            let comment = std::mem::take(&mut comment);
            lines.push(Line {
                indent,
                name: names.join("."),
                comment,
                key,
            });
        } else {
            // A blank line: what was said before it is about nothing in particular. Items of lists have no names.
            comment.clear();
        }
    }
    // Keys in the items of a list are below it, but not values by themselves.
    lines
}

/// The page for people.
pub fn page(values: &[Described]) -> String {
    let mut page = "# Values of the chart\n\n\
        <!-- Generated from manifests/chart/values.yaml: change it there and run `make manifests`. -->\n\n\
        `helm install --set NAME=VALUE`, or a file with `--values`. What cannot work is refused with the value's name.\n"
        .to_owned();
    let mut section = "";
    for value in values {
        let first = value.name.split('.').next().unwrap_or_default();
        if first != section {
            section = first;
            let _ = write!(page, "\n## {section}\n\n| value | default | meaning |\n|---|---|---|\n");
        }
        let default = value
            .default
            .as_ref()
            .map(|default| format!("`{default}`"))
            .unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{}` | {default} | {} |",
            value.name,
            value.comment.replace('|', "\\|")
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(yaml: &str) -> Vec<(String, Option<String>)> {
        let values = described(yaml).unwrap();
        values.into_iter().map(|value| (value.name, value.default)).collect()
    }

    #[test]
    fn comments_describe_what_is_below_them() {
        let yaml = "# One.\na: 1\n\n# Two\n# lines.\nb:\n  # Three.\n  c: {}\n";
        let values = described(yaml).unwrap();
        assert_eq!(values[1].comment, "Two lines.");
        assert_eq!(
            names(yaml),
            [
                ("a".into(), Some("1".into())),
                ("b".into(), None),
                ("b.c".into(), Some("{}".into()))
            ]
        );
    }

    #[test]
    fn what_belongs_to_a_value_needs_no_comment_of_its_own() {
        let yaml = "# Room.\na:\n  b:\n    c: 1m\n";
        assert_eq!(names(yaml), [("a".into(), Some(r#"{"b":{"c":"1m"}}"#.into()))]);
    }

    #[test]
    fn a_value_without_a_comment_is_an_error() {
        let error = described("# One.\na: 1\nb: 2\n").unwrap_err();
        assert!(error.to_string().contains("b has no comment"), "{error}");
    }
}
