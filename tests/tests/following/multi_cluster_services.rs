//! The Multi-Cluster Services API: an exported Service gets an import with the endpoints of all clusters.

use super::harness::Test;

pub fn tests() -> Vec<Test> {
    vec![]
}
