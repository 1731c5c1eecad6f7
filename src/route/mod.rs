//! Which operation a request is for: exact matching of the raw path against the catalogue.
//!
//! Nothing is normalised and nothing decoded: `//`, `/./`, `%2e`, a slash at the end, another
//! case, an encoded slash or `;` make another path, and another path is no route. So what is
//! matched here is byte for byte what the vendor reads.

mod catalogue;

use std::collections::{HashMap, HashSet};

use http::{Method, Uri, uri::PathAndQuery};

pub use catalogue::{
    Audited, Category, Counted, Facts, Field, FieldKind, OnUnauthorized, Operation, SubjectRule,
};

use crate::model::PathParameter;

/// The operations that are served, and the way from a path to them.
#[derive(Debug)]
pub struct RouteTable {
    literal: HashMap<&'static str, Methods>,
    templates: Vec<Template>,
    allowed: HashSet<Operation>,
}

/// The operations of one path, one a method.
type Methods = Vec<Operation>;

/// A path with one parameter in it.
#[derive(Debug)]
struct Template {
    before: &'static str,
    after: &'static str,
    /// Literal segments that stand at the parameter's place in other paths; a literal beats a
    /// parameter. However it is spelled: a vendor that routes without regard to case would run the
    /// other operation.
    taken: Vec<&'static str>,
    methods: Methods,
}

/// A request's route: proof that it is on the allow-list and let through.
#[derive(Clone, Debug)]
pub struct RouteMatch<'u> {
    facts: &'static Facts,
    parameter: Option<PathParameter<'u>>,
    target: PathAndQuery,
}

impl<'u> RouteMatch<'u> {
    /// The operation's facts.
    #[must_use]
    pub const fn facts(&self) -> &'static Facts {
        self.facts
    }

    /// The path's one parameter: the user for `user.unenroll`, the device for all others.
    #[must_use]
    pub const fn parameter(&self) -> Option<PathParameter<'u>> {
        self.parameter
    }

    /// What to ask the vendor for: the path as it came without the base path, and the one query
    /// that is allowed.
    #[must_use]
    pub const fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

/// Why a request has no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path is one of the vendor's MFA paths, but not with this method.
    #[error("method is not one of {allow}")]
    MethodNotAllowed {
        /// For the header `Allow`.
        allow: String,
    },
    /// The configuration doesn't let it through.
    #[error("{} is not in routes.allow, or in routes.deny", .0.name())]
    NotAllowed(Operation),
    /// A query where none belongs, or the wrong one.
    #[error("{} came with a query that it must not have, or without the one it needs", .0.name())]
    QueryNotAllowed(Operation),
    /// No MFA path of the vendor's.
    #[error("no such route")]
    Unknown,
}

impl RouteError {
    /// The operation, where the request is for one.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        match self {
            Self::NotAllowed(operation) | Self::QueryNotAllowed(operation) => Some(*operation),
            Self::MethodNotAllowed { .. } | Self::Unknown => None,
        }
    }
}

impl RouteTable {
    /// A table that knows all operations and lets `allowed` through.
    #[must_use]
    pub fn new(allowed: &[Operation]) -> Self {
        let mut literal: HashMap<&'static str, Methods> = HashMap::new();
        let mut templates: Vec<Template> = Vec::new();
        for &operation in Operation::ALL {
            let path = operation.facts().path;
            let Some((before, after)) = split_template(path) else {
                literal.entry(path).or_default().push(operation);
                continue;
            };
            match templates
                .iter_mut()
                .find(|known| (known.before, known.after) == (before, after))
            {
                Some(known) => known.methods.push(operation),
                None => templates.push(Template {
                    before,
                    after,
                    taken: literal_siblings(before),
                    methods: vec![operation],
                }),
            }
        }
        Self {
            literal,
            templates,
            allowed: allowed.iter().copied().collect(),
        }
    }

    /// Finds the route of a request, at the operation's own path or below `base_path`
    /// (empty, or `/…` without a slash at its end).
    ///
    /// # Errors
    /// [`RouteError`], in the order: no such path, not with this method, not let through, wrong query.
    pub fn find<'u>(
        &self,
        method: &Method,
        uri: &'u Uri,
        base_path: &str,
    ) -> Result<RouteMatch<'u>, RouteError> {
        let (path, parameter, methods) = self
            .at(uri.path())
            .or_else(|| self.at(below(base_path, uri.path())?))
            .ok_or(RouteError::Unknown)?;
        let operation = methods
            .iter()
            .copied()
            .find(|operation| operation.facts().method == *method)
            .ok_or_else(|| RouteError::MethodNotAllowed {
                allow: allow(methods),
            })?;
        if !self.allowed.contains(&operation) {
            return Err(RouteError::NotAllowed(operation));
        }
        let target = target(operation, uri, path)?;
        Ok(RouteMatch {
            facts: operation.facts(),
            parameter,
            target,
        })
    }

    fn at<'p>(&self, path: &'p str) -> Option<(&'p str, Option<PathParameter<'p>>, &Methods)> {
        if let Some(methods) = self.literal.get(path) {
            return Some((path, None, methods));
        }
        self.templates.iter().find_map(|template| {
            let value = path
                .strip_prefix(template.before)?
                .strip_suffix(template.after)?;
            let parameter = PathParameter::parse(value)?;
            let is_taken = template
                .taken
                .iter()
                .any(|literal| literal.eq_ignore_ascii_case(value));
            (!is_taken).then_some((path, Some(parameter), &template.methods))
        })
    }
}

/// The path without the base path, where it has it and something after it.
fn below<'p>(base_path: &str, path: &'p str) -> Option<&'p str> {
    if base_path.is_empty() {
        return None;
    }
    path.strip_prefix(base_path)
        .filter(|rest| rest.starts_with('/'))
}

/// What stands before and after a path's `{…}`.
fn split_template(path: &'static str) -> Option<(&'static str, &'static str)> {
    let (before, rest) = path.split_once('{')?;
    let (_name, after) = rest.split_once('}')?;
    Some((before, after))
}

/// The literal segments that follow `before` in other paths.
fn literal_siblings(before: &str) -> Vec<&'static str> {
    Operation::ALL
        .iter()
        .filter_map(|operation| operation.facts().path.strip_prefix(before))
        .filter_map(|rest| rest.split('/').next())
        .filter(|segment| !segment.starts_with('{'))
        .collect()
}

fn allow(methods: &[Operation]) -> String {
    let names: Vec<&str> = methods
        .iter()
        .map(|operation| operation.facts().method.as_str())
        .collect();
    names.join(", ")
}

/// What to ask the vendor for, if the query is right: `login.remember-device` wants one
/// non-empty `mfaToken` and nothing else, all others want none.
fn target(operation: Operation, uri: &Uri, path: &str) -> Result<PathAndQuery, RouteError> {
    let wrong = RouteError::QueryNotAllowed(operation);
    match (operation == Operation::LoginRememberDevice, uri.query()) {
        (false, None) | (true, Some(_)) => {}
        (false, Some(_)) | (true, None) => return Err(wrong),
    }
    if let Some(query) = uri.query() {
        let token = query
            .strip_prefix("mfaToken=")
            .ok_or_else(|| wrong.clone())?;
        // one parameter with one reading: no second one, no second `=`, no blank as `+`
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        if token.is_empty() || !token.bytes().all(plain) {
            return Err(wrong);
        }
    }
    match uri.path_and_query() {
        Some(whole) if whole.path().len() == path.len() => Ok(whole.clone()),
        Some(whole) => {
            let skipped = whole.path().len().saturating_sub(path.len());
            let rest = whole.as_str().get(skipped..).unwrap_or_default();
            PathAndQuery::try_from(rest).map_err(|_impossible| RouteError::Unknown)
        }
        None => Err(RouteError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(method: &Method, uri: &str) -> Result<(Operation, Option<String>, String), RouteError> {
        let table = RouteTable::new(Operation::ALL);
        let uri: Uri = uri.parse().unwrap();
        table.find(method, &uri, "/frontegg").map(|matched| {
            (
                matched.facts().operation,
                matched
                    .parameter()
                    .map(|parameter| parameter.as_str().to_owned()),
                matched.target().to_string(),
            )
        })
    }

    #[test]
    fn every_operation_is_found_at_its_own_path_also_below_the_base_path() {
        for &operation in Operation::ALL {
            let facts = operation.facts();
            let mut path = facts
                .path
                .replace("{deviceId}", "d-1")
                .replace("{userId}", "d-1");
            if operation == Operation::LoginRememberDevice {
                path.push_str("?mfaToken=abc");
            }
            let parameter = facts.path.contains('{').then(|| "d-1".to_owned());
            let expected = Ok((operation, parameter, path.clone()));
            assert_eq!(find(&facts.method, &path), expected);
            assert_eq!(find(&facts.method, &format!("/frontegg{path}")), expected);
        }
    }

    #[test]
    fn another_spelling_is_another_path() {
        let recover = "/identity/resources/auth/v1/user/mfa/recover";
        for path in [
            format!("{recover}/"),
            format!("/{recover}"),
            recover.replace("/mfa/", "/mfa//"),
            recover.replace("/mfa/", "/./mfa/"),
            recover.replace("/mfa/", "/x/../mfa/"),
            recover.replace("mfa", "%6dfa"),
            recover.replace("mfa", "MFA"),
            format!("{recover};x"),
            format!("/frontegg/frontegg{recover}"),
            format!("/front{recover}"),
            "/identity/resources/users/v1/mfa/sms/a%2fb/disable".to_owned(),
            "/identity/resources/users/v1/mfa/sms/../disable".to_owned(),
            "/identity/resources/users/v1/mfa/sms//disable".to_owned(),
            "/identity/resources/users/v1/me".to_owned(),
            "/".to_owned(),
            "*".to_owned(),
        ] {
            assert_eq!(
                find(&Method::POST, &path),
                Err(RouteError::Unknown),
                "{path}"
            );
        }
    }

    #[test]
    fn a_literal_segment_beats_a_parameter() {
        let login = "/identity/resources/auth/v1/user/mfa/sms/enroll";
        assert_eq!(
            find(&Method::POST, login).unwrap().0,
            Operation::LoginSmsEnroll
        );
        let verify = find(&Method::POST, &format!("{login}/verify")).unwrap();
        assert_eq!(
            (verify.0, verify.1),
            (Operation::LoginSmsEnrollVerify, None)
        );
        let odd = "/identity/resources/users/v1/mfa/sms/enroll/disable";
        assert_eq!(find(&Method::POST, odd), Err(RouteError::Unknown));
        for spelled in ["Enroll", "ENROLL", "enrolL"] {
            let path = login.replace("enroll", spelled);
            assert_eq!(find(&Method::POST, &path), Err(RouteError::Unknown));
        }
        let device = find(&Method::POST, &login.replace("enroll", "enrolled")).unwrap();
        assert_eq!(device.0, Operation::LoginSmsRequest);
    }

    #[test]
    fn a_known_path_with_another_method_says_which_are_there() {
        let policy = "/identity/resources/configurations/v1/mfa-policy";
        let allow = "GET, POST, PATCH, PUT".to_owned();
        assert_eq!(
            find(&Method::DELETE, policy),
            Err(RouteError::MethodNotAllowed { allow })
        );
        assert_eq!(
            find(&Method::PATCH, policy).unwrap().0,
            Operation::PolicyUpdate
        );
    }

    #[test]
    fn what_is_not_let_through_is_known_but_refused() {
        let table = RouteTable::new(&[Operation::Recover]);
        let uri = Uri::from_static("/identity/resources/users/v1/mfa/disable");
        let refused = table.find(&Method::POST, &uri, "").map(|_found| ());
        assert_eq!(refused, Err(RouteError::NotAllowed(Operation::UserDisable)));
    }

    #[test]
    fn a_query_is_one_mfa_token_on_one_operation() {
        let path = Operation::LoginRememberDevice.facts().path;
        for query in [
            "",
            "?",
            "?mfaToken=",
            "?mfaToken=a&mfaToken=b",
            "?mfaToken=a&x=1",
            "?x=1",
            "?mfaToken=a+b",
            "?mfatoken=a",
            "?mfaToken=a=b",
        ] {
            let refused = find(&Method::GET, &format!("{path}{query}"));
            assert_eq!(
                refused,
                Err(RouteError::QueryNotAllowed(Operation::LoginRememberDevice)),
                "{query}"
            );
        }
        let recover = Operation::Recover.facts().path;
        for query in ["?", "?a=b", "?mfaToken=a"] {
            let refused = find(&Method::POST, &format!("{recover}{query}"));
            assert_eq!(
                refused,
                Err(RouteError::QueryNotAllowed(Operation::Recover)),
                "{query}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_found_goes_on_as_it_came(path in "/identity/resources/(users|auth)/v1/(user/)?mfa/[a-z0-9._%/;-]{0,40}") {
            if let Ok(uri) = path.parse::<Uri>()
                && let Ok(matched) = RouteTable::new(Operation::ALL).find(&Method::POST, &uri, "")
            {
                prop_assert_eq!(matched.target().as_str(), path.as_str());
                let odd = path.contains('%') || path.contains("//") || path.contains(';') || path.ends_with('/');
                prop_assert!(!odd);
            }
        }
    }
}
