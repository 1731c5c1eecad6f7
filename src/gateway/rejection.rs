//! Every way in which the gateway says no, and how each of them looks from outside.
//!
//! An error's `Display` is for operators, in the log; [`Rejection::facts`] and
//! [`Rejection::detail`] are all that a caller learns. Detail comes from fixed texts, names in
//! the route table, configured header names and numbers, so nothing of our insides and nothing
//! about other accounts can be in it.

use std::borrow::Cow;

use http::StatusCode;

use super::{entrance::EntranceError, identify::fault};
use crate::{
    audit::NotAccepted,
    body::BodyError,
    caller::{CallerError, Ways},
    client_ip::Disagreement,
    credential::CredentialError,
    jwks::KeysError,
    jwt::{JwtError, MULTI_FACTOR, StepUpError},
    limit::{Denied, Refusal, StoreAway},
    model::whole_seconds,
    route::RouteError,
    subject::SubjectError,
    upstream::UpstreamError,
};

/// The gateway's no.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(transparent)]
    Audit(#[from] NotAccepted),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{0}")]
    Caller(CallerError, Ways),
    #[error(transparent)]
    Client(#[from] Disagreement),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Entrance(#[from] EntranceError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("limit {} is used up", .0.limit().as_str())]
    Limit(Box<Refusal>),
    #[error(transparent)]
    LimitStore(StoreAway),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl From<Denied> for Rejection {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Limit(refusal) => Self::Limit(refusal),
            Denied::Store(away) => Self::LimitStore(away),
        }
    }
}

/// How a no looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) status: StatusCode,
    /// A stable slug: the end of the problem's type, the `reason` in metrics and audit.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    pub(super) proxy_error: &'static str,
}

impl Rejection {
    #[rustfmt::skip] // it is a table: let it look like one
    pub(super) const fn facts(&self) -> Facts {
        use {BodyError as B, CallerError as C, EntranceError as E, RouteError as R, StatusCode as S, SubjectError as J, UpstreamError as U};
        const DENIED: &str = "http_request_denied";
        const WRONG: &str = "http_request_error";
        let (status, code, title, proxy_error) = match self {
            Self::Audit(_)                                => (S::SERVICE_UNAVAILABLE,             "audit-unavailable",         "Audit log unavailable",           "proxy_internal_error"),
            Self::Body(B::Broken(_) | B::Invalid(_))      => (S::BAD_REQUEST,                     "invalid-body",              "Invalid body",                    WRONG),
            Self::Body(B::Slow(_))                        => (S::REQUEST_TIMEOUT,                 "body-too-slow",             "Body took too long",              WRONG),
            Self::Body(B::TooLarge { .. })                => (S::PAYLOAD_TOO_LARGE,               "body-too-large",            "Body too large",                  WRONG),
            Self::Body(B::UnsupportedMediaType)           => (S::UNSUPPORTED_MEDIA_TYPE,          "unsupported-media-type",    "Unsupported media type",          WRONG),
            Self::Caller(C::NotAllowed(_), _)             => (S::FORBIDDEN,                       "caller-not-allowed",        "Caller not allowed",              DENIED),
            Self::Caller(C::Ambiguous | C::Token(_) | C::Unknown, _)
                                                          => (S::UNAUTHORIZED,                    "caller-unknown",            "Caller unknown",                  DENIED),
            Self::Client(Disagreement)                    => (S::BAD_REQUEST,                     "header-not-allowed",        "Header not allowed",              WRONG),
            Self::Credential(_)                           => (S::SERVICE_UNAVAILABLE,             "credential-unavailable",    "Credential unavailable",          "destination_unavailable"),
            Self::Entrance(E::HeaderDoubled(_) | E::HeaderNotAllowed(_))
                                                          => (S::BAD_REQUEST,                     "header-not-allowed",        "Header not allowed",              WRONG),
            Self::Entrance(E::HostMissing)                => (S::BAD_REQUEST,                     "host-missing",              "Host missing",                    WRONG),
            Self::Entrance(E::HostNotServed)              => (S::MISDIRECTED_REQUEST,             "host-not-served",           "Host not served",                 DENIED),
            Self::Entrance(E::OriginNotAllowed)           => (S::FORBIDDEN,                       "origin-not-allowed",        "Origin not allowed",              DENIED),
            Self::Entrance(E::Overloaded)                 => (S::SERVICE_UNAVAILABLE,             "overloaded",                "Overloaded",                      "connection_limit_reached"),
            Self::Entrance(E::TooManyHeaders)             => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large",         "Too many headers",                WRONG),
            Self::Keys(_)                                 => (S::SERVICE_UNAVAILABLE,             "keys-unavailable",          "Keys to verify tokens unavailable", "destination_unavailable"),
            Self::Limit(_)                                => (S::TOO_MANY_REQUESTS,               "rate-limited",              "Too many attempts",               DENIED),
            Self::LimitStore(_)                           => (S::SERVICE_UNAVAILABLE,             "limits-unavailable",        "Limits unavailable",              "proxy_internal_error"),
            Self::Route(R::MethodNotAllowed { .. })       => (S::METHOD_NOT_ALLOWED,              "method-not-allowed",        "Method not allowed",              DENIED),
            Self::Route(R::NotAllowed(_))                 => (S::FORBIDDEN,                       "route-not-allowed",         "Route not allowed",               DENIED),
            Self::Route(R::QueryNotAllowed(_))            => (S::BAD_REQUEST,                     "query-not-allowed",         "Query not allowed",               WRONG),
            Self::Route(R::Unknown)                       => (S::NOT_FOUND,                       "route-not-found",           "No such route",                   DENIED),
            Self::Subject(J::EnvironmentWide)             => (S::FORBIDDEN,                       "caller-not-allowed",        "Caller not allowed",              DENIED),
            Self::Subject(J::Malformed(_) | J::Missing(_) | J::NotConfigured(_))
                                                          => (S::BAD_REQUEST,                     "subject-missing",           "Subject missing",                 WRONG),
            Self::Subject(J::NotBearer | J::StepUp { .. } | J::Token(_) | J::TokenMissing)
                                                          => (S::UNAUTHORIZED,                    "token-invalid",             "Token invalid",                   DENIED),
            Self::Subject(J::AnotherUser | J::Disagrees(_) | J::NotOfCaller | J::NotOfGateway)
                                                          => (S::FORBIDDEN,                       "subject-not-allowed",       "Subject not allowed",             DENIED),
            Self::Upstream(U::AnswerTooLarge)             => (S::BAD_GATEWAY,                     "upstream-answer-too-large", "Identity provider's answer too large", "http_response_body_size"),
            Self::Upstream(U::Timeout)             => (S::GATEWAY_TIMEOUT,                 "upstream-timeout",          "Identity provider did not answer in time", "http_response_timeout"),
            Self::Upstream(U::NotSent(_))                 => (S::BAD_GATEWAY,                     "upstream-unreachable",      "Identity provider unreachable",   "destination_unavailable"),
            Self::Upstream(U::BadAnswer(_) | U::Broken(_) | U::SwitchedProtocols)
                                                          => (S::BAD_GATEWAY,                     "upstream-unreachable",      "Identity provider unreachable",   "http_response_incomplete"),
        };
        Facts { status, code, title, proxy_error }
    }

    /// What is wrong and how to mend it, to the person who can.
    pub(super) fn detail(&self) -> Cow<'static, str> {
        let fixed = match self {
            Self::Audit(_) => {
                "The audit log can't take a record, and nothing is done without one. The operator finds the cause in the log under this request id."
            }
            Self::Body(error) => return body_detail(error),
            Self::Caller(CallerError::NotAllowed(_), _) => {
                "This caller is not allowed this operation. The operator grants it in callers.operations."
            }
            Self::Caller(CallerError::Ambiguous, _) => {
                "The token, the client certificate and the user at the other end of the socket name different callers. Show what belongs to one."
            }
            Self::Caller(CallerError::Token(error), _) => {
                let why = account_fault(*error);
                return format!("The service account's token is refused: {why}.").into();
            }
            Self::Caller(CallerError::Unknown, _) => {
                "Send this caller's token once, in the header x-mfa-gateway-key, or connect with its client certificate or as its user: whichever the operator has configured."
            }
            Self::Client(Disagreement) => {
                "X-Forwarded-For and Forwarded name different users. The operator has the proxy in front write one of them and remove the other."
            }
            Self::Credential(_) => {
                "The gateway has no valid credential for the identity provider at present. Try again later; the operator finds the cause in the log."
            }
            Self::Entrance(error) => return entrance_detail(error),
            Self::Keys(_) => {
                "The gateway has no keys to verify tokens with at present. Try again later; the operator finds the cause in the log."
            }
            Self::Limit(refusal) => {
                let mut digits = itoa::Buffer::new();
                let wait = digits.format(whole_seconds(refusal.retry_after()));
                return ["Too many attempts. Try again in ", wait, " seconds."]
                    .concat()
                    .into();
            }
            Self::LimitStore(_) => {
                "The store that counts attempts can't be reached, and nothing is let through uncounted. Try again later; the operator finds the cause in the log."
            }
            Self::Route(error) => return route_detail(error),
            Self::Subject(error) => return subject_detail(error),
            Self::Upstream(UpstreamError::AnswerTooLarge) => {
                "The identity provider's answer is longer than 1 MiB and was not passed on. The request may have taken effect."
            }
            Self::Upstream(UpstreamError::Timeout) => {
                "The identity provider did not answer in time. The request may have taken effect."
            }
            Self::Upstream(UpstreamError::NotSent(_)) => {
                "The identity provider could not be reached, and nothing was sent to it. Try again later."
            }
            Self::Upstream(
                UpstreamError::BadAnswer(_)
                | UpstreamError::Broken(_)
                | UpstreamError::SwitchedProtocols,
            ) => {
                "The identity provider broke off, or answered what is no HTTP. The request may have taken effect."
            }
        };
        fixed.into()
    }

    /// When to come back, where that is known. A limit says it in headers of its own.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Audit(_) | Self::Entrance(EntranceError::Overloaded) | Self::LimitStore(_) => {
                Some(1)
            }
            Self::Credential(error) => Some(whole_seconds(error.retry_after)),
            Self::Keys(error) => Some(whole_seconds(error.retry_after)),
            Self::Body(_)
            | Self::Caller(..)
            | Self::Client(_)
            | Self::Entrance(_)
            | Self::Limit(_)
            | Self::Route(_)
            | Self::Subject(_)
            | Self::Upstream(_) => None,
        }
    }

    /// How to show who calls, or what the user's token must be: `WWW-Authenticate`, which every
    /// `401` has (RFC 9110, section 15.5.2).
    pub(super) fn challenge(&self) -> Option<String> {
        match self {
            Self::Caller(error, ways) => {
                let is_known = matches!(error, CallerError::NotAllowed(_));
                (!is_known).then(|| ways.challenge())
            }
            Self::Subject(error) => user_challenge(error),
            Self::Audit(_)
            | Self::Body(_)
            | Self::Client(_)
            | Self::Credential(_)
            | Self::Entrance(_)
            | Self::Keys(_)
            | Self::Limit(_)
            | Self::LimitStore(_)
            | Self::Route(_)
            | Self::Upstream(_) => None,
        }
    }

    /// Whether it is certain that no byte reached the vendor, so that the attempt did not count there.
    pub(super) const fn nothing_was_sent(&self) -> bool {
        match self {
            Self::Upstream(error) => !error.may_have_left(),
            Self::Audit(_)
            | Self::Body(_)
            | Self::Caller(..)
            | Self::Client(_)
            | Self::Credential(_)
            | Self::Entrance(_)
            | Self::Keys(_)
            | Self::Limit(_)
            | Self::LimitStore(_)
            | Self::Route(_)
            | Self::Subject(_) => true,
        }
    }

    /// Whether an operator should hear of it: it is ours or the vendor's fault, not the caller's.
    pub(super) fn concerns_the_operator(&self) -> bool {
        self.facts().status.is_server_error()
    }
}

/// What the user's token must be (RFC 6750, section 3; RFC 9470 for a step-up).
fn user_challenge(error: &SubjectError) -> Option<String> {
    match error {
        SubjectError::TokenMissing => Some("Bearer".to_owned()),
        SubjectError::NotBearer => Some("Bearer error=\"invalid_token\"".to_owned()),
        SubjectError::Token(error) => Some(format!(
            "Bearer error=\"invalid_token\", error_description=\"{}\"",
            fault(*error)
        )),
        SubjectError::StepUp { asked, .. } => {
            let within = asked.within.map(|within| {
                let seconds = within.as_secs();
                format!(", max_age=\"{seconds}\"")
            });
            Some(format!(
                "Bearer error=\"insufficient_user_authentication\", acr_values=\"{MULTI_FACTOR}\"{}",
                within.unwrap_or_default()
            ))
        }
        SubjectError::AnotherUser
        | SubjectError::Disagrees(_)
        | SubjectError::EnvironmentWide
        | SubjectError::Malformed(_)
        | SubjectError::Missing(_)
        | SubjectError::NotConfigured(_)
        | SubjectError::NotOfCaller
        | SubjectError::NotOfGateway => None,
    }
}

/// What is wrong with a service account's token.
const fn account_fault(error: JwtError) -> &'static str {
    if matches!(error, JwtError::Audience) {
        return "it is for another audience: mount it for the one in kubernetes.audience";
    }
    fault(error)
}

fn body_detail(error: &BodyError) -> Cow<'static, str> {
    match error {
        BodyError::Broken(_) => "The body broke off before its end.".into(),
        BodyError::Invalid(fault) => {
            format!("The body is not what this operation takes: {fault}.").into()
        }
        BodyError::Slow(limit) => format!(
            "The body did not come within {} seconds.",
            limit.as_secs_f32()
        )
        .into(),
        BodyError::TooLarge { max } => format!("The body is longer than {max} bytes.").into(),
        BodyError::UnsupportedMediaType => {
            "Send the body as application/json in UTF-8, without a content coding.".into()
        }
    }
}

fn entrance_detail(error: &EntranceError) -> Cow<'static, str> {
    match error {
        EntranceError::HeaderDoubled(name) => format!("Send the header {name} once.").into(),
        EntranceError::HeaderNotAllowed("connection") => "The Connection header names a header that the gateway reads or sets; send that one end to end.".into(),
        EntranceError::HeaderNotAllowed(name) => format!("The header {name} is not allowed: this connection stays HTTP.").into(),
        EntranceError::HostMissing => "Send exactly one Host, the one of the request's target.".into(),
        EntranceError::HostNotServed => "This listener does not serve the name in Host. The operator adds it to listen.allowed_hosts.".into(),
        EntranceError::OriginNotAllowed => "Requests of browser pages from this origin are not served. The operator adds it to listen.allowed_origins.".into(),
        EntranceError::Overloaded => "As many requests as the gateway takes at once are being served. Try again.".into(),
        EntranceError::TooManyHeaders => "The request has more header fields than the gateway reads.".into(),
    }
}

fn route_detail(error: &RouteError) -> Cow<'static, str> {
    match error {
        RouteError::MethodNotAllowed { allow } => format!("This path takes only {allow}.").into(),
        RouteError::NotAllowed(operation) => format!(
            "The operation {} is not let through here. The operator allows it in routes.allow, unless routes.deny names it.",
            operation.name()
        )
        .into(),
        RouteError::QueryNotAllowed(crate::route::Operation::LoginRememberDevice) => {
            "This operation takes one query parameter, mfaToken, not empty, and no other.".into()
        }
        RouteError::QueryNotAllowed(_) => "This operation takes no query.".into(),
        RouteError::Unknown => {
            "Only the identity API's MFA routes are served, spelled exactly as the vendor does."
                .into()
        }
    }
}

fn subject_detail(error: &SubjectError) -> Cow<'static, str> {
    match error {
        SubjectError::AnotherUser => {
            "The path names another user than the token in Authorization.".into()
        }
        SubjectError::Disagrees(name) => format!(
            "The header {name} names somebody else than the token in Authorization. Leave it out."
        )
        .into(),
        SubjectError::EnvironmentWide => {
            "This operation is for the whole environment, and this caller is bound to tenants."
                .into()
        }
        SubjectError::Malformed(name) => {
            format!("Send the header {name} once, with 1 to 128 visible ASCII characters.").into()
        }
        SubjectError::Missing(name) => format!("This operation needs the header {name}.").into(),
        SubjectError::NotConfigured(key) => {
            format!("This operation needs {key}, which is not configured.").into()
        }
        SubjectError::NotBearer => {
            "Send the user's token once, as Authorization: Bearer.".into()
        }
        SubjectError::NotOfCaller => "This caller may not act for this tenant.".into(),
        SubjectError::NotOfGateway => "This gateway does not act for this tenant.".into(),
        SubjectError::StepUp { error: StepUpError::NoSecondFactor, .. } => {
            "Step-up needed: the user's token shows no second factor. Have the user show one, and send the new token.".into()
        }
        SubjectError::StepUp { error: StepUpError::TooLongAgo, .. } => {
            "Step-up needed: the user has not shown a second factor recently enough. Have the user show one, and send the new token.".into()
        }
        SubjectError::Token(error) => format!(
            "The user's token in Authorization is refused: {}.",
            fault(*error)
        )
        .into(),
        SubjectError::TokenMissing => {
            "This operation needs the user's token, as Authorization: Bearer.".into()
        }
    }
}
