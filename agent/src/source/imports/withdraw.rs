//! Takes back what exports have made in the source: imports, and what is said of the exports.

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, Error, ResourceExt};
use multicluster_api::view::ServiceExportView;
use serde_json::json;

use super::status::FIELD_MANAGER;
use crate::api_error;
use crate::source::following::recall::{Others, Recalled, Whose, recall};

/// Delete what is imported in the source called `cluster_name`, and take back what its ServiceExports say of themselves. May
/// be repeated.
pub async fn withdraw(client: &Client, cluster_name: &str) -> Result<Recalled, Error> {
    let whose = Whose {
        cluster_name,
        namespace: None,
        others: &Others::default(),
        // Who removes the product need not be the agent.
        user: None,
    };
    let recalled = recall(client, &whose).await;
    take_back_conditions(client).await?;
    Ok(recalled)
}

async fn take_back_conditions(client: &Client) -> Result<(), Error> {
    let exports = match Api::<ServiceExportView>::all(client.clone())
        .list(&ListParams::default())
        .await
    {
        Ok(exports) => exports.items,
        // Nobody has defined them.
        Err(error) if api_error::is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let resource = ApiResource::erase::<ServiceExportView>(&());
    for export in exports.iter().filter(|export| !export.status.conditions.is_empty()) {
        let (namespace, name) = (export.namespace().unwrap_or_default(), export.name_any());
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource);
        // What is applied no more is taken away; conditions that another controller has written stay.
        let nothing = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": { "name": name, "uid": export.uid() },
            "status": {},
        });
        let (apply, nothing) = (PatchParams::apply(FIELD_MANAGER), Patch::Apply(nothing));
        api_error::ignore_gone(api.patch_status(&name, &apply, &nothing).await)?;
    }
    Ok(())
}
