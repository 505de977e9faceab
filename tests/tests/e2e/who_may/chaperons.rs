//! Two sources in one namespace of a target leave each other's chaperons alone.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use multicluster_api::{PodChaperon, names};
use serde_json::{Value, json};
use testbed::product::Scope;
use testbed::{Cluster, eventually};

use crate::fixtures::{Template, namespace};
use crate::harness::{Test, test};
use crate::world::{SOON, World};

/// A second Source in a namespace; a client with its identity.
async fn second_source(target: &Cluster, ns: &str) -> Result<Client> {
    let source = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Source",
        "metadata": {"name": "second", "namespace": ns}, "spec": {"serviceAccountName": "second"},
    });
    target.apply_yaml(&source.to_string()).await?;
    let client = testbed::client_of(&target.service_account_kubeconfig(ns, "second").await?).await?;
    let chaperons = Api::<PodChaperon>::namespaced(client.clone(), ns);
    eventually("the second source to have its rights", SOON, async || {
        Ok(chaperons.list(&ListParams::default()).await.ok())
    })
    .await?;
    Ok(client)
}

/// A chaperon as some source makes it.
fn chaperon(ns: &str, name: &str, user: Option<&str>) -> PodChaperon {
    let annotations = user.map(|user| json!({ names::SOURCE_USER: user }));
    serde_json::from_value(json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "PodChaperon",
        "metadata": {"name": name, "namespace": ns, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }))
    .unwrap()
}

fn denied<T>(what: &str, result: Result<T, kube::Error>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let by_policy = status.message.contains("ValidatingAdmissionPolicy");
            ensure!(by_policy, "{what}: not by the policy: {}", status.message);
            Ok(())
        }
        Err(error) => Err(error).context(what.to_owned()),
        Ok(_) => anyhow::bail!("{what} was let through"),
    }
}

fn annotation(chaperon: &PodChaperon) -> Option<&str> {
    chaperon.annotations().get(names::SOURCE_USER).map(String::as_str)
}

/// Give both sources of a namespace the verb patch, which RBAC does not give them, to see the policy alone.
async fn let_them_patch(target: &Cluster, ns: &str) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "patch", "namespace": ns},
        "rules": [{"apiGroups": [names::GROUP], "resources": ["podchaperons"], "verbs": ["patch"]}],
    });
    let subject = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": ns});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "patch", "namespace": ns},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patch"},
        "subjects": [subject("second"), subject("management")],
    });
    target.apply_yaml(&role.to_string()).await?;
    target.apply_yaml(&binding.to_string()).await
}

async fn patch(api: &Api<PodChaperon>, name: &str, annotations: Value) -> Result<PodChaperon, kube::Error> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    api.patch(name, &PatchParams::default(), &patch).await
}

async fn two_sources(world: &World) -> Result<()> {
    let ns = namespace(world, "two-sources").await?;
    let us = world.target("us");
    let (first, second) = (
        format!("system:serviceaccount:{ns}:management"),
        format!("system:serviceaccount:{ns}:second"),
    );
    world.product.connect("us", Scope::Namespace(ns)).await?;
    let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
    world.apply(&template.deployment(ns, "web", 2)).await?;
    world.running(ns, 2).await?;
    let theirs = world.chaperons("us", ns).await?;
    ensure!(
        theirs.len() == 2 && theirs.iter().all(|chaperon| annotation(chaperon) == Some(&first)),
        "{theirs:?}"
    );
    // It is no affair of the delegate's.
    let delegates = world.delegates("us", ns).await?;
    ensure!(
        delegates
            .iter()
            .all(|pod| !pod.annotations().contains_key(names::SOURCE_USER))
    );

    let api = Api::<PodChaperon>::namespaced(second_source(us, ns).await?, ns);
    let_them_patch(us, ns).await?;
    eventually("the right to patch", SOON, async || {
        let nobody = patch(&api, "nobody", json!({})).await;
        Ok(matches!(nobody, Err(kube::Error::Api(status)) if status.code == 404).then_some(()))
    })
    .await?;
    let name = theirs[0].name_any();
    denied("delete", api.delete(&name, &DeleteParams::foreground()).await)?;
    let all = api
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    denied("delete all", all)?;
    denied("patch", patch(&api, &name, json!({"a": "b"})).await)?;
    denied(
        "take over",
        patch(&api, &name, json!({ names::SOURCE_USER: second })).await,
    )?;
    let create = |chaperon| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &chaperon).await }
    };
    denied(
        "create as another",
        create(chaperon(ns, "as-another", Some(&first))).await,
    )?;

    // Its own, and nobody's, it may handle. That it says to be the first one's does the first one no harm.
    let mut own = chaperon(ns, "own", Some(&second));
    own.metadata.labels = theirs[0].metadata.labels.clone();
    let copied = theirs[0]
        .annotations()
        .iter()
        .filter(|(key, _)| *key != names::SOURCE_USER);
    let copied = copied.map(|(key, value)| (key.clone(), value.clone()));
    own.annotations_mut().extend(copied);
    create(own).await?;
    create(chaperon(ns, "nobodys", None)).await?;
    denied(
        "give away",
        patch(&api, "own", json!({ names::SOURCE_USER: first })).await,
    )?;
    patch(&api, "own", json!({"a": "b"})).await?;
    let before: Vec<_> = world.running(ns, 2).await?.iter().map(|pod| pod.uid()).collect();
    api.delete("own", &DeleteParams::foreground()).await?;
    eventually("its own one to go, by the garbage collector", SOON, async || {
        Ok(api.get_opt("own").await?.is_none().then_some(()))
    })
    .await?;
    let after: Vec<_> = world.running(ns, 2).await?.iter().map(|pod| pod.uid()).collect();
    ensure!(
        before == after,
        "the first source's pods were replaced: {before:?} {after:?}"
    );

    // The first source is as able as before: its pods go, and with them what is theirs.
    world
        .source()
        .kubectl(&["delete", "deployment", "-n", ns, "web"])
        .await?;
    eventually("the first source's chaperons to go", SOON, async || {
        let left = world.chaperons("us", ns).await?;
        Ok(left
            .iter()
            .all(|chaperon| annotation(chaperon) != Some(&first))
            .then_some(()))
    })
    .await?;
    // And the namespace controller takes what is left, whoever made it.
    create(chaperon(ns, "left", Some(&second))).await?;
    us.kubectl(&["delete", "namespace", ns, "--timeout=60s"])
        .await
        .map(drop)
}

/// The Secret is given another user's kubeconfig: what the old one made is stuck, and that is said.
async fn another_user(world: &World) -> Result<()> {
    let ns = namespace(world, "another-user").await?;
    let us = world.target("us");
    world.product.connect("us", Scope::Namespace(ns)).await?;
    let template = Template::elected().on_virtual_nodes(names::TARGET_NAMESPACE, ns);
    world.apply(&template.deployment(ns, "web", 1)).await?;
    let pod = world.running(ns, 1).await?.remove(0);
    let connect_as = async |account: &str| {
        let kubeconfig = us.service_account_kubeconfig(ns, account).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "us", "namespace": ns},
            "stringData": {"config": kubeconfig},
        });
        world.apply(&secret).await
    };
    // Another token of the same user changes nothing: the pod goes, and its successor comes.
    connect_as("management").await?;
    let name = pod.name_any();
    let delete = ["delete", "pod", "-n", ns, &name, "--timeout=60s"];
    world.source().kubectl(&delete).await?;
    world.running(ns, 1).await?;
    second_source(us, ns).await?;
    connect_as("second").await?;
    world
        .source()
        .kubectl(&["delete", "deployment", "-n", ns, "web"])
        .await?;
    world.event(ns, "cannot delete what it runs for this cluster").await?;
    let left = world.chaperons("us", ns).await?;
    ensure!(left.len() == 1, "{left:?}");
    // An administrator gives it to the new user.
    let owner = format!("{}=system:serviceaccount:{ns}:second", names::SOURCE_USER);
    us.kubectl(&["annotate", "podchaperons", "-n", ns, "--all", "--overwrite", &owner])
        .await?;
    world.nothing_left(ns).await
}

pub fn tests() -> Vec<Test> {
    vec![
        test(
            "sources_in_one_namespace_leave_each_others_chaperons_alone",
            async |world| two_sources(&world).await,
        ),
        test(
            "what_another_user_made_is_stuck_until_it_is_given_away",
            async |world| another_user(&world).await,
        ),
    ]
}
