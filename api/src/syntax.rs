//! Kubernetes' rules for keys and values, as the API server checks them.
//!
//! One label that it does not accept makes it refuse the whole object. What comes from another cluster is held against
//! these rules first, so that one bad value costs that value and nothing else.
//!
//! Follows k8s.io/apimachinery/pkg/util/validation.

/// Longest prefix of a key, a DNS subdomain.
const MAX_PREFIX: usize = 253;
/// Longest name part of a key, and longest value of a label.
const MAX_NAME: usize = 63;

/// A key of a label, or the name of a resource (`IsQualifiedName`): a name, with a DNS subdomain and a slash before it if
/// need be.
pub fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

/// A key of an annotation: as that of a label, but upper case letters may be in the prefix too.
pub fn is_annotation_key(key: &str) -> bool {
    is_qualified_name(&key.to_ascii_lowercase())
}

/// A value of a label (`IsValidLabelValue`); it may be empty.
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Is the key's prefix this domain, or one below it?
pub fn is_in_domain(key: &str, domain: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else {
        return false;
    };
    let prefix = prefix.to_ascii_lowercase();
    prefix
        .strip_suffix(domain)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// The name of most objects (`IsDNS1123Subdomain`). What is no such name goes into no request's path.
pub fn is_subdomain(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-');
    text.len() <= MAX_PREFIX && text.split('.').all(is_part)
}

fn is_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    text.len() <= MAX_NAME
        && bytes.iter().copied().all(inner)
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_name_with_or_without_a_prefix() {
        let (longest, prefix) = ("n".repeat(63), "p".repeat(253));
        for key in ["a", "A_b.c-1", "a.b/c", &longest, &format!("{prefix}/{longest}")] {
            assert!(is_qualified_name(key) && is_annotation_key(key), "{key}");
        }
        let (too_long, long_prefix) = ("n".repeat(64), format!("{prefix}p/a"));
        for key in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "-a",
            "a-",
            "a b",
            "a,b",
            "a\0",
            "ä",
            "a..b/c",
            "-a/b",
            "a_b/c",
            &too_long,
            &long_prefix,
        ] {
            assert!(!is_qualified_name(key), "{key}");
        }
        assert!(!is_qualified_name("Example.com/a") && is_annotation_key("Example.com/a"));
    }

    #[test]
    fn values_are_names_or_empty() {
        assert!(is_label_value("") && is_label_value("A_b.c-1") && is_label_value(&"v".repeat(63)));
        for value in ["-", "a b", "a/b", "ä", "a\n", &"v".repeat(64)] {
            assert!(!is_label_value(value), "{value}");
        }
    }

    #[test]
    fn a_domain_has_others_below_it() {
        for (key, within) in [
            ("kubernetes.io/a", true),
            ("node.kubernetes.io/a", true),
            ("Kubernetes.IO/a", true),
            ("notkubernetes.io/a", false),
            ("kubernetes.io.example.com/a", false),
            ("kubernetes.io", false),
        ] {
            assert_eq!(is_in_domain(key, "kubernetes.io"), within, "{key}");
        }
    }
}
