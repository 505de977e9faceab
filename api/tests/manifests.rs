//! The manifests of the custom resources are those of the types.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use multicluster_api::crds;

#[test]
fn the_manifests_are_generated_from_the_types() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    for crd in crds::all() {
        let path = dir.join(crds::file_name(&crd));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == crds::manifest(&crd).unwrap(),
            "{} is out of date: run `make manifests`",
            path.display()
        );
    }
}

#[test]
fn every_manifest_has_its_type() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    files.retain(|name| name != "kustomization.yaml");
    assert_eq!(files.len(), crds::all().len(), "{files:?}");
}
