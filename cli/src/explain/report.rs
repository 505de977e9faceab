//! An explanation, in its stable form.

use serde::Serialize;

use crate::output::{Cell, Level, Table};

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// It does not ask to be sent to a target.
    NotElected,
    /// It asks, and the webhook has not seen it.
    NotReviewed,
    /// It waits for a scheduler, on purpose of whoever made it.
    Gated,
    /// It has no node.
    Pending,
    /// It is on a virtual node.
    Placed,
    /// It is on a virtual node whose target does not answer.
    PlacedUnreachable,
    /// It is being deleted.
    Ending,
    /// It has come to its end.
    Ended,
}

/// Where a pod is and why, or why it is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// The same in a sentence.
    pub summary: String,
    /// The virtual node that it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_node: Option<String>,
    /// Its delegate, if a context for the target was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Delegate>,
    /// Each target, and what is for and against it.
    pub targets: Vec<Candidate>,
    /// What is known beyond that.
    pub notes: Vec<String>,
    /// What to do.
    pub advice: Vec<String>,
    /// The last events, the latest first.
    pub events: Vec<Told>,
}

/// A delegate in its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delegate {
    /// Name of the PodChaperon and of the delegate pod.
    pub name: String,
    /// Its node there; empty until it has one.
    pub node: String,
    /// Its phase.
    pub phase: String,
    /// What the target says about it.
    pub notes: Vec<String>,
}

/// A target, and what is for and against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The Target or ClusterTarget.
    pub target: String,
    /// Its virtual node.
    pub virtual_node: String,
    /// Can the pod go there, as far as it can be seen from here?
    pub fits: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// How often it was told.
    pub count: i32,
}

impl Explanation {
    /// For people.
    pub fn people(&self) -> String {
        let mut text = format!("pod {}/{}: {}\n", self.namespace, self.name, self.summary);
        if let Some(delegate) = &self.delegate {
            let node = if delegate.node.is_empty() {
                "no node yet"
            } else {
                &delegate.node
            };
            text += &format!("delegate {}: {}, {node}\n", delegate.name, delegate.phase);
            delegate.notes.iter().for_each(|note| text += &format!("  {note}\n"));
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        if !self.targets.is_empty() {
            let mut table = Table::new(["TARGET", "VIRTUAL NODE", "FITS", "WHY NOT"]);
            for candidate in &self.targets {
                let fits = match candidate.fits {
                    true => Cell::marked("yes", Level::Ok),
                    false => Cell::marked("no", Level::Error),
                };
                let (target, node) = (candidate.target.clone().into(), candidate.virtual_node.clone().into());
                table.row([target, node, fits, candidate.reasons.join("; ").into()]);
            }
            text += &format!("\n{}", table.render());
        }
        if !self.events.is_empty() {
            text += "\nevents:\n";
            for told in &self.events {
                let clean: String = told
                    .message
                    .chars()
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect();
                text += &format!("  {} ({}): {clean}\n", told.reason, told.count);
            }
        }
        if !self.advice.is_empty() {
            text += "\nwhat to do:\n";
            self.advice.iter().for_each(|advice| text += &format!("  - {advice}\n"));
        }
        text
    }
}
