//! Which ConfigMaps and Secrets a pod uses.
//!
//! They go where the pod's delegate goes. Left out is what the target has of its own: the volume with the token of the
//! ServiceAccount that admission adds, and the certificates of the API server.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use crate::syntax::is_subdomain;
use crate::view::{ContainerView, PodSpecView};

/// The ServiceAccount of a pod that names none.
pub const DEFAULT_ACCOUNT: &str = "default";
/// ConfigMap with the certificates of a cluster's API server; every cluster makes its own in every namespace.
pub const ROOT_CA: &str = "kube-root-ca.crt";

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
    /// Of a pod's spec as JSON. A part of another form than it should have names nothing.
    pub fn of(spec: &Map<String, Value>) -> Self {
        let mut references = Self::default();
        let account = spec.get("serviceAccountName").and_then(Value::as_str);
        references.add_volumes(&items(spec, "volumes"), account);
        for field in ["containers", "initContainers", "ephemeralContainers"] {
            let containers = spec.get(field).and_then(Value::as_array).into_iter().flatten();
            for container in containers.filter_map(Value::as_object) {
                references.add_environment(&items(container, "env"), &items(container, "envFrom"));
            }
        }
        references.add_pull_secrets(&items(spec, "imagePullSecrets"));
        references
    }

    /// Of a pod's spec as watches see it.
    pub fn of_view(spec: &PodSpecView) -> Self {
        let mut references = Self::default();
        references.add_volumes(list(&spec.volumes), spec.service_account_name.as_deref());
        let containers = [&spec.containers, &spec.init_containers, &spec.ephemeral_containers];
        for ContainerView { env, env_from, .. } in containers.into_iter().flatten() {
            references.add_environment(list(env), list(env_from));
        }
        references.add_pull_secrets(list(&spec.image_pull_secrets));
        references
    }

    /// Does the pod use none?
    pub fn is_empty(&self) -> bool {
        self.config_maps.is_empty() && self.secrets.is_empty()
    }

    fn add_volumes(&mut self, volumes: &[VolumeView], account: Option<&str>) {
        let account = account.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_ACCOUNT);
        for volume in volumes.iter().filter(|volume| !volume.is_token(account)) {
            self.config_map(volume.config_map.as_ref());
            self.secret(volume.secret.as_ref());
            let sources = volume.projected.iter().flat_map(|projected| list(&projected.sources));
            for source in sources {
                self.config_map(source.config_map.as_ref());
                self.secret(source.secret.as_ref());
            }
            self.secret(volume.azure_file.as_ref());
            let csi = volume.csi.as_ref();
            self.secret(csi.and_then(|csi| csi.node_publish_secret_ref.as_ref()));
            for driver in volume.drivers().into_iter().flatten() {
                self.secret(driver.secret_ref.as_ref());
            }
        }
    }

    fn add_environment(&mut self, variables: &[EnvView], sets: &[EnvFromView]) {
        for source in variables.iter().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_map(source.config_map_key_ref.as_ref());
            self.secret(source.secret_key_ref.as_ref());
        }
        for set in sets {
            self.config_map(set.config_map_ref.as_ref());
            self.secret(set.secret_ref.as_ref());
        }
    }

    /// The kubelet pulls without a Secret that is missing.
    fn add_pull_secrets(&mut self, secrets: &[Named]) {
        for secret in secrets {
            add(&mut self.secrets, Some(secret), Some(true));
        }
    }

    fn config_map(&mut self, named: Option<&Named>) {
        add(
            &mut self.config_maps,
            named.filter(|named| named.name() != ROOT_CA),
            None,
        );
    }

    fn secret(&mut self, named: Option<&Named>) {
        add(&mut self.secrets, named, None);
    }
}

/// What no object can be called is used by nobody, and goes into no request's path.
fn add(names: &mut BTreeMap<String, Optional>, named: Option<&Named>, optional: Option<bool>) {
    let Some(named) = named.filter(|named| is_subdomain(named.name())) else {
        return;
    };
    let optional = optional.or(named.optional).unwrap_or_default();
    let known = names.entry(named.name().to_owned()).or_insert(Optional(true));
    known.0 &= optional;
}

fn list<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

fn items<T: DeserializeOwned>(object: &Map<String, Value>, field: &str) -> Vec<T> {
    let items = object.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| T::deserialize(item).ok()).collect()
}

/// Is this the volume that the ServiceAccount admission plugin added, to a pod with this ServiceAccount? A user's own token
/// volume has another name.
pub fn is_token_volume(volume: &Value, account: &str) -> bool {
    VolumeView::deserialize(volume).is_ok_and(|volume| volume.is_token(account))
}

/// A ConfigMap or a Secret by its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    name: Option<String>,
    secret_name: Option<String>,
    optional: Option<bool>,
}

impl Named {
    fn name(&self) -> &str {
        let name = self.name.as_ref().or(self.secret_name.as_ref());
        name.map(String::as_str).unwrap_or_default()
    }
}

/// A volume, as far as it names ConfigMaps and Secrets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeView {
    name: Option<String>,
    config_map: Option<Named>,
    secret: Option<Named>,
    projected: Option<Projected>,
    csi: Option<Csi>,
    azure_file: Option<Named>,
    cephfs: Option<Driver>,
    flex_volume: Option<Driver>,
    iscsi: Option<Driver>,
    rbd: Option<Driver>,
    #[serde(rename = "scaleIO")]
    scale_io: Option<Driver>,
    storageos: Option<Driver>,
}

impl VolumeView {
    fn drivers(&self) -> [Option<&Driver>; 6] {
        let drivers = [&self.cephfs, &self.flex_volume, &self.iscsi, &self.rbd];
        let [cephfs, flex, iscsi, rbd] = drivers.map(Option::as_ref);
        [
            cephfs,
            flex,
            iscsi,
            rbd,
            self.scale_io.as_ref(),
            self.storageos.as_ref(),
        ]
    }

    fn is_token(&self, account: &str) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        let mut sources = self.projected.iter().flat_map(|projected| list(&projected.sources));
        let mut projected = || sources.any(|source| source.service_account_token.is_some());
        let legacy = self.secret.as_ref().is_some_and(|secret| secret.name() == name);
        (name.starts_with("kube-api-access-") && projected())
            || (legacy && name.starts_with(&format!("{account}-token-")))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Projected {
    sources: Option<Vec<Source>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    config_map: Option<Named>,
    secret: Option<Named>,
    service_account_token: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Csi {
    node_publish_secret_ref: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    secret_ref: Option<Named>,
}

/// A variable of a container, as far as it names ConfigMaps and Secrets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvView {
    value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom {
    config_map_key_ref: Option<Named>,
    secret_key_ref: Option<Named>,
}

/// A set of variables of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvFromView {
    config_map_ref: Option<Named>,
    secret_ref: Option<Named>,
}

#[cfg(test)]
mod tests;
