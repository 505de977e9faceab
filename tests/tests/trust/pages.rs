//! What the documentation tells people to write.

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::product::repository;

/// All YAML of a page, in its order, after these words have been replaced: what is in blocks of YAML, and what commands read
/// from a here-document.
pub fn objects(page: &str, words: &[(&str, &str)]) -> Result<Vec<Value>> {
    let path = repository().join("docs").join(page);
    let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for (word, instead) in words {
        anyhow::ensure!(text.contains(word), "{page} does not say {word}");
        text = text.replace(word, instead);
    }
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some((begin, end)) = next(rest) {
        let (yaml, after) = rest[begin..].split_once(end).with_context(|| format!("no {end:?}"))?;
        let yaml: Vec<Value> = serde_saphyr::from_multiple(yaml).with_context(|| yaml.to_owned())?;
        found.extend(yaml);
        rest = after;
    }
    Ok(found)
}

/// Where the next YAML begins, and what ends it.
fn next(text: &str) -> Option<(usize, &'static str)> {
    let begins = [("```yaml\n", "\n```"), ("<<EOF\n", "\nEOF")];
    let found = begins
        .iter()
        .filter_map(|(begin, end)| Some((text.find(begin)? + begin.len(), *end)));
    found.min_by_key(|(at, _)| *at)
}
