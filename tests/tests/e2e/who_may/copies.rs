//! A source handles its own copies in a target and nothing else; the target's own people and controllers do not notice.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::product::{Scope, grant};
use testbed::{Cluster, eventually};

use crate::fixtures::namespace;
use crate::harness::{Test, test};
use crate::world::{SOON, World};

/// Each kind of copies that a plain cluster knows, and a smallest body.
fn kinds() -> [(&'static str, &'static str, Value); 5] {
    let backend = json!({ "service": { "name": "s", "port": { "number": 80 } } });
    [
        ("v1", "ConfigMap", json!({ "data": { "a": "b" } })),
        ("v1", "Secret", json!({ "stringData": { "a": "b" } })),
        ("v1", "Service", json!({ "spec": { "ports": [{ "port": 80 }] } })),
        (
            "networking.k8s.io/v1",
            "Ingress",
            json!({ "spec": { "defaultBackend": backend } }),
        ),
        (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({ "addressType": "IPv4", "endpoints": [] }),
        ),
    ]
}

/// One kind in one namespace, as somebody.
struct As {
    api: Api<DynamicObject>,
    api_version: &'static str,
    kind: &'static str,
    body: Value,
}

impl As {
    fn all(client: &Client, ns: &str) -> Vec<Self> {
        let each = |(api_version, kind, body): (&'static str, &'static str, Value)| {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let plural = format!("{}s", kind.to_lowercase()).replace("ingresss", "ingresses");
            let resource = ApiResource {
                group: group.into(),
                version: version.into(),
                api_version: api_version.into(),
                kind: kind.into(),
                plural,
            };
            let api = Api::namespaced_with(client.clone(), ns, &resource);
            Self {
                api,
                api_version,
                kind,
                body,
            }
        };
        kinds().into_iter().map(each).collect()
    }

    async fn create(&self, name: &str, user: Option<&str>) -> Result<DynamicObject, kube::Error> {
        let mut object = self.body.clone();
        object["apiVersion"] = json!(self.api_version);
        object["kind"] = json!(self.kind);
        let annotations = user.map(|user| json!({ names::SOURCE_USER: user }));
        object["metadata"] = json!({ "name": name, "annotations": annotations });
        let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        self.api.create(&PostParams::default(), &object).await
    }

    async fn annotate(&self, name: &str, annotations: Value) -> Result<DynamicObject, kube::Error> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        self.api.patch(name, &PatchParams::default(), &patch).await
    }

    async fn delete(&self, name: &str) -> Result<(), kube::Error> {
        self.api.delete(name, &DeleteParams::default()).await.map(drop)
    }

    async fn may<T>(&self, what: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T> {
        request.await.with_context(|| format!("{what} a {}", self.kind))
    }

    /// Denied, by the policy, with a text that says what is wrong.
    async fn may_not<T>(
        &self,
        what: &str,
        says: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<()> {
        let kind = self.kind;
        match request.await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let message = &status.message;
                let by_policy = message.contains("'copies.multicluster.admiralty.io'") && message.contains(says);
                ensure!(by_policy, "{what} a {kind}: not by the policy: {message}");
                Ok(())
            }
            Err(error) => Err(error).with_context(|| format!("{what} a {kind}")),
            Ok(_) => anyhow::bail!("{what} a {kind} was let through"),
        }
    }
}

/// A client with the identity of a Source, as soon as it has its rights.
async fn source(target: &Cluster, ns: &str, name: &str) -> Result<Client> {
    let source = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Source",
        "metadata": { "name": name, "namespace": ns }, "spec": { "serviceAccountName": name },
    });
    target.apply_yaml(&source.to_string()).await?;
    with_rights(target, ns, name).await
}

async fn with_rights(target: &Cluster, ns: &str, account: &str) -> Result<Client> {
    let client = testbed::client_of(&target.service_account_kubeconfig(ns, account).await?).await?;
    for kind in As::all(&client, ns) {
        eventually("rights", SOON, async || {
            Ok(kind.api.list(&ListParams::default()).await.ok())
        })
        .await?;
    }
    Ok(client)
}

/// Somebody with all rights in a namespace, verb by verb, as many a pipeline has them.
async fn pipeline(target: &Cluster, ns: &str) -> Result<Client> {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "pipeline", "namespace": ns } });
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "pipeline", "namespace": ns },
        "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": verbs }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "pipeline", "namespace": ns },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pipeline" },
        "subjects": [{ "kind": "ServiceAccount", "name": "pipeline", "namespace": ns }],
    });
    for object in [account, role, binding] {
        target.apply_yaml(&object.to_string()).await?;
    }
    with_rights(target, ns, "pipeline").await
}

async fn sources_keep_to_their_own(world: &World) -> Result<()> {
    let ns = namespace(world, "copies-of-two").await?;
    let us = world.target("us");
    let user = |name: &str| format!("system:serviceaccount:{ns}:{name}");
    let (first, second) = (user("first"), user("second"));
    let theirs = As::all(&source(us, ns, "second").await?, ns);
    let mine = As::all(&source(us, ns, "first").await?, ns);
    let people = As::all(&us.client(), ns);
    for ((mine, theirs), people) in mine.iter().zip(&theirs).zip(&people) {
        mine.may("create", mine.create("copy", Some(&first))).await?;
        mine.may("patch", mine.annotate("copy", json!({ "a": "b" }))).await?;
        mine.may_not("create unmarked", "what it makes there", mine.create("plain", None))
            .await?;
        mine.may_not("create as another", "marks what", mine.create("as", Some(&second)))
            .await?;

        theirs
            .may_not("patch", "belongs to user", theirs.annotate("copy", json!({ "a": "c" })))
            .await?;
        theirs
            .may_not("delete", "belongs to user", theirs.delete("copy"))
            .await?;
        let claim = json!({ names::SOURCE_USER: second });
        theirs
            .may_not("take over", "belongs to user", theirs.annotate("copy", claim.clone()))
            .await?;
        mine.may_not("give away", "marks what", mine.annotate("copy", claim))
            .await?;
        let release = json!({ names::SOURCE_USER: null });
        mine.may_not("unmark", "what it makes there", mine.annotate("copy", release.clone()))
            .await?;

        // What the target's own people made.
        people.may("create", people.create("own", None)).await?;
        let claim = json!({ names::SOURCE_USER: first });
        mine.may_not("claim", "belongs to others", mine.annotate("own", claim.clone()))
            .await?;
        mine.may_not("patch", "belongs to others", mine.annotate("own", json!({ "a": "b" })))
            .await?;
        mine.may_not("delete", "belongs to others", mine.delete("own")).await?;

        // An administrator may do all of it.
        people.may("mark", people.annotate("own", claim)).await?;
        people.may("unmark", people.annotate("own", release)).await?;
        people.may("delete", people.delete("own")).await?;
        mine.may("delete", mine.delete("copy")).await?;
    }
    us.kubectl(&["delete", "namespace", ns, "--timeout=60s"])
        .await
        .map(drop)
}

async fn others_do_not_notice(world: &World) -> Result<()> {
    let ns = namespace(world, "copies-and-people").await?;
    let us = world.target("us");
    let first = format!("system:serviceaccount:{ns}:management");
    let source = testbed::client_of(&grant(us, Scope::Namespace(ns)).await?).await?;
    let (copies, people) = (As::all(&source, ns), As::all(&pipeline(us, ns).await?, ns));
    for (copies, people) in copies.iter().zip(&people) {
        eventually("the source's rights", SOON, async || {
            Ok(copies.api.list(&ListParams::default()).await.ok())
        })
        .await?;
        copies.may("create", copies.create("copy", Some(&first))).await?;
        people.may("create", people.create("own", None)).await?;
        people.may("patch", people.annotate("own", json!({ "a": "b" }))).await?;
        let claim = json!({ names::SOURCE_USER: first });
        people
            .may_not("mark", "leave it out", people.annotate("own", claim))
            .await?;
        people
            .may_not("create marked", "leave it out", people.create("marked", Some(&first)))
            .await?;
        people.may("delete", people.delete("own")).await?;
        // Copies, too, are in their cluster: controllers of theirs add to them, finalizers for instance.
        let finalizers = |list: Value| Patch::Merge(json!({ "metadata": { "finalizers": list } }));
        let held = finalizers(json!(["example.com/held"]));
        let parameters = PatchParams::default();
        people.may("hold", people.api.patch("copy", &parameters, &held)).await?;
        copies.may("delete", copies.delete("copy")).await?;
        let released = finalizers(json!([]));
        people
            .may("release", people.api.patch("copy", &parameters, &released))
            .await?;
        copies.may("create", copies.create("taken", Some(&first))).await?;
        let release = json!({ names::SOURCE_USER: null });
        people.may("take", people.annotate("taken", release)).await?;
        copies
            .may_not("delete", "belongs to others", copies.delete("taken"))
            .await?;
    }
    stock_controllers_work_on_copies(us, ns, &source, &first).await?;
    us.kubectl(&["delete", "namespace", ns, "--timeout=60s"])
        .await
        .map(drop)
}

/// Of a Service with a selector its endpoints are made, whoever made the Service.
async fn stock_controllers_work_on_copies(us: &Cluster, ns: &str, source: &Client, user: &str) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": ns, "annotations": { names::SOURCE_USER: user } },
        "spec": { "type": "LoadBalancer", "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    let services = Api::<k8s_openapi::api::core::v1::Service>::namespaced(source.clone(), ns);
    services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    let slices = Api::<EndpointSlice>::namespaced(us.client(), ns);
    eventually("the endpoints of a copy", SOON, async || {
        let theirs = ListParams::default().labels("kubernetes.io/service-name=web");
        Ok(slices.list(&theirs).await?.items.into_iter().next())
    })
    .await
    .map(|slice| drop(slice.name_any()))
}

pub fn tests() -> Vec<Test> {
    vec![
        test("a_source_handles_its_own_copies_and_nothing_else", async |world| {
            sources_keep_to_their_own(&world).await
        }),
        test(
            "people_and_controllers_of_a_target_are_not_hindered_by_copies",
            async |world| others_do_not_notice(&world).await,
        ),
    ]
}
