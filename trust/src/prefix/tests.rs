//! What a prefix may be.

use super::*;

#[test]
fn a_prefix_ends_with_a_slash_or_a_colon() {
    let longest = "a".repeat(252) + "/";
    for text in ["spiffe://management/", "a:", "A_b.c-1/", "xsystem:", &longest] {
        assert_eq!(Prefix::parse(text).unwrap().as_str(), text);
    }
    let too_long = "a".repeat(253) + "/";
    for text in [
        "",
        ":",
        "/",
        "a",
        "a b/",
        "a\n/",
        "a/ ",
        "ä/",
        "a*/",
        "system:",
        "system:x:",
        "System:x/",
        "SYSTEM:",
        "system:serviceaccount:",
        "a%3a/",
        "a\0:",
        &too_long,
    ] {
        assert_eq!(Prefix::parse(text), Err(InvalidPrefix), "{text}");
    }
}

#[test]
fn prefixes_overlap_when_one_begins_with_the_other() {
    for (one, other, overlap) in [
        ("a:", "a:", true),
        ("a:", "a:b:", true),
        ("a/", "a/ns/b/id/", true),
        ("a:", "b:", false),
        ("a:", "ab:", false),
        ("a:", "a/", false),
        ("spiffe://a/", "spiffe://b/", false),
    ] {
        let (one, other) = (Prefix::parse(one).unwrap(), Prefix::parse(other).unwrap());
        assert_eq!(
            (one.overlaps(&other), other.overlaps(&one)),
            (overlap, overlap),
            "{one} {other}"
        );
    }
}
