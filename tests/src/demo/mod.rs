//! What a newcomer runs: `make demo` shows the product at work and checks all that it shows; `make up` starts the same
//! clusters to play with, until `make down`.
//!
//! ```text
//! run   ─▶ Story ─▶ Product (management, us-west-2, eu-west-3)
//!            ├────▶ Outside: load balancers, DNS
//!            ├────▶ Placement: where every pod runs, read from all clusters
//!            ├────▶ Found: where the Service, the Ingress and the ConfigMap are
//!            └────▶ Screen: steps, commands, progress, tables
//!
//! up    ─▶ serve (in the background) ─▶ Product, Outside
//! down  ─▶ SIGTERM to whoever holds the lock of the state folder
//! ```

mod clusters;
mod exposed;
mod found;
mod leftovers;
mod outside;
mod placement;
mod screen;
mod serve;
mod state;
mod story;
mod table;
mod up;

pub use serve::serve;
pub use story::run;
pub use up::{down, up};
