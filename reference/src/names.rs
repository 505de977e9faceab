//! Labels, annotations, taints and finalizers as Markdown, from the comments of the names themselves.

const SOURCE: &str = include_str!("../../api/src/names.rs");

/// What the comment of such a name begins with, and whether the objects stand before the first word.
const KINDS: [&str; 8] = [
    "Annotation of ",
    "Finalizer of ",
    "Label and annotation of ",
    "Label and taint of ",
    "Label of ",
    "Pod annotation",
    "Pod label",
    "Taint of ",
];

/// One name.
#[derive(Debug, PartialEq)]
struct Name {
    key: String,
    kind: String,
    of: String,
    meaning: String,
}

/// A table of them, sorted.
pub fn page() -> String {
    let mut names = names(SOURCE);
    names.sort_by(|a, b| (&a.key, &a.kind, &a.of).cmp(&(&b.key, &b.kind, &b.of)));
    let row = |name: &Name| format!("| `{}` | {} | {} | {} |\n", name.key, name.kind, name.of, name.meaning);
    let rows: String = names.iter().map(row).collect();
    format!("| name | what | of | meaning |\n|---|---|---|---|\n{rows}")
}

fn names(source: &str) -> Vec<Name> {
    let mut names = Vec::new();
    let mut comment = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push(text);
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let Some(declared) = line.strip_prefix("pub const ") else {
            continue;
        };
        // A long value stands on a line of its own.
        let value = declared.split_once('"').or_else(|| lines.next()?.split_once('"'));
        let key = value.and_then(|(_, rest)| rest.split_once('"')).map(|(key, _)| key);
        names.extend(key.and_then(|key| name(key, &comment)));
    }
    names
}

fn name(key: &str, comment: &str) -> Option<Name> {
    let kind = KINDS.into_iter().find(|kind| comment.starts_with(kind))?;
    let (head, meaning) = comment.split_once(": ")?;
    let (kind, of) = match kind.strip_prefix("Pod ") {
        Some(kind) => (kind.to_owned(), format!("pods{}", &head["Pod ".len() + kind.len()..])),
        None => (
            kind.trim_end_matches(" of ").to_lowercase(),
            head[kind.len()..].to_owned(),
        ),
    };
    Some(Name {
        key: key.to_owned(),
        kind,
        of,
        meaning: meaning.replace("[`", "`").replace("`]", "`").replace('|', "\\|"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_taken_apart() {
        let source = r#"
/// Pod annotation made by the webhook: the pod
/// as submitted: as YAML.
pub const A: &str =
    "example.com/a";
/// Label and taint of nodes: x | y, see [`B`].
pub const B: &str = "example.com/b";
/// Value of [`B`].
pub const C: &str = "c";
pub const D: i64 = 1;
"#;
        let name = |key: &str, kind: &str, of: &str, meaning: &str| Name {
            key: key.into(),
            kind: kind.into(),
            of: of.into(),
            meaning: meaning.into(),
        };
        assert_eq!(
            names(source),
            [
                name(
                    "example.com/a",
                    "annotation",
                    "pods made by the webhook",
                    "the pod as submitted: as YAML."
                ),
                name("example.com/b", "label and taint", "nodes", "x \\| y, see `B`."),
            ]
        );
    }

    #[test]
    fn each_of_our_keys_is_there() {
        let known = names(SOURCE);
        for line in SOURCE
            .lines()
            .filter(|line| line.contains("\"multicluster.admiralty.io/"))
        {
            let key = line.split('"').nth(1).unwrap();
            // Beginnings, and what is no key.
            let other = key.ends_with('/') || line.contains("KUBECONFIG_SECRET");
            assert!(other || known.iter().any(|name| name.key == key), "{line}");
        }
    }
}
