//! Is kubectl near enough to the cluster's version?

use super::Finding;
use crate::facts::Version;

/// Kubernetes supports kubectl one minor version from the API server, on either side.
const SKEW: u32 = 1;

/// Compare them; nothing where there is no kubectl.
pub async fn skew(server: Option<Version>) -> Option<Finding> {
    let output = tokio::process::Command::new("kubectl")
        .args(["version", "--client", "-o", "json"])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(5), output)
        .await
        .ok()?
        .ok()?;
    judge(&output.stdout, server?)
}

fn judge(answer: &[u8], server: Version) -> Option<Finding> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let client = &answer["clientVersion"];
    let client = Version::parse(client["major"].as_str()?, client["minor"].as_str()?)?;
    let seen = format!("kubectl {client}, API server {server}");
    Some(
        match client.major == server.major && client.minor.abs_diff(server.minor) <= SKEW {
            true => Finding::ok("kubectl", seen),
            false => Finding::warning(
                "kubectl",
                seen,
                "use a kubectl at most one minor version from the cluster's",
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Level;

    #[test]
    fn one_minor_version_is_near_enough() {
        for (minor, level) in [
            ("34", Level::Warning),
            ("35", Level::Ok),
            ("37", Level::Ok),
            ("38+", Level::Warning),
        ] {
            let answer = format!(r#"{{"clientVersion": {{"major": "1", "minor": "{minor}"}}}}"#);
            let finding = judge(answer.as_bytes(), Version { major: 1, minor: 36 }).unwrap();
            assert_eq!(finding.level, level, "{minor}");
        }
        assert_eq!(judge(b"x", Version { major: 1, minor: 36 }), None);
    }
}
