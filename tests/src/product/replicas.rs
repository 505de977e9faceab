//! One component: a process, or several that stand in for one another.

use std::ops::Deref;

use anyhow::Result;

use super::seat::wait_for_admin;
use crate::Process;
use crate::balancer::Endpoint;

/// One replica of a component. It is used like its process.
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Where it serves; 0 for a component that serves nothing but its admin port.
    pub port: u16,
    /// Its admin port.
    pub admin_port: u16,
}

impl Deref for Replica {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// All replicas of a component. It is used like the process of the first one, which is the only one in most tests.
pub struct Replicas(pub(super) Vec<Replica>);

impl Deref for Replicas {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0[0].process
    }
}

impl Replicas {
    /// All of them.
    pub fn all(&self) -> &[Replica] {
        &self.0
    }

    /// Wait until all say that they are ready.
    pub async fn wait_ready(&self) -> Result<()> {
        for replica in &self.0 {
            wait_for_admin(&replica.process, replica.admin_port).await?;
        }
        Ok(())
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |replica: &Replica| Endpoint {
            port: replica.port,
            admin_port: replica.admin_port,
        };
        self.0.iter().map(endpoint).collect()
    }
}
