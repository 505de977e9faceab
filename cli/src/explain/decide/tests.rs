use multicluster_api::TargetRef;
use multicluster_api::target::Access;
use serde_json::{Value, json};

use super::*;

fn pod(edit: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web", "namespace": "default",
            "labels": { names::HAS_FINALIZER: "true" },
            "annotations": { names::ELECT: "", names::SOURCE_POD_MANIFEST: "{}" },
        },
        "spec": {
            "schedulerName": "admiralty-proxy",
            "nodeSelector": { names::PROVIDER: names::PROVIDER_VALUE },
            "tolerations": [{ "key": names::PROVIDER, "value": names::PROVIDER_VALUE }],
            "containers": [{ "name": "main", "resources": { "requests": { "cpu": "1" } } }],
        },
    });
    edit(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn target(reference: TargetRef, ready: bool) -> AnyTarget {
    let status = json!({ "conditions": [{
        "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "APIServerUnreachable",
        "message": "no answer", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    AnyTarget {
        target: reference,
        uid: "1".into(),
        generation: 1,
        access: Access::SelfCluster,
        excluded_labels_regexp: None,
        network: String::new(),
        status: serde_json::from_value(status).unwrap(),
    }
}

fn node(reference: &TargetRef, edit: impl FnOnce(&mut Value)) -> Node {
    let mut node = json!({
        "metadata": {
            "name": reference.virtual_node().as_str(),
            "labels": { names::PROVIDER: names::PROVIDER_VALUE, "region": "eu" },
        },
        "spec": { "taints": [{ "key": names::PROVIDER, "value": names::PROVIDER_VALUE, "effect": "NoSchedule" }] },
        "status": { "allocatable": { "cpu": "8", "memory": "8Gi", "pods": "10" } },
    });
    edit(&mut node);
    serde_json::from_value(node).unwrap()
}

/// A pod, and a target that takes it.
fn world(edit: impl FnOnce(&mut Value)) -> Evidence {
    let eu = TargetRef::namespaced("default", "eu");
    Evidence {
        context: "management".into(),
        pod: pod(edit),
        served: true,
        nodes: vec![node(&eu, |_| {})],
        targets: vec![target(eu, true)],
        ..Evidence::default()
    }
}

fn failed_scheduling() -> Event {
    serde_json::from_value(json!({
        "metadata": {}, "involvedObject": {}, "reason": "FailedScheduling", "message": "0/1 nodes are available",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

#[test]
fn a_pod_that_nobody_elected_is_ordinary() {
    let explanation = explain(&world(|pod| {
        pod["metadata"] = json!({ "name": "web", "namespace": "default" })
    }));
    assert_eq!(explanation.state, State::NotElected);
    assert!(explanation.advice[0].contains(names::ELECT));
}

#[test]
fn an_elected_pod_of_a_namespace_that_is_not_served_is_ordinary_too() {
    let unseen = |pod: &mut Value| {
        pod["metadata"]["labels"] = json!({});
        pod["metadata"]["annotations"] = json!({ names::ELECT: "" });
    };
    let explanation = explain(&Evidence {
        served: false,
        ..world(unseen)
    });
    assert_eq!(explanation.state, State::NotReviewed);
    assert!(explanation.advice[0].contains("label namespace default multicluster-scheduler=enabled"));
    let explanation = explain(&world(unseen));
    assert!(explanation.summary.contains("created before") && explanation.advice[0].contains("check"));
}

#[test]
fn without_targets_there_is_nowhere_to_go() {
    let explanation = explain(&Evidence {
        targets: vec![],
        nodes: vec![],
        ..world(|_| {})
    });
    assert!(
        explanation.summary.contains("no Target serves namespace default"),
        "{explanation:?}"
    );
    let elsewhere = target(TargetRef::namespaced("elsewhere", "us"), true);
    let explanation = explain(&Evidence {
        targets: vec![elsewhere],
        ..world(|_| {})
    });
    assert!(explanation.summary.contains("no Target serves"), "{explanation:?}");
    assert_eq!(explanation.targets[0].reasons, ["it serves namespace elsewhere alone"]);
}

#[test]
fn each_target_says_why_it_does_not_take_the_pod() {
    let eu = TargetRef::namespaced("default", "eu");
    let why = |pod: fn(&mut Value), node_edit: fn(&mut Value)| {
        let explanation = explain(&Evidence {
            nodes: vec![node(&eu, node_edit)],
            ..world(pod)
        });
        assert_eq!(explanation.state, State::Pending);
        explanation.targets[0].reasons.join("; ")
    };
    let nothing: fn(&mut Value) = |_| {};
    assert_eq!(why(nothing, nothing), "");
    assert!(why(|pod| pod["spec"]["nodeSelector"]["region"] = json!("us"), nothing).contains("region=us"));
    assert!(why(|pod| pod["spec"]["tolerations"] = json!([]), nothing).contains("taint virtual-kubelet.io/provider"));
    assert!(why(nothing, |node| node["spec"]["unschedulable"] = json!(true)).contains("cordoned"));
    let large: fn(&mut Value) = |pod| pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("9");
    assert!(why(large, nothing).contains("less cpu"));
    let affinity: fn(&mut Value) = |pod| {
        let terms = json!([{ "matchExpressions": [{ "key": "region", "operator": "NotIn", "values": ["eu"] }] }]);
        pod["spec"]["affinity"] = json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } });
    };
    assert!(why(affinity, nothing).contains("node affinity"));
}

#[test]
fn a_target_that_is_not_ready_says_why() {
    let eu = TargetRef::namespaced("default", "eu");
    let explanation = explain(&Evidence {
        targets: vec![target(eu, false)],
        ..world(|_| {})
    });
    assert_eq!(
        explanation.targets[0].reasons,
        ["not Ready: APIServerUnreachable, no answer"]
    );
    assert!(
        explanation
            .advice
            .iter()
            .any(|advice| advice.contains("describe node admiralty-default-eu"))
    );
}

#[test]
fn a_scheduler_that_says_nothing_is_told_from_one_that_refuses() {
    let explanation = explain(&world(|_| {}));
    assert!(
        explanation.summary.contains("admiralty-proxy has said nothing"),
        "{explanation:?}"
    );
    let explanation = explain(&Evidence {
        events: vec![failed_scheduling()],
        ..world(|_| {})
    });
    assert!(explanation.summary.contains("no room"), "{explanation:?}");
    assert_eq!(explanation.events[0].reason, "FailedScheduling");
}

#[test]
fn a_placed_pod_says_where_it_runs() {
    let on_node = |pod: &mut Value| {
        pod["spec"]["nodeName"] = json!("admiralty-default-eu");
        pod["status"] = json!({ "phase": "Running" });
    };
    let explanation = explain(&world(on_node));
    assert_eq!(
        (explanation.state, explanation.virtual_node.as_deref()),
        (State::Placed, Some("admiralty-default-eu"))
    );
    let eu = TargetRef::namespaced("default", "eu");
    let explanation = explain(&Evidence {
        targets: vec![target(eu, false)],
        ..world(on_node)
    });
    assert_eq!(explanation.state, State::PlacedUnreachable);
    let chaperon = json!({
        "apiVersion": "a/v1", "kind": "PodChaperon", "metadata": { "name": "web-1" }, "spec": {},
        "status": { "phase": "Running", "delegate": { "uid": "1", "nodeName": "n" } },
    });
    let chaperon = Some(Some(serde_json::from_value(chaperon).unwrap()));
    let delegate = explain(&Evidence {
        chaperon,
        ..world(on_node)
    })
    .delegate
    .unwrap();
    assert_eq!((delegate.node.as_str(), delegate.phase.as_str()), ("n", "Running"));
}

#[test]
fn a_pod_that_is_going_says_what_holds_it() {
    let explanation = explain(&world(|pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["finalizers"] = json!([names::FINALIZER]);
    }));
    assert_eq!(explanation.state, State::Ending);
    assert!(
        explanation.summary.contains("held until its delegate"),
        "{explanation:?}"
    );
}

#[test]
fn gates_and_what_must_not_run_twice_are_told() {
    let explanation = explain(&world(|pod| {
        pod["spec"]["schedulingGates"] = json!([{ "name": "wait" }])
    }));
    assert_eq!(explanation.state, State::Gated);
    let tried = |pod: &mut Value| pod["metadata"]["annotations"][names::ATTEMPTED_IN] = json!("admiralty-default-us");
    assert!(explain(&world(tried)).notes[0].contains("admiralty-default-us"));
}
