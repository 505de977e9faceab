//! The commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::failure::EXIT_CODES;

/// Connects clusters, shows how they do, and explains where pods are
///
/// A kubectl plugin: put the program kubectl-multicluster into a folder of your PATH.
#[derive(Parser, Debug)]
#[command(name = "kubectl-multicluster", bin_name = "kubectl multicluster", version, after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub global: Global,
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Command,
}

/// Flags of all commands.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Global {
    /// The kubeconfig; without it, the files of the environment variable KUBECONFIG, or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How the result is written; JSON and YAML keep their form between versions
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Say more on standard error; twice, requests too
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// A command.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Let a source send pods to a target
    ///
    /// Makes who may come in the target, and where to go in the source, and waits until pods can run. Everything is checked
    /// before anything is written: both clusters answer and have the product in the right role, your permissions suffice,
    /// names are free. If something fails on the way, or at Ctrl-C, what has been made is removed again. A second run repairs,
    /// and renews the token.
    Connect(Connect),
    /// Take a connection away
    ///
    /// Removes what connect has made, in the source and in the target. What others made stays, and is named.
    Disconnect(Disconnect),
    /// Show targets, virtual nodes and components of a cluster
    Status(OneCluster),
    /// Explain where a pod is, or why it is pending
    Explain(Explain),
    /// Check an installation
    Check(Check),
    /// Write a completion script for a shell
    #[command(after_help = crate::complete::HELP)]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// What kubectl_complete-multicluster asks for
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words so far, the last one incomplete
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Which cluster.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct OneCluster {
    /// Context of the kubeconfig; without it, the current one
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
}

/// Whose pods.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Scope {
    /// Pods of this namespace; it has the same name in both clusters. Without it, the context's namespace, or default
    #[arg(long, short, conflicts_with = "cluster")]
    pub namespace: Option<String>,
    /// Pods of all namespaces: ClusterTarget and ClusterSource
    #[arg(long)]
    pub cluster: bool,
}

/// How the source proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Credentials {
    /// A token of a ServiceAccount of the target, which ends (--token-duration); connect again to renew it
    Token,
    /// An identity that the source issues and renews; the target has the authenticating proxy
    Identity,
}

/// What is connected, and how.
#[derive(ClapArgs, Clone, Debug)]
pub struct Connect {
    /// Context of the source, where users create pods; without it, the current one
    #[arg(long, value_name = "CONTEXT")]
    pub source: Option<String>,
    /// Context of the target, where pods will run
    #[arg(long, value_name = "CONTEXT")]
    pub target: String,
    /// Name of the Target; without it, made from that of the target's context
    #[arg(long, value_parser = label)]
    pub name: Option<String>,
    /// Name of the Source in the target; without it, made from that of the source's context
    #[arg(long, value_parser = label)]
    pub source_name: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub scope: Scope,
    /// How the source proves who it is; without it, by identity where the target has the authenticating proxy
    #[arg(long, value_enum)]
    pub credentials: Option<Credentials>,
    /// https URL under which the source reaches the target's API server, or with identities its authenticating proxy;
    /// without it, the one in your kubeconfig, or the address of the proxy's load balancer
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File with the authority of that server's certificate (PEM); without it, what your kubeconfig has, or the proxy's own
    #[arg(long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Name in that server's certificate, if it is not the one in the URL
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// How long a token lives; the target may allow less
    #[arg(long, value_name = "DURATION", default_value = "2160h", value_parser = duration)]
    pub token_duration: Duration,
    /// Label the namespace in the source, so that its pods may be elected
    #[arg(long, conflicts_with = "cluster")]
    pub label_namespace: bool,
    /// Make the namespace in the target if it is missing
    #[arg(long, conflicts_with = "cluster")]
    pub create_namespace: bool,
    /// Check everything and show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until the virtual node is Ready; otherwise end as soon as everything is written
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub wait: bool,
    /// How long to wait for each step
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
}

/// What is disconnected.
#[derive(ClapArgs, Clone, Debug)]
pub struct Disconnect {
    /// Name of the Target or ClusterTarget
    pub name: String,
    /// Context of the source; without it, the current one
    #[arg(long, value_name = "CONTEXT")]
    pub source: Option<String>,
    /// Context of the target
    #[arg(long, value_name = "CONTEXT")]
    pub target: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub scope: Scope,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Evict the pods from the virtual node first, and wait until they are gone. They start elsewhere where there is room
    #[arg(long)]
    pub drain: bool,
    /// Go on without the target, or when it does not answer, and say what is left there
    #[arg(long)]
    pub force: bool,
    /// How long to wait for each step
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
}

/// Which pod.
#[derive(ClapArgs, Clone, Debug)]
pub struct Explain {
    /// The pod, as NAME or pod/NAME
    #[arg(value_parser = pod)]
    pub pod: String,
    /// Its namespace; without it, the context's, or default
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Context of the source; without it, the current one
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Context of the target that the pod runs in, to look there, too
    #[arg(long, value_name = "CONTEXT")]
    pub target: Option<String>,
}

/// What is checked.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Check {
    /// Context of the cluster; without it, the current one
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Warnings count as problems, for the exit code
    #[arg(long)]
    pub strict: bool,
}

/// A DNS label.
pub fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("not a name: write at most 63 of a-z, 0-9 and -, with a letter or digit at both ends".into())
    }
}

/// Is this a DNS label?
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && multicluster_api::syntax::is_subdomain(text)
}

fn pod(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        Some(("pod" | "pods" | "po", name)) => name,
        Some((kind, _)) => return Err(format!("{kind} cannot be explained: write pod/NAME")),
        None => text,
    };
    match multicluster_api::syntax::is_subdomain(name) {
        true => Ok(name.to_owned()),
        false => Err("not a pod's name: write NAME or pod/NAME".into()),
    }
}

/// `90s`, `10m`, `2160h`, `7d`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration: write for example 90s, 10m, 24h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = number
        .checked_mul(unit)
        .filter(|seconds| (1..=315_360_000).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_pod_is_named_as_with_kubectl() {
        for text in ["web-0", "pod/web-0", "pods/web-0", "po/web-0"] {
            assert_eq!(pod(text).as_deref(), Ok("web-0"));
        }
        for text in ["deploy/web", "pod/", "Web", "pod/a/b"] {
            assert!(pod(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_labels() {
        assert!(is_label("eu") && !is_label("Eu") && !is_label("a.b") && !is_label("") && !is_label(&"a".repeat(64)));
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("24h", 86400), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "s",
            "-1s",
            "1w",
            "99999999999999999999h",
            "18446744073709551615d",
            "1.5h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (duration(&text), pod(&text), label(&text));
        }
    }
}
