//! The objects of a connection. Pure.

use k8s_openapi::ByteString;
use multicluster_api::target::DEFAULT_KUBECONFIG_KEY;
use multicluster_api::{TargetRef, names};
use serde_json::{Map, Value, json};

use super::request::Request;
use crate::resources::Kind;

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The source.
    Source,
    /// The target.
    Target,
}

impl Side {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// An object as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// In which cluster.
    pub side: Side,
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, if it is namespaced.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Annotations besides that of the connection.
    pub annotations: Map<String, Value>,
    /// Its spec, or a Secret's data; `None` for kinds that have neither.
    pub content: Option<Value>,
}

impl Object {
    fn new(side: Side, kind: Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            side,
            kind,
            namespace: namespace.map(Into::into),
            name: name.into(),
            annotations: Map::new(),
            content: None,
        }
    }

    fn with(mut self, content: Value) -> Self {
        self.content = Some(content);
        self
    }

    /// For messages: `Target default/eu`.
    pub fn describe(&self) -> String {
        let kind = self.kind.resource().kind;
        match &self.namespace {
            Some(namespace) => format!("{kind} {namespace}/{}", self.name),
            None => format!("{kind} {}", self.name),
        }
    }

    /// The whole object, marked as a part of this connection.
    pub fn body(&self, connection: &str) -> Value {
        let resource = self.kind.resource();
        let mut annotations = self.annotations.clone();
        annotations.insert(names::CONNECTION.into(), json!(connection));
        let mut body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": self.name,
                "labels": { names::MANAGED_BY: names::MANAGED_BY_CLI },
                "annotations": annotations,
            },
        });
        if let Some(namespace) = &self.namespace {
            body["metadata"]["namespace"] = json!(namespace);
        }
        if let (Some(field), Some(content)) = (self.kind.content(), &self.content) {
            body[field] = content.clone();
        }
        body
    }
}

/// The namespace in the target.
pub fn namespace(name: &str) -> Object {
    Object::new(Side::Target, Kind::Namespace, None, name)
}

/// The ServiceAccount in the target whose token the source gets. The agent would make it, and nobody would remove it.
pub fn service_account(request: &Request) -> Object {
    Object::new(
        Side::Target,
        Kind::ServiceAccount,
        Some(request.namespace()),
        &request.source_name,
    )
}

/// Who may send pods, in the target: this user, or that ServiceAccount.
pub fn source(request: &Request, user: Option<String>) -> Object {
    let name = &request.source_name;
    let (kind, namespace) = match &request.target.namespace {
        Some(namespace) => (Kind::Source, Some(namespace.as_str())),
        None => (Kind::ClusterSource, None),
    };
    let spec = match (user, kind) {
        (Some(user), _) => json!({ "userName": user }),
        (None, Kind::Source) => json!({ "serviceAccountName": name }),
        (None, _) => json!({ "serviceAccount": { "namespace": request.namespace(), "name": name } }),
    };
    Object::new(Side::Target, kind, namespace, name).with(spec)
}

/// Whom to believe, in the target. In the namespace of the installation it speaks for the Sources of all namespaces: one
/// authority cannot have two providers.
pub fn provider(request: &Request, prefix: &str, authority: &str) -> Object {
    let spec = json!({ "prefix": prefix, "certificateAuthorityData": authority });
    let namespace = Some(names::INSTALL_NAMESPACE);
    Object::new(
        Side::Target,
        Kind::TrustedIdentityProvider,
        namespace,
        &request.source_name,
    )
    .with(spec)
}

/// The server that the source calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// https URL.
    pub url: String,
    /// The authority of its certificate, PEM in base64.
    pub authority: Option<String>,
    /// Name in its certificate.
    pub tls_server_name: Option<String>,
    /// Proxy on the way.
    pub proxy_url: Option<String>,
}

/// A Kubeconfig in the source, whose credentials are issued there.
pub fn kubeconfig(request: &Request, server: &Server) -> Object {
    let mut cluster = json!({ "server": server.url });
    for (key, value) in [
        ("certificateAuthorityData", &server.authority),
        ("tlsServerName", &server.tls_server_name),
        ("proxyURL", &server.proxy_url),
    ] {
        if let Some(value) = value {
            cluster[key] = json!(value);
        }
    }
    let spec = json!({ "secretName": request.target.name, "cluster": cluster });
    Object::new(
        Side::Source,
        Kind::Kubeconfig,
        Some(request.namespace()),
        &request.target.name,
    )
    .with(spec)
}

/// The Secret in the source, with a kubeconfig for a token. Without a token, what is checked and shown before there is one.
pub fn secret(request: &Request, server: &Server, token: Option<(&str, Option<String>)>) -> Object {
    let mut object = Object::new(
        Side::Source,
        Kind::Secret,
        Some(request.namespace()),
        &request.target.name,
    );
    let Some((token, expires)) = token else {
        return object.with(json!({}));
    };
    if let Some(expires) = expires {
        object.annotations.insert(names::EXPIRES_AT.into(), json!(expires));
    }
    let config = ByteString(kubeconfig_text(request, server, token).into_bytes());
    object.with(json!({ DEFAULT_KUBECONFIG_KEY: config }))
}

fn kubeconfig_text(request: &Request, server: &Server, token: &str) -> String {
    let mut cluster = json!({ "server": server.url });
    for (key, value) in [
        ("certificate-authority-data", &server.authority),
        ("tls-server-name", &server.tls_server_name),
        ("proxy-url", &server.proxy_url),
    ] {
        if let Some(value) = value {
            cluster[key] = json!(value);
        }
    }
    let (name, user) = (&request.target.name, &request.source_name);
    // JSON is YAML, too.
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
    })
    .to_string()
}

/// The Target in the source.
pub fn target(request: &Request) -> Object {
    let name = &request.target.name;
    let (kind, secret) = match &request.target {
        TargetRef { namespace: Some(_), .. } => (Kind::Target, json!({ "name": name })),
        TargetRef { namespace: None, .. } => (
            Kind::ClusterTarget,
            json!({ "namespace": request.namespace(), "name": name }),
        ),
    };
    let mut object = Object::new(Side::Source, kind, request.target.namespace.as_deref(), name);
    object
        .annotations
        .insert(names::CONNECTED_AS.into(), json!(request.source_name));
    object.with(json!({ "kubeconfigSecret": secret }))
}

#[cfg(test)]
mod tests {
    use multicluster_api::{ClusterSource, ClusterTarget, Kubeconfig, Source, Target, TrustedIdentityProvider};
    use multicluster_targets::kubeconfig::parse;
    use multicluster_trust::kubeconfig_spec::Wanted;
    use serde::de::DeserializeOwned;

    use super::*;

    fn request(namespace: Option<&str>) -> Request {
        let target = match namespace {
            Some(namespace) => TargetRef::namespaced(namespace, "eu"),
            None => TargetRef::cluster("eu"),
        };
        Request {
            target,
            source_name: "management".into(),
        }
    }

    fn server() -> Server {
        Server {
            url: "https://eu.example.com".into(),
            tls_server_name: Some("eu".into()),
            ..Server::default()
        }
    }

    fn read<T: DeserializeOwned>(object: &Object) -> T {
        serde_json::from_value(object.body("id/node")).unwrap()
    }

    #[test]
    fn the_objects_are_what_the_kinds_take() {
        let one = request(Some("default"));
        assert_eq!(read::<Target>(&target(&one)).spec.kubeconfig_secret.unwrap().name, "eu");
        assert_eq!(
            read::<Source>(&source(&one, None)).spec.service_account_name.as_deref(),
            Some("management")
        );
        assert_eq!(
            read::<Source>(&source(&one, Some("u".into())))
                .spec
                .user_name
                .as_deref(),
            Some("u")
        );
        let kubeconfig: Kubeconfig = read(&kubeconfig(&one, &server()));
        assert_eq!(
            Wanted::read("default", &kubeconfig.spec).unwrap().identity,
            one.identity().unwrap()
        );
        assert_eq!(
            read::<TrustedIdentityProvider>(&provider(&one, "a/", "x")).spec.prefix,
            "a/"
        );
        let all = request(None);
        let secret = read::<ClusterTarget>(&target(&all)).spec.kubeconfig_secret.unwrap();
        assert_eq!(
            (secret.namespace.as_str(), secret.name.as_str()),
            ("multicluster-scheduler", "eu")
        );
        assert_eq!(
            read::<ClusterSource>(&source(&all, None))
                .spec
                .service_account
                .unwrap()
                .name,
            "management"
        );
    }

    #[test]
    fn the_secret_holds_a_kubeconfig_that_the_agent_accepts() {
        let object = secret(&request(Some("default")), &server(), Some(("t0ken", None)));
        let data: k8s_openapi::api::core::v1::Secret = read(&object);
        let config = &data.data.unwrap()[DEFAULT_KUBECONFIG_KEY];
        assert!(parse(config, None).is_ok());
    }

    #[test]
    fn everything_is_marked_as_ours() {
        let body = target(&request(Some("default"))).body("id/node");
        assert_eq!(body["metadata"]["labels"][names::MANAGED_BY], names::MANAGED_BY_CLI);
        assert_eq!(body["metadata"]["annotations"][names::CONNECTION], "id/node");
        assert_eq!(body["metadata"]["annotations"][names::CONNECTED_AS], "management");
    }
}
