//! Objects as JSON, whatever their kind: what this program does not know of them is copied all the same.

use http::header::{CONTENT_TYPE, HeaderValue};
use kube::api::{DeleteParams, DynamicObject, GetParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Client, Error, Resource};
use serde_json::Value;

use super::object::ObjectKey;

/// Who writes, in `managedFields`.
const FIELD_MANAGER: &str = "multicluster-agent";
/// RFC 6902.
const JSON_PATCH: HeaderValue = HeaderValue::from_static("application/json-patch+json");

fn request(key: &ObjectKey) -> Request {
    Request::new(DynamicObject::url_path(&key.kind.resource(), Some(&key.namespace)))
}

/// Read an object.
pub async fn get(client: &Client, key: &ObjectKey) -> Result<Value, Error> {
    let request = request(key).get(&key.name, &GetParams::default());
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// Make an object.
pub async fn create(client: &Client, key: &ObjectKey, object: &Value) -> Result<Value, Error> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    let body = serde_json::to_vec(object).map_err(Error::SerdeError)?;
    let request = request(key).create(&params, body);
    client.request(request.map_err(Error::BuildRequest)?).await
}

/// Change an object by a JSON Patch.
pub async fn patch(client: &Client, key: &ObjectKey, operations: &[Value]) -> Result<Value, Error> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let request = request(key).patch(&key.name, &params, &Patch::Merge(operations));
    let mut request = request.map_err(Error::BuildRequest)?;
    request.headers_mut().insert(CONTENT_TYPE, JSON_PATCH);
    client.request(request).await
}

/// Delete an object, if it is still this one.
pub async fn delete(client: &Client, key: &ObjectKey, which: Preconditions) -> Result<(), Error> {
    let params = DeleteParams::background().preconditions(which);
    let request = request(key).delete(&key.name, &params);
    // What comes back is the object or a Status.
    client
        .request::<Value>(request.map_err(Error::BuildRequest)?)
        .await
        .map(drop)
}
