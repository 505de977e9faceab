//! DNSEndpoints (externaldns.k8s.io/v1alpha1): external-dns reads them, and writes the records wherever they belong.

use kube::api::ApiResource;
use serde_json::{Value, json};

use super::owned;
use super::records::Endpoint;
use super::site::Exposed;

/// Where the API server has them, if the definition is installed.
pub fn resource() -> ApiResource {
    ApiResource {
        group: "externaldns.k8s.io".into(),
        version: "v1alpha1".into(),
        api_version: "externaldns.k8s.io/v1alpha1".into(),
        kind: "DNSEndpoint".into(),
        plural: "dnsendpoints".into(),
    }
}

/// The DNSEndpoint of an object: `KIND-NAME` beside it. None without records, and external-dns removes them.
pub fn object(exposed: &Exposed, endpoints: &[Endpoint]) -> Option<Value> {
    let resource = resource();
    let name = owned::name(&[owned::word(exposed.key.kind), &exposed.key.name]);
    (!endpoints.is_empty()).then(|| {
        json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": owned::metadata(exposed, &name),
            "spec": { "endpoints": endpoints },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::exposure::policy::tests::exposed;
    use crate::source::following::object::Kind;

    #[test]
    fn one_object_lies_beside_what_it_exposes() {
        let exposed = exposed(Kind::HttpRoute, &[], &[]);
        let endpoint = Endpoint {
            dns_name: "a.com".into(),
            record_type: "A",
            targets: vec!["192.0.2.1".into()],
            record_ttl: 3,
            set_identifier: String::new(),
            provider_specific: vec![],
        };
        let object = object(&exposed, &[endpoint]).unwrap();
        assert_eq!(object["metadata"]["name"], "httproute-web");
        assert_eq!(object["metadata"]["namespace"], "default");
        let expected = json!([{ "dnsName": "a.com", "recordType": "A", "targets": ["192.0.2.1"], "recordTTL": 3 }]);
        assert_eq!(object["spec"]["endpoints"], expected);
        assert_eq!(super::object(&exposed, &[]), None);
    }
}
