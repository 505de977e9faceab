//! What is asked of targets, of which pods, and what is told.

mod delegated;
mod fetch;
mod target;
mod trouble;
