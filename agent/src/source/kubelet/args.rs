//! Flags of the kubelet API.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use multicluster_api::names;
use multicluster_kubelet::request::Wish;

use super::endpoint::Endpoint;

/// The signer of kubelets' serving certificates.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// Flags of the kubelet API.
#[derive(Args, Clone, Debug)]
pub struct KubeletArgs {
    /// Where the virtual nodes' kubelet API listens (logs, exec, attach, port-forward, metrics)
    #[arg(long, env = "KUBELET_BIND_ADDR", default_value = "0.0.0.0:10250")]
    pub kubelet_bind_addr: SocketAddr,
    /// IP address by which this cluster's API server reaches the kubelet API; without it, there is none
    #[arg(long, env = "POD_IP")]
    pub kubelet_address: Option<IpAddr>,
    /// Signer of the kubelet API's serving certificate; on EKS, for one, beta.eks.amazonaws.com/app-serving
    #[arg(long, env = "KUBELET_SIGNER", default_value = KUBELET_SERVING)]
    pub kubelet_signer: String,
    /// Approve the request for that certificate; by default for the signer kubernetes.io/kubelet-serving alone, since others
    /// need the right to. False leaves it to `kubectl certificate approve` or an approver
    #[arg(long, env = "KUBELET_APPROVE")]
    pub kubelet_approve: Option<bool>,
    /// Life of that certificate in seconds, at least 600; without it, the signer's choice
    #[arg(long, env = "KUBELET_CERTIFICATE_SECONDS", value_parser = clap::value_parser!(u32).range(600..=2_147_483_647))]
    pub kubelet_certificate_seconds: Option<u32>,
}

impl KubeletArgs {
    /// Where to listen. All addresses means those of the address's own family at least.
    pub fn bind(&self) -> SocketAddr {
        let (bind, six) = (
            self.kubelet_bind_addr,
            self.kubelet_address.is_some_and(|address| address.is_ipv6()),
        );
        match bind.is_ipv4() && bind.ip().is_unspecified() && six {
            true => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), bind.port()),
            false => bind,
        }
    }

    /// What virtual nodes show; `None` when there is no kubelet API.
    pub fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint {
            address: self.kubelet_address?,
            port: self.kubelet_bind_addr.port(),
        })
    }

    /// The certificate to ask for.
    pub fn wish(&self) -> Option<Wish> {
        Some(Wish {
            address: self.kubelet_address?,
            names: vec![],
            approve: self.kubelet_approve.unwrap_or(self.kubelet_signer == KUBELET_SERVING),
            signer: self.kubelet_signer.clone(),
            label: (names::KUBELET_REQUEST, "true"),
            expiration: self
                .kubelet_certificate_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: KubeletArgs,
    }

    fn args(flags: &[&str]) -> KubeletArgs {
        Cli::parse_from([&["agent"], flags].concat()).args
    }

    #[test]
    fn without_an_address_there_is_no_kubelet_api() {
        let none = KubeletArgs {
            kubelet_address: None,
            ..args(&[])
        };
        assert!(none.endpoint().is_none() && none.wish().is_none());
    }

    #[test]
    fn we_approve_what_we_have_the_right_to() {
        let approves = |flags: &[&str]| {
            args(&[&["--kubelet-address=10.0.0.1"], flags].concat())
                .wish()
                .unwrap()
                .approve
        };
        assert!(approves(&[]));
        assert!(!approves(&["--kubelet-approve=false"]));
        assert!(!approves(&["--kubelet-signer=beta.eks.amazonaws.com/app-serving"]));
    }

    #[test]
    fn all_addresses_are_those_of_the_pods_family() {
        assert_eq!(
            args(&["--kubelet-address=10.0.0.1"]).bind().to_string(),
            "0.0.0.0:10250"
        );
        assert_eq!(args(&["--kubelet-address=fd00::1"]).bind().to_string(), "[::]:10250");
        let one = args(&["--kubelet-address=fd00::1", "--kubelet-bind-addr=[fd00::1]:1234"]);
        assert_eq!(
            (one.bind().to_string().as_str(), one.endpoint().unwrap().port),
            ("[fd00::1]:1234", 1234)
        );
    }
}
