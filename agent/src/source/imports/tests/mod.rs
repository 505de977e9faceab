//! What imports promise.

mod bring;
mod clusters;
mod conditions;
mod endpoints;
mod import;
mod slices;

use crate::source::imports::exportable::{Exportable, Port, TCP, TargetPort};

/// A Service called "web" with port 80, which leads to what `target` says.
fn service(target: TargetPort) -> Exportable {
    Exportable {
        name: "web".into(),
        ports: vec![port("http", 80, target)],
        ..Exportable::default()
    }
}

fn port(name: &str, port: i32, target: TargetPort) -> Port {
    Port {
        name: name.into(),
        protocol: TCP.into(),
        port,
        app_protocol: None,
        target,
    }
}
