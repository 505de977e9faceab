//! Types and decisions. No async, no client, no clock of its own: the time is an argument.

pub mod attempt;
pub mod constraints;
pub mod delegate;
pub mod facts;
pub mod failures;
pub mod fit;
pub mod inflight;
pub mod misfit;
pub mod need;
pub mod nodes;
pub mod pod;
pub mod score;
pub mod selectors;

#[cfg(test)]
pub(crate) mod builders;
#[cfg(test)]
mod tests;
