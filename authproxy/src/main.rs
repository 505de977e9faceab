//! The binary: see the library.

use clap::Parser;
use multicluster_authproxy::args::Args;

fn main() {
    let _ = Args::parse();
}
