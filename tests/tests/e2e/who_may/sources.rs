//! What a Source's identity may do in the target.

use anyhow::{Result, ensure};
use http::{Method, Request};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use testbed::product::{Scope, grant};

use crate::fixtures::namespace;
use crate::harness::{Test, test};
use crate::world::World;

const GROUP: &str = "multicluster.admiralty.io";

/// Does the target's API server say that this client may do that?
pub async fn may(client: &Client, group: &str, resource: &str, verb: &str, namespace: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        group: Some(group.into()),
        resource: Some(resource.into()),
        subresource: Some(subresource.into()),
        verb: Some(verb.into()),
        namespace: Some(namespace.into()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..Default::default()
        },
        ..Default::default()
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Do it, and return the HTTP status.
pub async fn call(client: &Client, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Result<u16> {
    let body = if method == Method::PATCH { "{}" } else { "" };
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", "application/merge-patch+json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match client.request_text(request.body(body.as_bytes().to_vec())?).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}

/// What it may do in its namespace, and nowhere else.
const IN_ITS_NAMESPACE: [(&str, &str, &[&str]); 14] = [
    (
        GROUP,
        "podchaperons",
        &[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "send",
            "watch",
        ],
    ),
    // People talk to delegates through the virtual node, and see what these use.
    ("", "pods/log", &["get"]),
    ("", "pods/exec", &["create", "get"]),
    ("", "pods/attach", &["create", "get"]),
    ("", "pods/portforward", &["create", "get"]),
    ("metrics.k8s.io", "pods", &["get", "list"]),
    ("", "configmaps", &COPIES),
    ("", "secrets", &COPIES),
    ("", "services", &COPIES),
    ("networking.k8s.io", "ingresses", &COPIES),
    ("gateway.networking.k8s.io", "httproutes", &COPIES),
    ("gateway.networking.k8s.io", "gateways", &["get", "list", "watch"]),
    ("discovery.k8s.io", "endpointslices", &COPIES),
    ("multicluster.x-k8s.io", "serviceimports", &COPIES),
];

/// What it may do with kinds of which it has copies.
const COPIES: [&str; 6] = ["create", "delete", "get", "list", "patch", "watch"];

async fn reviews(client: &Client, ns: &str, other: &str) -> Result<()> {
    for (group, resource, verbs) in IN_ITS_NAMESPACE {
        for verb in verbs {
            ensure!(may(client, group, resource, verb, ns).await?, "{verb} {resource}");
            for elsewhere in [other, ""] {
                ensure!(
                    !may(client, group, resource, verb, elsewhere).await?,
                    "{verb} {resource} in {elsewhere:?}"
                );
            }
        }
    }
    for resource in ["clustersummaries", "nodesummaries"] {
        for verb in ["get", "list", "watch"] {
            ensure!(may(client, GROUP, resource, verb, "").await?, "{verb} {resource}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            ensure!(!may(client, GROUP, resource, verb, "").await?, "{verb} {resource}");
        }
    }
    for (group, resource, verbs) in [
        (GROUP, "podchaperons", &["update", "manage"][..]),
        (GROUP, "podchaperons/status", &["get", "update", "patch"]),
        (GROUP, "podchaperons/finalizers", &["update"]),
        (GROUP, "sources", &["get", "list", "create", "update"]),
        (GROUP, "clustersources", &["get", "list", "create", "update"]),
        (GROUP, "targets", &["get", "list", "create"]),
        ("", "pods", &["get", "list", "watch", "create", "delete", "patch"]),
        ("", "pods/ephemeralcontainers", &["get", "update", "patch"]),
        ("", "secrets", &["update", "deletecollection"]),
        ("", "configmaps", &["update", "deletecollection"]),
        ("", "services", &["update", "deletecollection"]),
        ("", "services/status", &["update", "patch"]),
        ("", "endpoints", &["get", "create"]),
        ("networking.k8s.io", "ingresses/status", &["update", "patch"]),
        ("networking.k8s.io", "networkpolicies", &["create", "delete"]),
        ("gateway.networking.k8s.io", "gateways", &["create", "patch", "delete"]),
        ("", "serviceaccounts", &["get", "list", "create", "impersonate"]),
        ("", "serviceaccounts/token", &["create"]),
        ("", "nodes", &["get", "list", "watch", "patch"]),
        ("", "nodes/proxy", &["get"]),
        ("", "namespaces", &["get", "list", "create", "delete"]),
        ("", "users", &["impersonate"]),
        ("", "groups", &["impersonate"]),
        ("coordination.k8s.io", "leases", &["get", "create", "update"]),
        (
            "rbac.authorization.k8s.io",
            "roles",
            &["get", "create", "bind", "escalate"],
        ),
        ("rbac.authorization.k8s.io", "rolebindings", &["get", "create"]),
        ("rbac.authorization.k8s.io", "clusterroles", &["bind", "escalate"]),
        ("events.k8s.io", "events", &["create", "list"]),
        ("apps", "deployments", &["create", "list"]),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicybindings",
            &["get", "delete"],
        ),
    ] {
        for verb in verbs {
            for namespace in [ns, other, ""] {
                ensure!(
                    !may(client, group, resource, verb, namespace).await?,
                    "{verb} {resource} in {namespace:?}"
                );
            }
        }
    }
    Ok(())
}

async fn calls(client: &Client, ns: &str, other: &str) -> Result<()> {
    let api = |path: String| format!("/apis/{GROUP}/v1alpha1/{path}");
    let chaperons = |ns: &str| api(format!("namespaces/{ns}/podchaperons"));
    for (path, headers, expected) in [
        (chaperons(ns), &[][..], 200),
        (api("clustersummaries/singleton".into()), &[], 200),
        (api("nodesummaries".into()), &[], 200),
        (chaperons(other), &[], 403),
        (api("podchaperons".into()), &[], 403),
        (format!("/api/v1/namespaces/{ns}/pods"), &[], 403),
        (format!("/api/v1/namespaces/{ns}/secrets"), &[], 200),
        (format!("/api/v1/namespaces/{other}/secrets"), &[], 403),
        ("/api/v1/secrets".into(), &[], 403),
        ("/api/v1/namespaces/multicluster-scheduler/secrets".into(), &[], 403),
        ("/api/v1/nodes".into(), &[], 403),
        ("/api/v1/nodes/us-0/proxy/pods".into(), &[], 403),
        ("/apis/coordination.k8s.io/v1/leases".into(), &[], 403),
        (chaperons(ns), &[("impersonate-user", "kubernetes-admin")], 403),
        (
            chaperons(ns),
            &[(
                "impersonate-user",
                "system:serviceaccount:kube-system:generic-garbage-collector",
            )],
            403,
        ),
    ] {
        let status = call(client, Method::GET, &path, headers).await?;
        ensure!(status == expected, "GET {path} {headers:?}: {status}");
    }
    for path in [
        format!("{}/any/status", chaperons(ns)),
        format!("{}/any", chaperons(other)),
        api("clustersummaries/singleton".into()),
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/podchaperons.multicluster.admiralty.io"
            .into(),
    ] {
        let status = call(client, Method::PATCH, &path, &[]).await?;
        ensure!(status == 403, "PATCH {path}: {status}");
    }
    let status = call(client, Method::DELETE, &chaperons(other), &[]).await?;
    ensure!(status == 403, "DELETE {}: {status}", chaperons(other));
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![test("a_source_may_do_what_it_needs_and_no_more", async |world| {
        let (ns, other) = (
            namespace(&world, "source-mine").await?,
            namespace(&world, "source-theirs").await?,
        );
        let us = world.target("us");
        let client = testbed::client_of(&grant(us, Scope::Namespace(ns)).await?).await?;
        reviews(&client, ns, other).await?;
        calls(&client, ns, other).await?;
        summaries_say_nothing_of_pods(&world, &client).await
    })]
}

/// What a source may read of a target holds no name, label or annotation of its pods.
async fn summaries_say_nothing_of_pods(world: &World, client: &Client) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "tenant-private", "namespace": "default", "labels": {"private": "tenant-private"}},
        "spec": {"containers": [{"name": "c", "image": "none"}], "nodeName": "us-0"},
    });
    world.target("us").apply_yaml(&pod.to_string()).await?;
    for resource in ["clustersummaries", "nodesummaries"] {
        let request = Request::get(format!("/apis/{GROUP}/v1alpha1/{resource}")).body(Vec::new())?;
        let text = client.request_text(request).await?;
        ensure!(!text.contains("tenant-private"), "{resource}: {text}");
    }
    let args = ["delete", "pod", "tenant-private", "--grace-period=0", "--force"];
    world.target("us").kubectl(&args).await.map(drop)
}
