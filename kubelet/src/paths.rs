//! A kubelet's paths (k8s.io/kubernetes/pkg/kubelet/server). Pure.
//!
//! Names in paths are Kubernetes' names: no part is percent-encoded, empty, or a step up. What is written in another way is not
//! a path of a kubelet, and nothing of it reaches a target.

use hyper::Method;

use crate::nodes::PodRef;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// Something of a pod.
    Pod(PodPath<'a>),
    /// Something of a virtual node: the one that is named, or the only one there is.
    Node {
        /// Its name, as in `/nodes/NAME/…`.
        name: Option<&'a str>,
        /// What of it.
        what: NodePath,
    },
}

/// Something of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodPath<'a> {
    /// The pod.
    pub pod: PodRef<'a>,
    /// What of it.
    pub what: Stream<'a>,
}

/// What a pod has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream<'a> {
    /// `/containerLogs/NAMESPACE/POD/CONTAINER`
    Logs {
        /// Name of the container.
        container: &'a str,
    },
    /// `/exec/NAMESPACE/POD[/UID]/CONTAINER`
    Exec {
        /// Name of the container.
        container: &'a str,
    },
    /// `/attach/NAMESPACE/POD[/UID]/CONTAINER`
    Attach {
        /// Name of the container.
        container: &'a str,
    },
    /// `/portForward/NAMESPACE/POD[/UID]`
    PortForward,
}

/// What a node has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePath {
    /// `/healthz`
    Healthz,
    /// `/pods`
    Pods,
    /// `/metrics/resource`
    ResourceMetrics,
    /// `/stats/summary`
    Summary,
}

/// Longest name (RFC 1123 subdomain).
const LONGEST: usize = 253;

impl<'a> Path<'a> {
    /// What this path leads to, if anything.
    pub fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if !parts.iter().all(|part| is_name(part)) {
            return None;
        }
        let of_pod = |namespace, name, uid, what| {
            let pod = PodRef { namespace, name, uid };
            Some(Self::Pod(PodPath { pod, what }))
        };
        match parts.as_slice() {
            ["containerLogs", namespace, pod, container] => of_pod(namespace, pod, None, Stream::Logs { container }),
            ["exec", namespace, pod, container] => of_pod(namespace, pod, None, Stream::Exec { container }),
            ["exec", namespace, pod, uid, container] => of_pod(namespace, pod, Some(uid), Stream::Exec { container }),
            ["attach", namespace, pod, container] => of_pod(namespace, pod, None, Stream::Attach { container }),
            ["attach", namespace, pod, uid, container] => {
                of_pod(namespace, pod, Some(uid), Stream::Attach { container })
            }
            ["portForward", namespace, pod] => of_pod(namespace, pod, None, Stream::PortForward),
            ["portForward", namespace, pod, uid] => of_pod(namespace, pod, Some(uid), Stream::PortForward),
            ["nodes", name, rest @ ..] => NodePath::parse(rest).map(|what| Self::Node { name: Some(name), what }),
            rest => NodePath::parse(rest).map(|what| Self::Node { name: None, what }),
        }
    }

    /// May it be asked for by this method?
    pub fn allows(&self, method: &Method) -> bool {
        match self {
            Self::Pod(PodPath {
                what: Stream::Logs { .. },
                ..
            })
            | Self::Node { .. } => *method == Method::GET,
            Self::Pod(_) => [Method::GET, Method::POST].contains(method),
        }
    }

    /// The subresources of the node of which a caller must have one, in the order in which a kubelet asks.
    pub fn subresources(&self) -> &'static [&'static str] {
        match self {
            Self::Pod(_) => &["proxy"],
            Self::Node { what, .. } => match what {
                NodePath::Healthz => &["healthz", "proxy"],
                NodePath::Pods => &["pods", "proxy"],
                NodePath::ResourceMetrics => &["metrics"],
                NodePath::Summary => &["stats"],
            },
        }
    }

    /// Its kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pod(pod) => match pod.what {
                Stream::Logs { .. } => "containerLogs",
                Stream::Exec { .. } => "exec",
                Stream::Attach { .. } => "attach",
                Stream::PortForward => "portForward",
            },
            Self::Node { what, .. } => match what {
                NodePath::Healthz => "healthz",
                NodePath::Pods => "pods",
                NodePath::ResourceMetrics => "metrics/resource",
                NodePath::Summary => "stats/summary",
            },
        }
    }
}

impl NodePath {
    fn parse(parts: &[&str]) -> Option<Self> {
        Some(match parts {
            ["healthz"] => Self::Healthz,
            ["pods"] => Self::Pods,
            ["metrics", "resource"] => Self::ResourceMetrics,
            ["stats", "summary"] => Self::Summary,
            _ => return None,
        })
    }

    /// The path of a node by its name.
    pub fn of(self, node: &str) -> String {
        let rest = match self {
            Self::Healthz => "healthz",
            Self::Pods => "pods",
            Self::ResourceMetrics => "metrics/resource",
            Self::Summary => "stats/summary",
        };
        format!("/nodes/{node}/{rest}")
    }
}

/// A name that Kubernetes may have given, as far as a path is concerned.
fn is_name(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=LONGEST).contains(&part.len()) && part.bytes().all(plain) && part.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod<'a>(uid: Option<&'a str>, what: Stream<'a>) -> Option<Path<'a>> {
        let pod = PodRef {
            namespace: "shop",
            name: "web-1",
            uid,
        };
        Some(Path::Pod(PodPath { pod, what }))
    }

    #[test]
    fn pods() {
        let container = "c";
        for (path, expected) in [
            ("/containerLogs/shop/web-1/c", pod(None, Stream::Logs { container })),
            ("/exec/shop/web-1/c", pod(None, Stream::Exec { container })),
            ("/exec/shop/web-1/u/c", pod(Some("u"), Stream::Exec { container })),
            ("/attach/shop/web-1/c", pod(None, Stream::Attach { container })),
            ("/attach/shop/web-1/u/c", pod(Some("u"), Stream::Attach { container })),
            ("/portForward/shop/web-1", pod(None, Stream::PortForward)),
            ("/portForward/shop/web-1/u", pod(Some("u"), Stream::PortForward)),
        ] {
            assert_eq!(Path::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn nodes_by_name_and_without() {
        for what in [
            NodePath::Healthz,
            NodePath::Pods,
            NodePath::ResourceMetrics,
            NodePath::Summary,
        ] {
            let path = what.of("admiralty-eu");
            let name = Some("admiralty-eu");
            assert_eq!(Path::parse(&path), Some(Path::Node { name, what }), "{path}");
            let bare = path.strip_prefix("/nodes/admiralty-eu").unwrap();
            assert_eq!(Path::parse(bare), Some(Path::Node { name: None, what }), "{bare}");
        }
    }

    #[test]
    fn nothing_else() {
        for path in [
            "",
            "/",
            "exec/shop/web/c",
            "/exec",
            "/exec/shop/web",
            "/exec/shop/web/u/c/more",
            "/exec//web/c",
            "/exec/shop/web/c/",
            "/exec/shop/../c",
            "/exec/./web/c",
            "/exec/shop/web%2f..%2f/c",
            "/exec/shop/web/c?command=ls",
            "/containerLogs/shop/web/u/c",
            "/run/shop/web/c",
            "/logs/syslog",
            "/metrics",
            "/configz",
            "/nodes/eu",
            "/nodes/eu/exec/shop/web/c",
        ] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_caller_needs_what_it_would_need_of_a_kubelet() {
        let subresources = |path| Path::parse(path).unwrap().subresources();
        assert_eq!(subresources("/exec/n/p/c"), ["proxy"]);
        assert_eq!(subresources("/nodes/eu/metrics/resource"), ["metrics"]);
        assert_eq!(subresources("/stats/summary"), ["stats"]);
        assert_eq!(subresources("/pods"), ["pods", "proxy"]);
        assert_eq!(subresources("/healthz"), ["healthz", "proxy"]);
    }

    #[test]
    fn what_only_reads_is_only_read() {
        let allows = |path, method| Path::parse(path).unwrap().allows(&method);
        assert!(allows("/exec/n/p/c", Method::POST) && allows("/exec/n/p/c", Method::GET));
        assert!(!allows("/containerLogs/n/p/c", Method::POST) && !allows("/exec/n/p/c", Method::PUT));
    }

    proptest! {
        #[test]
        fn what_is_taken_out_of_a_path_can_be_written_into_one(path in "(/[a-zA-Z0-9./%_~-]{0,12}){0,6}") {
            if let Some(Path::Pod(parsed)) = Path::parse(&path) {
                for part in [parsed.pod.namespace, parsed.pod.name] {
                    prop_assert!(is_name(part) && part != "." && part != "..");
                }
            }
        }

        #[test]
        fn no_bytes_panic(path in ".*") {
            let _ = Path::parse(&path);
        }
    }
}
