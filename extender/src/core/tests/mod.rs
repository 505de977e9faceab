//! What the core promises.

mod attempt;
mod delegate;
mod fit;
mod fit_reference;
mod inflight;
mod pod;
