//! Writes what [`super::status`] decides, and knows whose a status is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, Error, ResourceExt};
use serde_json::{Value, json};

use super::status::{FIELD_MANAGER, Shown};
use crate::api_error;
use crate::source::following::object::Kind;

/// Objects of a page of a list.
const PAGE: u32 = 500;

/// Which object has a status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// What came of applying a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is as wanted.
    Done,
    /// The object is gone, or another one has its name.
    Gone,
    /// Somebody else has written it; the API server's words.
    Theirs(String),
}

/// Where the API server has the objects.
pub fn resource(shown: Shown) -> ApiResource {
    match shown {
        Shown::Ingress => Kind::Ingress.resource(),
        Shown::Service => Kind::Service.resource(),
        Shown::Gateway => ApiResource {
            group: "gateway.networking.k8s.io".into(),
            version: "v1".into(),
            api_version: "gateway.networking.k8s.io/v1".into(),
            kind: "Gateway".into(),
            plural: "gateways".into(),
        },
    }
}

/// Apply a status, or take back what we applied.
pub async fn apply(client: &Client, shown: Shown, place: &Place, status: Option<&Value>) -> Result<Applied, Error> {
    let resource = resource(shown);
    let mut body = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        // With a UID, nothing is ever created, and no other object is changed.
        "metadata": { "name": place.name, "namespace": place.namespace, "uid": place.uid },
    });
    if let Some(status) = status {
        body["status"] = status.clone();
    }
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &place.namespace, &resource);
    let result = api
        .patch_status(&place.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&body))
        .await;
    match result {
        Ok(_) => Ok(Applied::Done),
        Err(error) => outcome(error),
    }
}

fn outcome(error: Error) -> Result<Applied, Error> {
    let Error::Api(status) = &error else {
        return Err(error);
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    if api_error::is_not_found(&error) {
        Ok(Applied::Gone)
    } else if status.code == 409 {
        let conflict = causes.into_iter().any(|cause| cause.reason == "FieldManagerConflict");
        match conflict {
            true => Ok(Applied::Theirs(status.message.clone())),
            false => Ok(Applied::Gone),
        }
    } else if status.code == 422 && causes.into_iter().any(|cause| cause.field == "metadata.uid") {
        Ok(Applied::Gone)
    } else {
        Err(error)
    }
}

/// The object as it is now, if it exists. Of Gateways nobody tells us the UID.
pub async fn place(client: &Client, shown: Shown, namespace: &str, name: &str) -> Result<Option<Place>, Error> {
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource(shown));
    match api.get_metadata(name).await {
        Err(error) if api_error::is_not_found(&error) => Ok(None),
        object => Ok(Some(Place {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: object?.uid().unwrap_or_default(),
        })),
    }
}

/// All objects whose status has something of ours, by the API server's own books.
pub async fn ours(client: &Client, shown: Shown) -> Result<Vec<Place>, Error> {
    let api = Api::<DynamicObject>::all_with(client.clone(), &resource(shown));
    let (mut found, mut page) = (vec![], ListParams::default().limit(PAGE));
    loop {
        let list = match api.list_metadata(&page).await {
            Err(error) if api_error::is_not_found(&error) => return Ok(found),
            list => list?,
        };
        let is_ours = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(FIELD_MANAGER);
        let ours = list
            .items
            .iter()
            .filter(|object| object.managed_fields().iter().any(is_ours));
        found.extend(ours.map(|object| Place {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        }));
        match list.metadata.continue_ {
            Some(next) if !next.is_empty() => page = page.continue_token(&next),
            _ => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, details: Value) -> Result<Applied, Error> {
        let status = json!({ "status": "Failure", "message": "m", "reason": "r", "code": code, "details": details });
        outcome(Error::Api(serde_json::from_value(status).unwrap()))
    }

    /// As kube-apiserver 1.36 answers.
    #[test]
    fn a_refusal_says_whose_the_status_is() {
        let conflict = json!({ "causes": [{ "reason": "FieldManagerConflict", "field": ".status.loadBalancer.ingress", "message": "conflict with \"nginx\"" }] });
        assert_eq!(refused(409, conflict).unwrap(), Applied::Theirs("m".into()));
        assert_eq!(refused(409, json!({ "name": "web" })).unwrap(), Applied::Gone);
        assert_eq!(refused(404, json!({ "name": "web" })).unwrap(), Applied::Gone);
        let other =
            json!({ "causes": [{ "reason": "FieldValueInvalid", "field": "metadata.uid", "message": "immutable" }] });
        assert_eq!(refused(422, other).unwrap(), Applied::Gone);
        let invalid = json!({ "causes": [{ "reason": "FieldValueInvalid", "field": "status.loadBalancer.ingress[0].ip", "message": "x" }] });
        assert!(refused(422, invalid).is_err() && refused(500, json!({})).is_err());
    }
}
