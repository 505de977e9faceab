//! Takes back what the agent has made in the source: DNSEndpoints, EndpointSlices, and addresses in statuses.

use kube::{Client, Error};

use super::status::Shown;
use super::{apply, dns_endpoints, shelf, slices};

/// Whose statuses we write.
pub const SHOWN: [Shown; 3] = [Shown::Ingress, Shown::Service, Shown::Gateway];

/// Take everything back. Kinds whose definitions are missing have nothing. May be repeated. Returns how many objects were
/// deleted or changed.
pub async fn withdraw(client: &Client) -> Result<usize, Error> {
    // Records first: they lead users here.
    let mut count = shelf::clear(client, &dns_endpoints::resource()).await?;
    count += shelf::clear(client, &slices::resource()).await?;
    for shown in SHOWN {
        for place in apply::ours(client, shown).await? {
            apply::apply(client, shown, &place, None).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// What [`withdraw`] would find, as `KIND NAMESPACE/NAME`.
pub async fn left(client: &Client) -> Result<Vec<String>, Error> {
    let mut left = vec![];
    for resource in [dns_endpoints::resource(), slices::resource()] {
        for (namespace, name, _) in shelf::list(client, &resource).await? {
            left.push(format!("{} {namespace}/{name}", resource.kind));
        }
    }
    for shown in SHOWN {
        for place in apply::ours(client, shown).await? {
            left.push(format!(
                "status of {} {}/{}",
                apply::resource(shown).kind,
                place.namespace,
                place.name
            ));
        }
    }
    Ok(left)
}
