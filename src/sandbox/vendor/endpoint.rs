//! Which of the stand-in's endpoints a request is for.

use http::Method;

use crate::route::Operation;

/// Something that the stand-in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /identity/resources/auth/v1/user`: email and password.
    FirstFactor,
    /// `GET /.well-known/jwks.json`.
    Jwks,
    /// `GET /identity/resources/users/v2/me`.
    Me,
    /// An operation of the MFA API.
    Operation(Operation),
    /// `GET /identity/resources/users/{v1,v2,v3}/me/tenants`.
    Tenants,
    /// `POST /auth/vendor/`, with or without the slash.
    TokenExchange,
    /// Anything else: answered with 404.
    Unknown,
}

impl From<Operation> for Endpoint {
    fn from(operation: Operation) -> Self {
        Self::Operation(operation)
    }
}

impl Endpoint {
    /// The endpoint of a request, and the parameter in its path if it has one.
    pub(super) fn find<'a>(method: &Method, path: &'a str) -> (Self, Option<&'a str>) {
        match (method, path) {
            (&Method::POST, "/auth/vendor" | "/auth/vendor/") => (Self::TokenExchange, None),
            (&Method::POST, "/identity/resources/auth/v1/user") => (Self::FirstFactor, None),
            (&Method::GET, "/.well-known/jwks.json") => (Self::Jwks, None),
            (&Method::GET, "/identity/resources/users/v2/me") => (Self::Me, None),
            (
                &Method::GET,
                "/identity/resources/users/v1/me/tenants"
                | "/identity/resources/users/v2/me/tenants"
                | "/identity/resources/users/v3/me/tenants",
            ) => (Self::Tenants, None),
            _ => operation(method, path).map_or((Self::Unknown, None), |(operation, parameter)| {
                (Self::Operation(operation), parameter)
            }),
        }
    }
}

/// A literal path beats one with a parameter: `sms/enroll` is no device.
fn operation<'a>(method: &Method, path: &'a str) -> Option<(Operation, Option<&'a str>)> {
    let mut found = None;
    for operation in Operation::ALL.iter().copied() {
        let facts = operation.facts();
        if facts.method != *method {
            continue;
        }
        match parameter(facts.path, path) {
            Some(None) => return Some((operation, None)),
            Some(parameter) => found = Some((operation, parameter)),
            None => {}
        }
    }
    found
}

/// What stands for the template's parameter in a path that fits: `Some(None)` where the
/// template has none.
fn parameter<'a>(template: &str, path: &'a str) -> Option<Option<&'a str>> {
    let Some((before, rest)) = template.split_once('{') else {
        return (template == path).then_some(None);
    };
    let (_name, after) = rest.split_once('}')?;
    let parameter = path.strip_prefix(before)?.strip_suffix(after)?;
    (!parameter.is_empty() && !parameter.contains('/')).then_some(Some(parameter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_own_path() {
        for operation in Operation::ALL.iter().copied() {
            let facts = operation.facts();
            let path = facts.path.replace("{deviceId}", "dev-1");
            let path = path.replace("{userId}", "dev-1");
            let expected = (path != facts.path).then_some("dev-1");
            assert_eq!(
                Endpoint::find(&facts.method, &path),
                (operation.into(), expected)
            );
        }
    }

    #[test]
    fn other_paths_and_methods_are_unknown() {
        for path in [
            "/identity/resources/auth/v1/user/mfa/recover/",
            "/identity/resources/auth/v1/user/mfa/sms//verify",
            "/identity/resources/auth/v1/user/mfa/sms/a/b/verify",
            "/",
        ] {
            assert_eq!(Endpoint::find(&Method::POST, path).0, Endpoint::Unknown);
        }
        assert_eq!(
            Endpoint::find(&Method::GET, "/auth/vendor/").0,
            Endpoint::Unknown
        );
    }
}
