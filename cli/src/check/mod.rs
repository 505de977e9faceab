//! `check`: is an installation as it should be?

pub mod gather;
pub mod kubectl;
pub mod probe;
pub mod rights;
pub mod rules;

use serde::Serialize;

use crate::args::{Check, Global};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::output::{self, Cell, Level, Table};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `certificate multicluster-ca`.
    pub check: String,
    /// How it is.
    pub level: Level,
    /// What was seen.
    pub message: String,
    /// What to do, if it is not ok.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Finding {
    /// All is well with it.
    pub fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            level: Level::Ok,
            message: message.into(),
            fix: String::new(),
        }
    }

    /// It is worth a look.
    pub fn warning(check: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            fix: fix.into(),
            ..Self::ok(check, message)
        }
    }

    /// It is wrong.
    pub fn error(check: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            ..Self::warning(check, message, fix)
        }
    }
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The context.
    pub context: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    fn people(&self) -> String {
        let mut table = Table::new(["CHECK", "RESULT", "WHAT IS SEEN"]);
        for finding in &self.findings {
            let result = Cell::marked(finding.level.word(), finding.level);
            table.row([finding.check.clone().into(), result, finding.message.clone().into()]);
        }
        let mut text = table.render();
        let wrong: Vec<_> = self
            .findings
            .iter()
            .filter(|finding| finding.level > Level::Ok)
            .collect();
        if !wrong.is_empty() {
            text += "\nwhat to do:\n";
        }
        for finding in wrong {
            let style = finding.level.style();
            text += &format!("  - {style}{}{style:#}: {}\n", finding.check, finding.fix);
        }
        text
    }

    fn worst(&self) -> Level {
        self.findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

/// Check an installation.
pub async fn run(global: &Global, flags: &Check) -> Result<(), Failure> {
    let cluster = Contexts::read(global)?.cluster(flags.context.as_deref()).await?;
    let installation = gather::gather(&cluster).await?;
    let mut findings = rules::judge(&installation, jiff::Timestamp::now());
    findings.extend(rights::check(&cluster, &installation.facts).await?);
    findings.extend(probe::probe(&cluster, &installation).await);
    findings.extend(kubectl::skew(installation.facts.version).await);
    let report = Report {
        context: cluster.context.clone(),
        findings,
    };
    output::write(global.output, &report, || report.people())?;
    let limit = if flags.strict { Level::Warning } else { Level::Error };
    match report.worst() < limit {
        true => Ok(()),
        false => Err(Failure::Found),
    }
}
