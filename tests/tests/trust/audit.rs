//! What a cluster's API server has written into its audit log.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

/// Who, what and where of every request, no bodies.
const POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

/// An audit log.
#[derive(Clone)]
pub struct Audit {
    policy: PathBuf,
    log: PathBuf,
}

impl Audit {
    /// For a cluster of this name.
    pub fn new(dir: &Path, cluster: &str) -> Result<Self> {
        let policy = dir.join("audit-policy.yaml");
        std::fs::write(&policy, POLICY)?;
        let log = dir.join(format!("{cluster}-audit.log"));
        Ok(Self { policy, log })
    }

    /// Arguments of the API server. It writes an event before it answers.
    pub fn args(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.log.display()),
        ]
    }

    /// Events whose request had this in its URI or its user agent.
    pub fn events(&self, mark: &str) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.log)?;
        let lines = text.lines().filter(|line| line.contains(mark));
        let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let has = |value: &Value| value.as_str().unwrap_or_default().contains(mark);
        Ok(events
            .filter(|event| has(&event["requestURI"]) || has(&event["userAgent"]))
            .collect())
    }
}
