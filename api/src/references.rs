//! Which ConfigMaps and Secrets a pod uses.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::view::PodSpecView;

/// Can the pod start without it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Optional(pub bool);

/// Names of the ConfigMaps and Secrets, in the pod's namespace, that a pod uses. What one place needs and another may go
/// without is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, Optional>,
    /// Secrets.
    pub secrets: BTreeMap<String, Optional>,
}

impl References {
    /// Of a pod's spec as JSON.
    pub fn of(_spec: &Map<String, Value>) -> Self {
        Self::default()
    }

    /// Of a pod's spec as watches see it.
    pub fn of_view(_spec: &PodSpecView) -> Self {
        Self::default()
    }

    /// Does the pod use none?
    pub fn is_empty(&self) -> bool {
        self.config_maps.is_empty() && self.secrets.is_empty()
    }
}
