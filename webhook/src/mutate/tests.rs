//! What a proxy pod looks like.

mod constraints;
mod denials;
mod manifest;
mod patches;
mod properties;
