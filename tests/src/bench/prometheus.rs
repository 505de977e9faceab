//! Prometheus' text format, as far as counters ask for it.

use std::collections::BTreeMap;

/// One line: a metric with its labels and value.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    /// The labels.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// The value.
    pub value: f64,
}

impl Sample<'_> {
    /// A label's value; empty if it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).copied().unwrap_or_default()
    }
}

/// The samples of one metric. Lines that cannot be read are left out; label values are taken as written, escapes included.
pub fn samples<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = Sample<'a>> {
    text.lines().filter_map(move |line| sample(line.strip_prefix(metric)?))
}

/// What follows the name: `{labels} value` or ` value`, perhaps with a timestamp.
fn sample(rest: &str) -> Option<Sample<'_>> {
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest.strip_prefix(' ')?),
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample { labels, value })
}

/// The labels, and what follows the closing brace.
fn labels(mut rest: &str) -> Option<(BTreeMap<&str, &str>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let end = closing_quote(quoted)?;
        labels.insert(name, &quoted[..end]);
        rest = &quoted[end + 1..];
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP apiserver_request_total Counter of requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",resource="pods",verb="POST"} 12
apiserver_request_total{code="200",resource="a\"},b",verb="PUT",} 1.5e+03 1700000000
apiserver_request_total_other{code="1"} 3
apiserver_request_total 4
apiserver_request_total{code="broken} 5
apiserver_request_total{code="200"} many
"#;

    #[test]
    fn reads_what_is_well_formed() {
        let samples: Vec<_> = samples(TEXT, "apiserver_request_total").collect();
        let values: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [12.0, 1500.0, 4.0]);
        assert_eq!(samples[0].label("resource"), "pods");
        assert_eq!(samples[0].label("code"), "201");
        assert_eq!(samples[1].label("resource"), r#"a\"},b"#);
        assert_eq!(samples[2].label("verb"), "");
    }
}
