//! What is there already, held against what is wanted: what to do with each object. Pure.

use kube::ResourceExt;
use kube::api::DynamicObject;
use multicluster_api::names;
use serde::Serialize;
use serde_json::Value;

use super::objects::Object;
use crate::resources::Kind;

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there.
    Create,
    /// An earlier run has made it, and it is written anew.
    Repair,
    /// It is as wanted, whoever has made it, and is left alone.
    Keep,
}

/// A step: an object, and what to do with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The object as it is wanted.
    pub object: Object,
    /// What to do.
    pub action: Action,
    /// The object as it is.
    pub before: Option<DynamicObject>,
}

/// Somebody else's object has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A person's, or another program's.
    Others,
    /// Another connection's.
    Connection(String),
}

impl Step {
    /// What to do to have this object.
    pub fn of(object: Object, found: Option<DynamicObject>, connection: &str) -> Result<Self, Taken> {
        let action = match &found {
            None => Action::Create,
            Some(found) if found.metadata.deletion_timestamp.is_some() => return Err(Taken::Others),
            Some(found) if belongs_to(found) == Some(connection) => match is_as_wanted(&object, found) {
                true => Action::Keep,
                false => Action::Repair,
            },
            // Several connections share these.
            Some(found) if is_shared(object.kind) && has_content(&object, found) => Action::Keep,
            // What goes when another connection goes is none of this one.
            Some(found) if belongs_to(found).is_some() => {
                return Err(Taken::Connection(belongs_to(found).unwrap_or_default().into()));
            }
            Some(found) if object.kind != Kind::Secret && has_content(&object, found) => Action::Keep,
            Some(_) => return Err(Taken::Others),
        };
        Ok(Self {
            object,
            action,
            before: found,
        })
    }
}

/// The connection that an object was made for.
pub fn belongs_to(found: &DynamicObject) -> Option<&str> {
    let ours = found.labels().get(names::MANAGED_BY).map(String::as_str) == Some(names::MANAGED_BY_CLI);
    found
        .annotations()
        .get(names::CONNECTION)
        .map(String::as_str)
        .filter(|_| ours)
}

fn is_shared(kind: Kind) -> bool {
    matches!(kind, Kind::Namespace | Kind::TrustedIdentityProvider)
}

fn is_as_wanted(object: &Object, found: &DynamicObject) -> bool {
    let annotated = object.annotations.iter().all(|(key, value)| {
        let found = found.annotations().get(key);
        found.map(String::as_str) == value.as_str()
    });
    annotated && object.kind != Kind::Secret && has_content(object, found)
}

fn has_content(object: &Object, found: &DynamicObject) -> bool {
    match object.kind.content() {
        None => true,
        Some(field) => contains(&found.data[field], object.content.as_ref().unwrap_or(&Value::Null)),
    }
}

/// Defaults that the API server adds do no harm; what is wanted must be there.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            // A field more is another meaning: `token` of a Kubeconfig, `identities` of a provider.
            found.len() == wanted.len()
                && wanted
                    .iter()
                    .all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value)))
        }
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use multicluster_api::TargetRef;
    use serde_json::json;

    use super::super::objects;
    use super::super::request::Request;
    use super::*;

    fn wanted() -> Object {
        let target = TargetRef::namespaced("default", "eu");
        objects::target(&Request {
            target,
            source_name: "management".into(),
        })
    }

    fn found(edit: impl FnOnce(&mut Value)) -> Option<DynamicObject> {
        let mut body = wanted().body("id/node");
        edit(&mut body);
        Some(serde_json::from_value(body).unwrap())
    }

    fn action(found: Option<DynamicObject>) -> Result<Action, Taken> {
        Step::of(wanted(), found, "id/node").map(|step| step.action)
    }

    #[test]
    fn a_second_run_repairs() {
        assert_eq!(action(None), Ok(Action::Create));
        assert_eq!(action(found(|_| {})), Ok(Action::Keep));
        assert_eq!(
            action(found(|o| o["spec"]["kubeconfigSecret"]["name"] = json!("other"))),
            Ok(Action::Repair)
        );
        assert_eq!(
            action(found(
                |o| o["metadata"]["annotations"][names::CONNECTED_AS] = json!("other")
            )),
            Ok(Action::Repair)
        );
    }

    #[test]
    fn what_others_made_is_used_if_it_is_the_same_and_never_changed() {
        let unmarked = |o: &mut Value| o["metadata"]["labels"] = json!({});
        assert_eq!(action(found(unmarked)), Ok(Action::Keep));
        let differs = |o: &mut Value| {
            unmarked(o);
            o["spec"]["excludedLabelsRegexp"] = json!("a");
        };
        assert_eq!(action(found(differs)), Err(Taken::Others));
        let connected = |o: &mut Value| {
            o["metadata"]["annotations"][names::CONNECTION] = json!("id/other");
        };
        assert_eq!(action(found(connected)), Err(Taken::Connection("id/other".into())));
        assert_eq!(
            action(found(
                |o| o["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")
            )),
            Err(Taken::Others)
        );
    }

    #[test]
    fn a_token_is_always_renewed_and_never_put_into_a_secret_of_somebody_else() {
        let target = TargetRef::namespaced("default", "eu");
        let secret = objects::secret(
            &Request {
                target,
                source_name: "m".into(),
            },
            &objects::Server::default(),
            None,
        );
        let step = |body: Value| {
            let found = serde_json::from_value(body).unwrap();
            Step::of(secret.clone(), Some(found), "id/node").map(|step| step.action)
        };
        assert_eq!(step(secret.body("id/node")), Ok(Action::Repair));
        let mut others = secret.body("id/node");
        others["metadata"]["labels"] = json!({});
        assert_eq!(step(others), Err(Taken::Others));
    }
}
