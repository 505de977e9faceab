//! The clusters that all tests share.
//!
//! | cluster | nodes | believes the source's | by |
//! |---|---|---|---|
//! | source | none | | |
//! | us | 3 `us` | certificates | two replicas of the proxy; their way to the API server can be disturbed |
//! | eu | 3 `eu` | tokens | one proxy |
//! | direct | 2 `direct` | tokens | its API server |

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;

use anyhow::Result;
use testbed::product::{Product, Role};
use testbed::{ClusterOptions, Link, NodePool, Streams, Testbed};

use super::audit::Audit;
use super::clusters;
pub use super::clusters::{SOON, describe, is_running, phase};

/// The label with a target's region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// A target that believes nobody yet.
const NOBODY: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n";

/// A test in this world.
pub type Test = super::harness::Test<World>;

/// The clusters that all tests share.
pub struct World {
    clusters: clusters::World,
    /// What the targets' pods say and answer.
    pub streams: Streams,
    /// The targets' audit logs.
    pub audits: BTreeMap<&'static str, Audit>,
    /// Whom the API server of `direct` believes.
    pub authentication_config: PathBuf,
    /// The way of the proxy in `us` to its API server.
    pub link: Link,
}

impl World {
    /// Start the clusters and the proxies. Nothing is connected yet.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        let streams = Streams::start(testbed.dir()).await?;
        let authentication_config = testbed.dir().join("authentication.yaml");
        std::fs::write(&authentication_config, NOBODY)?;
        let mut source = ClusterOptions::new("source", []);
        source.open_issuer = true;
        let (mut targets, mut audits) = (Vec::new(), BTreeMap::new());
        for (name, nodes) in [("us", 3), ("eu", 3), ("direct", 2)] {
            let audit = Audit::new(testbed.dir(), name)?;
            let mut options = ClusterOptions::new(name, [NodePool::new(name, nodes).label(REGION, name)]);
            options.kwok_config = streams.kwok_config();
            options.apiserver_args = audit.args();
            options.cert_manager = name != "direct";
            if name == "direct" {
                let config = authentication_config.display();
                options.apiserver_args.push(format!("--authentication-config={config}"));
            }
            audits.insert(name, audit);
            targets.push(options);
        }
        let mut product = Product::start(&testbed, source, Role::Source, targets).await?;
        let link = Link::to(&product.target("us")?.cluster, 1).await?;
        let mut seats = product.targets.iter_mut();
        let (eu, us) = (
            seats.find(|(name, _)| *name == "eu"),
            seats.find(|(name, _)| *name == "us"),
        );
        if let (Some((_, eu)), Some((_, us))) = (eu, us) {
            tokio::try_join!(eu.start_authproxy(1, None), us.start_authproxy(2, Some(&link)))?;
        }
        Ok(Self {
            clusters: clusters::World {
                product,
                links: BTreeMap::new(),
            },
            streams,
            audits,
            authentication_config,
            link,
        })
    }
}

impl Deref for World {
    type Target = clusters::World;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}
