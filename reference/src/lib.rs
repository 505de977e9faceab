//! Writes the reference pages in docs: of the programs' own flags, the definitions of custom resources, and the names of labels
//! and annotations. What `--help`, the API server and the code say is said once.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod custom_resources;
mod names;
mod page;

use std::path::Path;

use clap::CommandFactory;

const GENERATED: &str = "<!-- Generated from the programs' flags; change them there and run `make manifests`. -->\n";

/// The pages: file name and text.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("cli.md", cli()),
        ("custom-resources.md", custom_resources()),
        ("flags.md", flags()),
        ("labels-and-annotations.md", labels_and_annotations()),
    ]
}

/// The pages in a folder that are not what they would be now.
pub fn outdated(dir: &Path) -> Vec<&'static str> {
    let differs =
        |(name, text): &(&'static str, String)| std::fs::read_to_string(dir.join(name)).ok().as_deref() != Some(text);
    pages().into_iter().filter(differs).map(|(name, _)| name).collect()
}

fn cli() -> String {
    let mut command = multicluster_cli::args::Args::command();
    command.build();
    format!("{GENERATED}# kubectl multicluster\n\n{}", page::command(&command, "##"))
}

fn custom_resources() -> String {
    format!(
        "{}# Custom resources\n\n`kubectl explain` shows the same. Annotations of pods are in [pod-configuration.md](pod-configuration.md).\n{}",
        "<!-- Generated from the types in api; change them there and run `make manifests`. -->\n",
        custom_resources::page(&multicluster_api::crds::all())
    )
}

fn labels_and_annotations() -> String {
    format!(
        "{}# Labels, annotations, taints and finalizers\n\n{}\n{}",
        "<!-- Generated from api/src/names.rs; change it there and run `make manifests`. -->\n",
        concat!(
            "All that components write or look for. What people write on pods is in [pod-configuration.md](pod-configuration.md), ",
            "what they write on Services, Ingresses and HTTPRoutes in [exposure.md](exposure.md).\n",
        ),
        names::page()
    )
}

fn flags() -> String {
    let mut text = format!(
        "{GENERATED}# Flags of the components\n\nEach flag can be given by its environment variable, too, as the manifests do.\n"
    );
    for (name, mut command) in [
        ("webhook", multicluster_webhook::args::Args::command()),
        ("extender", multicluster_extender::args::Args::command()),
        ("agent", multicluster_agent::cli::Args::command()),
        ("authproxy", multicluster_authproxy::args::Args::command()),
    ] {
        command.build();
        text += &format!("\n## {name}\n\n{}", page::command(&command, "###"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_docs_are_current() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        assert!(
            outdated(&docs).is_empty(),
            "not current: {:?}; run make manifests",
            outdated(&docs)
        );
    }
}
