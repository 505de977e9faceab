//! Who may do what, and who may not.

mod chaperons;
mod copies;
mod extender;
mod impersonation;
mod kubeconfigs;
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
        impersonation::tests(),
        kubeconfigs::tests(),
        secrets::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
