//! What must be true of one snapshot when all is quiet.

use std::collections::BTreeMap;

use super::super::Kind;
use super::super::history::{Delegate, Snapshot, Source, Target, Workload};
use super::super::schedule::TARGETS;

/// Why the clusters are not at rest as desired, by workload or node; empty when they are. A snapshot in which a cluster
/// is missing is not.
pub fn unsettled(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut why = BTreeMap::new();
    let Some(source) = &snapshot.source else {
        return [("source".to_owned(), "does not answer".to_owned())].into();
    };
    let mut targets = Vec::new();
    for (index, target) in snapshot.targets.iter().enumerate() {
        match target {
            Some(read) => targets.push(&read.seen),
            None => drop(why.insert(TARGETS[index].to_owned(), "does not answer".to_owned())),
        }
    }
    for (node, ready) in &source.seen.nodes {
        if !ready {
            why.insert(node.clone(), "is not Ready".to_owned());
        }
    }
    for workload in &source.seen.workloads {
        if let Some(reason) = short(workload, &source.seen, &targets) {
            why.insert(workload.name.clone(), reason);
        }
    }
    why
}

fn short(workload: &Workload, source: &Source, targets: &[&Target]) -> Option<String> {
    let desired = workload.desired;
    match workload.actual {
        None => return Some("its controller has not seen it".to_owned()),
        Some(actual) if actual != desired => return Some(format!("{actual} of {desired} pods")),
        Some(_) => {}
    }
    if Kind::of(&workload.name) == Some(Kind::Job) {
        return None;
    }
    // A controller believes what proxy pods show.
    let own = |uid: &str| {
        let mut pods = source
            .pods
            .iter()
            .filter(|pod| pod.workload == workload.name && !pod.deleting);
        pods.any(|pod| pod.uid == uid)
    };
    let runs = |delegate: &&Delegate| delegate.status.runs() && !delegate.deleting && own(&delegate.parent_uid);
    let running = targets.iter().flat_map(|target| &target.delegates).filter(runs).count();
    (running != desired).then(|| format!("{running} delegates of {desired} run"))
}

/// What is there although all workloads are deleted.
pub fn left_over(snapshot: &Snapshot) -> Vec<String> {
    let mut left = Vec::new();
    match &snapshot.source {
        None => left.push("the source does not answer".to_owned()),
        Some(source) => {
            left.extend(source.seen.workloads.iter().map(|workload| workload.name.clone()));
            left.extend(
                source
                    .seen
                    .pods
                    .iter()
                    .map(|pod| format!("proxy pod {} ({})", pod.name, pod.uid)),
            );
        }
    }
    for (target, read) in TARGETS.iter().zip(&snapshot.targets) {
        match read {
            None => left.push(format!("{target} does not answer")),
            Some(read) => {
                let delegates = read.seen.delegates.iter();
                left.extend(delegates.map(|delegate| format!("delegate of {} in {target}", delegate.parent_name)));
                left.extend(
                    read.seen
                        .chaperons
                        .iter()
                        .map(|name| format!("chaperon {name} in {target}")),
                );
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::super::testing::{delegate, pod, s, snapshot};
    use super::*;

    fn world(actual: Option<usize>, delegates: Vec<Delegate>) -> Snapshot {
        let mut snapshot = snapshot(s(0), vec![pod("p")], [delegates, vec![]]);
        let source = snapshot.source.as_mut().unwrap();
        source.seen.workloads = vec![Workload {
            name: "deployment-0".into(),
            desired: 1,
            actual,
        }];
        source.seen.nodes = [("node".to_owned(), true)].into();
        snapshot
    }

    #[test]
    fn all_is_as_desired_or_it_says_why() {
        let well = world(Some(1), vec![delegate("d", "p")]);
        assert_eq!(unsettled(&well), BTreeMap::new());
        let mut silent = well.clone();
        silent.targets[1] = None;
        let mut not_ready = well;
        not_ready.source.as_mut().unwrap().seen.nodes = [("node".to_owned(), false)].into();
        let ill = [
            (world(Some(0), vec![]), "deployment-0"),
            (world(None, vec![delegate("d", "p")]), "deployment-0"),
            (world(Some(1), vec![]), "deployment-0"),
            (world(Some(1), vec![delegate("d", "another")]), "deployment-0"),
            (silent, "eu"),
            (not_ready, "node"),
            (Snapshot::default(), "source"),
        ];
        for (snapshot, who) in ill {
            assert_eq!(unsettled(&snapshot).keys().collect::<Vec<_>>(), [who]);
        }
    }

    #[test]
    fn what_is_left_is_named() {
        assert_eq!(
            left_over(&snapshot(s(0), vec![], [vec![], vec![]])),
            Vec::<String>::new()
        );
        assert_eq!(
            left_over(&world(Some(1), vec![delegate("d", "p")])),
            ["deployment-0", "proxy pod web (p)", "delegate of web in us"]
        );
        assert!(!left_over(&Snapshot::default()).is_empty());
    }
}
