//! What was measured, against what was aimed at: a table for people, one flat JSON object for programs.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Number, Value};

/// What a number should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// Told to explain other numbers.
    None,
}

impl Goal {
    /// Whether the number is as it should be; nothing without a goal.
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(goal) => Some(value >= goal),
            Self::AtMost(goal) => Some(value <= goal),
            Self::Below(goal) => Some(value < goal),
            Self::None => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, "≥ {goal}"),
            Self::AtMost(goal) => write!(f, "≤ {goal}"),
            Self::Below(goal) => write!(f, "< {goal}"),
            Self::None => Ok(()),
        }
    }
}

/// The numbers of a run, in the order in which they came.
#[derive(Debug, Default)]
pub struct Summary(Vec<(String, f64, Goal)>);

impl Summary {
    /// Adds a number that has a goal.
    pub fn goal(&mut self, name: &str, value: f64, goal: Goal) {
        self.0.push((name.to_owned(), value, goal));
    }

    /// Adds a number without a goal.
    pub fn note(&mut self, name: &str, value: f64) {
        self.goal(name, value, Goal::None);
    }

    /// Adds all numbers of another.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The names of the goals that were missed.
    pub fn missed(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(_, value, goal)| goal.is_met(*value) == Some(false))
            .map(|(name, ..)| name.as_str())
            .collect()
    }

    /// Writes the JSON object.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(&self.json())? + "\n";
        std::fs::write(path, json).with_context(|| path.display().to_string())
    }

    fn json(&self) -> Value {
        let number = |value: f64| Number::from_f64((value * 1e4).round() / 1e4).map_or(Value::Null, Value::Number);
        let members = self.0.iter().map(|(name, value, _)| (name.clone(), number(*value)));
        Value::Object(members.collect::<Map<_, _>>())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
        writeln!(f, "{:<width$}  {:>10}  {:>8}  met?", "name", "value", "goal")?;
        for (name, value, goal) in &self.0 {
            let met = match goal.is_met(*value) {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let line = format!("{name:<width$}  {value:>10.3}  {:>8}  {met}", goal.to_string());
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let mut summary = Summary::default();
        summary.goal("ratio", 0.5, Goal::AtLeast(0.5));
        summary.goal("writes", 11.0, Goal::AtMost(10.0));
        summary.goal("p99_ms", 2.0, Goal::Below(2.0));
        summary.note("pods", 126.123_456);
        summary
    }

    #[test]
    fn a_table_for_people() {
        let table = summary().to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "ratio        0.500     ≥ 0.5  yes");
        assert_eq!(lines[2], "writes      11.000      ≤ 10  NO");
        assert_eq!(lines[4], "pods       126.123");
        assert_eq!(summary().missed(), ["writes", "p99_ms"]);
    }

    #[test]
    fn one_flat_object_for_programs() {
        let json = serde_json::json!({ "ratio": 0.5, "writes": 11.0, "p99_ms": 2.0, "pods": 126.1235 });
        assert_eq!(summary().json(), json);
    }
}
