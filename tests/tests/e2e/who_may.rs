//! Who may do what, and who may not.

mod chaperons;
mod copies;
mod extender;
mod proxy_pods;
mod secrets;
mod sources;

use super::harness::Test;

pub fn tests() -> Vec<Test> {
    [
        extender::tests(),
        proxy_pods::tests(),
        sources::tests(),
        chaperons::tests(),
        copies::tests(),
        secrets::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
