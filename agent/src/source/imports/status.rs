//! Writes statuses: of imports, and of exports.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Error, Resource};
use multicluster_api::view::ServiceExportView;
use serde_json::{Value, json};

use super::conditions::{conditions, merge};
use super::exports::Export;
use crate::api_error;
use crate::changes::Key;
use crate::home::Home;
use crate::queue::Outcome;
use crate::source::following::object::ObjectKey;

/// Who writes, in `managedFields`. Conditions are told apart by it: those of others stay.
pub const FIELD_MANAGER: &str = "multicluster-agent";
const STATUS: &str = "status";

/// Write the status of an object that is ours, if it is still this one.
pub async fn write(client: &Client, key: &ObjectKey, uid: &str, status: &Value) -> Result<Value, Error> {
    let patch = Patch::Merge(json!({ "metadata": { "uid": uid }, "status": status }));
    let request = Request::new(DynamicObject::url_path(&key.kind.resource(), Some(&key.namespace)));
    let request = request.patch_subresource(STATUS, &key.name, &PatchParams::default(), &patch);
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// Say of a ServiceExport how it is, where that is news.
pub async fn tell(home: &Home, key: &Key) -> Outcome {
    let Some(export) = home.imports.exports.get(key) else {
        return Outcome::Done;
    };
    let Some(conditions) = news(&export) else {
        return Outcome::Done;
    };
    match apply(&home.client, key, &export.uid, &conditions).await {
        Ok(()) => Outcome::Done,
        Err(error) if api_error::is_not_found(&error) => Outcome::Done,
        // Another controller exports Services here, too, and has its own view of things. There is no use in a quarrel.
        Err(error) if api_error::is_conflict(&error) => {
            tracing::warn!(namespace = key.0, service = key.1, %error, "conditions of a ServiceExport are another's");
            Outcome::Done
        }
        Err(error) => {
            tracing::warn!(namespace = key.0, service = key.1, %error, "conditions of a ServiceExport");
            Outcome::Retry
        }
    }
}

fn news(export: &Export) -> Option<Vec<Condition>> {
    let valid = export.service.as_ref()?.as_ref().map(|_| ());
    let wanted = conditions(valid, &export.progress);
    merge(&export.conditions, wanted, export.generation, Timestamp::now())
}

async fn apply(client: &Client, key: &Key, uid: &str, conditions: &[Condition]) -> Result<(), Error> {
    let resource = ApiResource::erase::<ServiceExportView>(&());
    let object = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": key.1, "namespace": key.0, "uid": uid },
        "status": { "conditions": conditions },
    });
    let request = Request::new(DynamicObject::url_path(&resource, Some(&key.0)));
    let params = PatchParams::apply(FIELD_MANAGER);
    let request = request.patch_subresource(STATUS, &key.1, &params, &Patch::Apply(object));
    let answer: Result<Value, _> = client.request(request.map_err(Error::BuildRequest)?).await;
    answer.map(drop)
}
