//! Everything before the first write: both clusters are read and judged, and what to do follows.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use multicluster_api::{KubeconfigSpec, TrustedIdentityProvider, names};
use multicluster_targets::kubeconfig::parse;
use multicluster_trust::kubeconfig_spec::Wanted;

use super::journal::Pair;
use super::objects::{self, Object, Server, Side};
use super::plan::{Action, Step, Taken, belongs_to};
use super::preflight::{self, Verdict};
use super::request::Request;
use super::rights::{self, Right};
use super::{trust, way};
use crate::args::{Connect, Credentials};
use crate::contexts::Cluster;
use crate::facts::Facts;
use crate::failure::{Failure, problem};
use crate::progress::Progress;
use crate::resources::Kind;

/// What is to be done.
pub struct Prepared {
    /// What is to be connected.
    pub request: Request,
    /// The connection's name.
    pub connection: String,
    /// How the source proves who it is.
    pub credentials: Credentials,
    /// Where it goes.
    pub server: Server,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Does the webhook serve the namespace already?
    pub served: bool,
}

/// Read, judge, and plan.
pub async fn prepare(flags: &Connect, clusters: &Pair, progress: &Progress) -> Result<Prepared, Failure> {
    let (source, target) = (&clusters.source, &clusters.target);
    progress.wait(&format!("looking at {} and {}", source.context, target.context));
    // Both at once, and both are told when neither can be reached.
    let (from, to) = match futures::join!(Facts::read(source), Facts::read(target)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(from), Err(to)) if from != to => return Err(problem(format!("{from}\n{to}"))),
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    let mut verdict = preflight::judge(&from, &to);
    stop_if_wrong(&verdict)?;
    let contexts = [source.context.as_str(), target.context.as_str()];
    let names = (flags.name.as_deref(), flags.source_name.as_deref());
    let request = Request::new(&flags.scope, names.0, names.1, contexts, &source.namespace)?;
    let credentials = way::credentials(flags, &to)?;
    let server = match credentials {
        Credentials::Token => way::api_server(flags, target)?,
        Credentials::Identity => way::authproxy(flags, target).await?,
    };
    verdict.server(&source.server, &server.url);
    let (namespace, served) = namespaces(flags, &request, clusters, &mut verdict).await?;
    stop_if_wrong(&verdict)?;
    verdict.warnings.iter().for_each(|warning| progress.warn(warning));
    check_server(&request, credentials, &server)?;
    let source_id = from.id.clone().ok_or_else(|| {
        problem(format!(
            "context {}: your user may not get namespace kube-system, whose UID names the cluster",
            source.context
        ))
    })?;
    let connection = request.connection(&source_id);
    let mut wanted: Vec<Object> = namespace.into_iter().collect();
    wanted.extend(objects(&request, credentials, &server, clusters).await?);
    let mut steps = vec![];
    for object in wanted {
        steps.push(step(object, clusters, &connection, to.id.as_deref()).await?);
    }
    may_do_it(flags, &request, credentials, &steps, clusters).await?;
    progress.done(&format!(
        "{} can send pods to {}: both answer, have the product, and you may connect them",
        source.context, target.context
    ));
    Ok(Prepared {
        request,
        connection,
        credentials,
        server,
        steps,
        served,
    })
}

fn stop_if_wrong(verdict: &Verdict) -> Result<(), Failure> {
    match verdict.problems.is_empty() {
        true => Ok(()),
        false => Err(problem(format!(
            "nothing has been written:\n  {}",
            verdict.problems.join("\n  ")
        ))),
    }
}

/// The objects of the connection, in the order in which they are written.
async fn objects(
    request: &Request,
    credentials: Credentials,
    server: &Server,
    clusters: &Pair,
) -> Result<Vec<Object>, Failure> {
    let secret = clusters.source.clone();
    let secrets = Kind::Secret.api(&secret.client, Some(request.namespace()));
    let existing = secrets.get_metadata_opt(&request.target.name).await;
    let existing = existing.map_err(|error| clusters.source.problem(&error))?;
    let annotated = |key: &str| {
        let annotations = existing
            .as_ref()
            .and_then(|secret| secret.metadata.annotations.as_ref());
        annotations.is_some_and(|annotations| annotations.contains_key(key))
    };
    let other_way = |now: &str, name: &str| {
        problem(format!(
            "{} is connected {now} already (Secret {}/{name}). Run disconnect first, or choose another --name",
            request.target,
            request.namespace()
        ))
    };
    match credentials {
        Credentials::Token if annotated(names::ISSUED_FOR) => Err(other_way("by an identity", &request.target.name)),
        Credentials::Identity if existing.is_some() && !annotated(names::ISSUED_FOR) => {
            Err(other_way("with other credentials", &request.target.name))
        }
        Credentials::Token => Ok(vec![
            objects::service_account(request),
            objects::source(request, None),
            objects::secret(request, server, None),
            objects::target(request),
        ]),
        Credentials::Identity => {
            let authority = way::identity_authority(&clusters.source).await?;
            let providers = Api::<TrustedIdentityProvider>::all(clusters.target.client.clone());
            let existing = providers.list(&ListParams::default()).await;
            let existing = existing.map_err(|error| clusters.target.problem(&error))?.items;
            let believed = trust::believe(request, &authority, &existing)?;
            let user = believed.prefix.user(&request.identity()?);
            let mut objects: Vec<_> = believed.provider.into_iter().collect();
            objects.extend([
                objects::source(request, Some(user)),
                objects::kubeconfig(request, server),
                objects::target(request),
            ]);
            Ok(objects)
        }
    }
}

/// What the agent will say of the server, said before.
fn check_server(request: &Request, credentials: Credentials, server: &Server) -> Result<(), Failure> {
    match credentials {
        Credentials::Token => {
            let secret = objects::secret(request, server, Some(("token", None)));
            let config = secret
                .content
                .and_then(|mut data| serde_json::from_value(data["config"].take()).ok());
            let config: ByteString = config.unwrap_or_default();
            parse(&config, None)
                .map(drop)
                .map_err(|error| problem(format!("--server {}: {error}", server.url)))
        }
        Credentials::Identity => {
            let spec = objects::kubeconfig(request, server).content.unwrap_or_default();
            let spec: KubeconfigSpec = serde_json::from_value(spec).map_err(|error| problem(error.to_string()))?;
            let read = Wanted::read(request.namespace(), &spec);
            read.map(drop)
                .map_err(|error| problem(format!("--server {}: {error}", server.url)))
        }
    }
}

/// Both clusters need the namespace. Returns the one to make in the target, and whether the webhook serves it.
async fn namespaces(
    flags: &Connect,
    request: &Request,
    clusters: &Pair,
    verdict: &mut Verdict,
) -> Result<(Option<Object>, bool), Failure> {
    let Some(name) = &request.target.namespace else {
        return Ok((None, true));
    };
    let get = async |cluster: &Cluster| {
        let namespaces = Api::<Namespace>::all(cluster.client.clone());
        namespaces
            .get_metadata_opt(name)
            .await
            .map_err(|error| cluster.problem(&error))
    };
    let (here, there) = (get(&clusters.source).await?, get(&clusters.target).await?);
    if here.is_none() {
        verdict.problems.push(format!(
            "{} has no namespace {name}: make it there, or write --namespace NAME with one that both clusters have",
            clusters.source.context
        ));
    }
    if there.is_none() && !flags.create_namespace {
        verdict.problems.push(format!(
            "{} has no namespace {name}, and pods run there in the namespace of the same name: write --create-namespace, or \
             --namespace NAME with one that both clusters have",
            clusters.target.context
        ));
    }
    let labels = here.and_then(|namespace| namespace.metadata.labels).unwrap_or_default();
    let served = labels.get(names::NAMESPACE_LABEL).map(String::as_str) == Some(names::NAMESPACE_LABEL_ENABLED);
    Ok((there.is_none().then(|| objects::namespace(name)), served))
}

/// What to do with an object.
async fn step(object: Object, clusters: &Pair, connection: &str, target_id: Option<&str>) -> Result<Step, Failure> {
    let cluster = clusters.of(object.side);
    let api = object.kind.api(&cluster.client, object.namespace.as_deref());
    let found = api
        .get_opt(&object.name)
        .await
        .map_err(|error| cluster.problem(&error))?;
    if let Some(found) = &found {
        leads_elsewhere(&object, found, connection, target_id)?;
    }
    let (what, is_source_side) = (object.describe(), object.side == Side::Source);
    let flag = if is_source_side { "--name" } else { "--source-name" };
    Step::of(object, found, connection).map_err(|taken| {
        let whose = match taken {
            Taken::Others => "was not made by connect and is another one, or is being deleted".to_owned(),
            Taken::Connection(other) => format!("belongs to another connection ({other})"),
        };
        problem(format!(
            "nothing has been written: {what} in {} {whose}. Choose another name with {flag}, or delete it if it is not needed",
            cluster.context
        ))
    })
}

/// A Target of this name that works with another cluster shall not be turned to this one: its pods would move.
fn leads_elsewhere(
    object: &Object,
    found: &DynamicObject,
    connection: &str,
    target_id: Option<&str>,
) -> Result<(), Failure> {
    let is_target = matches!(object.kind, Kind::Target | Kind::ClusterTarget);
    let leads_to = found.data["status"]["clusterID"].as_str();
    let elsewhere = leads_to.is_some() && target_id.is_some() && leads_to != target_id;
    if is_target && elsewhere && belongs_to(found) == Some(connection) {
        return Err(problem(format!(
            "nothing has been written: {} leads to another cluster already. Choose another --name, or disconnect it first",
            object.describe()
        )));
    }
    Ok(())
}

async fn may_do_it(
    flags: &Connect,
    request: &Request,
    credentials: Credentials,
    steps: &[Step],
    clusters: &Pair,
) -> Result<(), Failure> {
    let token_of = (credentials == Credentials::Token).then_some((request.namespace(), request.source_name.as_str()));
    let mut needed = rights::needed(steps, token_of);
    if flags.wait {
        needed.push(Right::new(Side::Source, "get", "", "nodes", None));
    }
    if flags.label_namespace {
        needed.push(Right::new(Side::Source, "patch", "", "namespaces", None));
    }
    // Undoing restores what is repaired.
    debug_assert!(
        steps
            .iter()
            .all(|step| step.action == Action::Create || step.before.is_some())
    );
    let lacking = rights::lacking(&clusters.source, &clusters.target, &needed).await?;
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(problem(format!(
            "nothing has been written, since you lack permissions. Ask an administrator of the cluster for them:\n  {}",
            lacking.join("\n  ")
        ))),
    }
}
