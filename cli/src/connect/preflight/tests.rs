use super::*;
use crate::facts::Program;
use crate::installed;

const KINDS: [&str; 8] = [
    "targets",
    "clustertargets",
    "kubeconfigs",
    "sources",
    "clustersources",
    "trustedidentityproviders",
    "podchaperons",
    "clustersummaries",
];

fn cluster(context: &str, roles: &str) -> Facts {
    let env = [(installed::ROLES.to_owned(), roles.to_owned())].into();
    let agent = Program {
        env,
        ..Program::default()
    };
    Facts {
        context: context.into(),
        server: format!("https://{context}.example.com"),
        version: Some(Version { major: 1, minor: 36 }),
        id: Some(format!("uid-of-{context}")),
        kinds: KINDS.map(str::to_owned).into(),
        webhook: Some(roles.contains("source")),
        deployments: Some([(installed::AGENT.to_owned(), agent)].into()),
        summary: Some(roles.contains("target").then(|| "0.1.0".into())),
    }
}

fn nothing(context: &str) -> Facts {
    Facts {
        kinds: [].into(),
        deployments: Some([].into()),
        summary: Some(None),
        ..cluster(context, "")
    }
}

#[test]
fn a_source_and_a_target_can_be_connected() {
    for (source, target) in [
        ("source", "target"),
        ("source,target", "source,target"),
        ("source", "source,target"),
    ] {
        assert_eq!(judge(&cluster("a", source), &cluster("b", target)), Verdict::default());
    }
}

#[test]
fn swapped_contexts_are_told_which_is_which() {
    let verdict = judge(&cluster("eu", "target"), &cluster("management", "source"));
    let [problem] = &verdict.problems[..] else {
        panic!("{verdict:?}");
    };
    assert!(
        problem.contains("swapped") && problem.ends_with("Write --source management --target eu"),
        "{problem}"
    );
}

#[test]
fn one_cluster_by_two_names_is_its_own_target() {
    let (one, mut other) = (cluster("a", "source,target"), cluster("b", "source,target"));
    other.id = one.id.clone();
    let verdict = judge(&one, &other);
    assert!(
        verdict.problems[0].contains("same cluster") && verdict.problems[0].contains("self: true"),
        "{verdict:?}"
    );
}

#[test]
fn a_cluster_without_the_product_is_named() {
    let verdict = judge(&cluster("a", "source"), &nothing("b"));
    assert!(verdict.problems[0].starts_with("b cannot be the target"), "{verdict:?}");
    let verdict = judge(&nothing("a"), &cluster("b", "target"));
    assert!(verdict.problems[0].starts_with("a cannot be the source"), "{verdict:?}");
}

#[test]
fn what_may_not_be_read_is_no_problem_yet() {
    let unknown = Facts {
        webhook: None,
        deployments: None,
        summary: None,
        ..cluster("b", "target")
    };
    let verdict = judge(&cluster("a", "source"), &unknown);
    assert!(
        verdict.problems.is_empty() && verdict.warnings.len() == 1,
        "{verdict:?}"
    );
}

#[test]
fn old_clusters_and_missing_definitions_are_named() {
    let mut old = cluster("a", "source");
    old.version = Some(Version { major: 1, minor: 29 });
    old.kinds.remove("kubeconfigs");
    let problems = judge(&old, &cluster("b", "target")).problems;
    assert!(
        problems[0].contains("kubeconfigs") && problems[1].contains("1.29"),
        "{problems:?}"
    );
}

#[test]
fn a_remote_source_cannot_use_an_address_of_this_machine() {
    for (source, server, problems, warnings) in [
        ("https://a.example.com", "https://127.0.0.1:6443", 1, 0),
        ("https://a.example.com", "https://localhost:6443", 1, 0),
        ("https://a.example.com", "https://[::1]:6443", 1, 0),
        ("https://127.0.0.1:1", "https://127.0.0.1:6443", 0, 1),
        ("https://127.0.0.1:1", "https://10.0.0.1:6443", 0, 0),
        ("https://a.example.com", "https://b.example.com", 0, 0),
    ] {
        let mut verdict = Verdict::default();
        verdict.server(source, server);
        assert_eq!(
            (verdict.problems.len(), verdict.warnings.len()),
            (problems, warnings),
            "{source} {server}"
        );
    }
}
