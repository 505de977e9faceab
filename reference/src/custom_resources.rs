//! The custom resources, field by field, from the schemas that the API server has.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Fields that are Kubernetes' own, and described there.
const KUBERNETES: [&str; 3] = ["Condition", "PodSpec", "PodStatus"];

/// A section for each definition.
pub fn page(definitions: &[CustomResourceDefinition]) -> String {
    definitions.iter().map(section).collect()
}

fn section(definition: &CustomResourceDefinition) -> String {
    let (spec, names) = (&definition.spec, &definition.spec.names);
    let mut text = format!("\n## {}\n\n", names.kind);
    let Some(version) = spec.versions.first() else {
        return text;
    };
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    if let Some(description) = schema.and_then(|schema| schema.description.as_deref()) {
        let _ = writeln!(text, "{}\n", line(description));
    }
    let _ = write!(text, "`{}/{}`, {}", spec.group, version.name, spec.scope.to_lowercase());
    for name in names.short_names.iter().flatten() {
        let _ = write!(text, ", short name `{name}`");
    }
    text.push('\n');
    let mut rows = String::new();
    for part in ["spec", "status"] {
        let Some(of) = schema.and_then(|schema| schema.properties.as_ref()?.get(part)) else {
            continue;
        };
        fields(of, part, &mut rows);
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n| field | type | meaning |\n|---|---|---|\n{rows}");
    }
    for rule in schema.iter().flat_map(|schema| rules(schema)) {
        let _ = write!(text, "\n- Refused otherwise: {}.", rule.trim_end_matches('.'));
    }
    text.trim_end().to_owned() + "\n"
}

fn fields(schema: &JSONSchemaProps, path: &str, rows: &mut String) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let (kind, inner) = kind(field);
        let mut meaning = line(field.description.as_deref().unwrap_or_default());
        if required.contains(name) {
            meaning = format!("Required. {meaning}");
        }
        if let Some(default) = &field.default {
            let _ = write!(meaning, " Default: `{}`.", default.0);
        }
        let _ = writeln!(rows, "| `{path}` | {kind} | {} |", meaning.trim());
        if let Some(inner) = inner.filter(|inner| !is_kubernetes(inner)) {
            fields(inner, &path, rows);
        }
    }
}

/// What a field holds, in words, and whose fields are worth a row each.
fn kind(field: &JSONSchemaProps) -> (String, Option<&JSONSchemaProps>) {
    match field.type_.as_deref() {
        Some("array") => match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => (format!("list of {}", kind(items).0), Some(items)),
            _ => ("list".into(), None),
        },
        Some("object") if field.properties.is_none() => ("map".into(), None),
        Some(kind) => (kind.into(), Some(field)),
        None => ("any".into(), None),
    }
}

/// Is this a type of Kubernetes' own, whose description begins with its name?
fn is_kubernetes(schema: &JSONSchemaProps) -> bool {
    let description = schema.description.as_deref().unwrap_or_default();
    KUBERNETES.iter().any(|name| description.starts_with(name))
}

/// What the definition's own rules say, wherever they stand in it.
fn rules(schema: &JSONSchemaProps) -> Vec<String> {
    let own = schema
        .x_kubernetes_validations
        .iter()
        .flatten()
        .filter_map(|rule| rule.message.clone());
    let inner = schema.properties.iter().flatten().flat_map(|(_, field)| rules(field));
    own.chain(inner).collect()
}

/// In one line, and safe in a table.
fn line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_fields_and_rules() {
        let text = page(&multicluster_api::crds::all());
        assert!(text.contains("## Source\n"), "{text}");
        assert!(text.contains("| `spec.userName` | string |"), "{text}");
        assert!(text.contains("write either userName or serviceAccountName"), "{text}");
        assert!(!text.contains("lastTransitionTime"), "{text}");
    }
}
