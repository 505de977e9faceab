//! The parts of an object that are looked at, borrowed from the review. The rest is skipped, not parsed.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;

use multicluster_api::names;
use multicluster_api::options::{InvalidAnnotation, PodOptions};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::verdict::Denial;

/// A string that is copied only when its JSON has escapes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// Labels or annotations.
pub type Texts<'a> = BTreeMap<Text<'a>, Text<'a>>;

/// Any object, as far as admission looks into it.
#[derive(Clone, Debug, Deserialize)]
pub struct Object<'a> {
    /// The object's metadata.
    #[serde(borrow, default)]
    pub metadata: Metadata<'a>,
    /// The object's spec, unparsed.
    #[serde(borrow)]
    pub spec: Option<&'a RawValue>,
}

/// Metadata, as far as admission looks into it. Empty and absent maps are told apart, because a patch must.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Name; absent when the API server is to make one.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Beginning of the name that the API server makes.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// Namespace.
    #[serde(borrow)]
    pub namespace: Option<Text<'a>>,
    /// Labels.
    #[serde(borrow)]
    pub labels: Option<Texts<'a>>,
    /// Annotations.
    #[serde(borrow)]
    pub annotations: Option<Texts<'a>>,
    /// Finalizers.
    #[serde(borrow)]
    pub finalizers: Option<Vec<Text<'a>>>,
    /// Present when the object is being deleted.
    pub deletion_timestamp: Option<IgnoredAny>,
}

impl<'a> Object<'a> {
    /// From the JSON of a review. The error names the place, but quotes nothing.
    pub fn parse(json: &'a RawValue) -> Result<Self, Denial> {
        parse(json, "the object")
    }

    /// The object is being deleted: nothing may stand in the way any more.
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

impl Metadata<'_> {
    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        get(&self.annotations, key)
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        get(&self.labels, key)
    }

    /// This finalizer is there.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers
            .iter()
            .flatten()
            .any(|present| present.as_str() == finalizer)
    }

    /// The user wants this pod to run in a target. The annotation's value does not matter.
    pub fn is_elected(&self) -> bool {
        self.annotation(names::ELECT).is_some()
    }

    /// What the user's annotations say.
    pub fn pod_options(&self) -> Result<PodOptions, InvalidAnnotation> {
        let ours = self.annotations.iter().flatten().filter(|(key, _)| {
            // The saved pod is long and no option.
            names::is_ours(key.as_str()) && key.as_str() != names::SOURCE_POD_MANIFEST
        });
        PodOptions::parse(
            &ours
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
        )
    }
}

fn get<'a>(texts: &'a Option<Texts<'_>>, key: &str) -> Option<&'a str> {
    texts.as_ref()?.get(key).map(Text::as_str)
}

/// Parse a part of a review. The error names the place, but quotes nothing: values may be secret.
pub fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue, what: &str) -> Result<T, Denial> {
    serde_json::from_str(json.get())
        .map_err(|error| Denial::bad_request(format!("{what} cannot be read: {}", place_of(&error))))
}

/// What kind of error it is and where, without the words around it.
pub fn place_of(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let kind = match error.classify() {
        Category::Io => "it was cut off",
        Category::Syntax => "it is not JSON",
        Category::Data => "a field is missing, is there twice or has the wrong type",
        Category::Eof => "it ends too early",
    };
    format!("{kind}, at line {} column {}", error.line(), error.column())
}
