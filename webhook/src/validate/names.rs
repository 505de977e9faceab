//! Names of Kubernetes objects. See
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

const MAX_SUBDOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

/// RFC 1123 label: what namespaces are named.
fn is_label(name: &str) -> bool {
    name.len() <= MAX_LABEL && is_part(name)
}

/// RFC 1123 subdomain: what most objects are named.
fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_SUBDOMAIN && name.split('.').all(is_part)
}

fn is_part(part: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
}

/// Complain if this cannot be the name of an object.
pub(super) fn check_name(wrong: &mut Vec<String>, field: &str, name: &str) {
    if !is_subdomain(name) {
        wrong.push(format!(
            "{field} {name:?} cannot be a name; write at most {MAX_SUBDOMAIN} lower case letters, digits, - and ., \
             with a letter or digit at both ends"
        ));
    }
}

/// Complain if this cannot be the name of a namespace.
pub(super) fn check_namespace(wrong: &mut Vec<String>, field: &str, name: &str) {
    if !is_label(name) {
        wrong.push(format!(
            "{field} {name:?} cannot be a namespace; write at most {MAX_LABEL} lower case letters, digits and -, with \
             a letter or digit at both ends"
        ));
    }
}

/// Complain if this cannot be a key in a Secret's data.
pub(super) fn check_secret_key(wrong: &mut Vec<String>, field: &str, key: &str) {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if key.is_empty() || key.len() > MAX_SUBDOMAIN || !key.bytes().all(allowed) || matches!(key, "." | "..") {
        wrong.push(format!(
            "{field} {key:?} cannot be a key of a Secret; write at most {MAX_SUBDOMAIN} letters, digits, -, _ and ., \
             or leave it out for \"config\""
        ));
    }
}

/// A ServiceAccount as the API server's authenticators name it: `system:serviceaccount:NAMESPACE:NAME`.
pub(super) fn is_service_account_user(user: &str) -> bool {
    user.strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
        .is_some_and(|(namespace, name)| is_label(namespace) && is_subdomain(name))
}
