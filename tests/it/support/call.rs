//! A request before it is sent, and its answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use mfa_gateway::{
    route::{FieldKind, Operation},
    sandbox::world::seed::Person,
};
use serde_json::{Map, Value, json};

/// A request to the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) version: Version,
    /// `Host`, or `:authority` in HTTP/2, instead of the address that is called.
    pub(crate) host: Option<String>,
}

impl Call {
    pub(crate) fn new(method: Method, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            version: Version::HTTP_11,
            host: None,
        }
    }

    /// A good call of an operation by someone: what the route table asks for is there.
    pub(crate) fn of(operation: Operation) -> Self {
        let facts = operation.facts();
        let target = facts.path.replace("{deviceId}", "device-1");
        let target = target.replace("{userId}", "user-1");
        let call = Self::new(facts.method.clone(), &target)
            .header("frontegg-tenant-id", "tenant-1")
            .header("frontegg-user-id", "user-1");
        if operation == Operation::LoginRememberDevice {
            return Self {
                target: target + "?mfaToken=token-1",
                ..call
            };
        }
        if facts.fields.is_empty() {
            return call;
        }
        let value = |kind, name: &str| match kind {
            FieldKind::Any => json!(true),
            FieldKind::Email => json!("someone@acme.example"),
            FieldKind::Object => json!({"id": "key-1"}),
            FieldKind::Phone => json!("+15555550101"),
            FieldKind::Login | FieldKind::Secret | FieldKind::Text => json!(format!("{name}-1")),
        };
        let fields = facts.fields.iter();
        let fields: Map<_, _> = fields
            .map(|field| (field.name.to_owned(), value(field.kind, field.name)))
            .collect();
        call.json(&fields.into())
    }

    /// The same with one field of its body changed.
    pub(crate) fn with(self, field: &str, value: impl Into<Value>) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| json!({}));
        body[field] = value.into();
        self.json(&body)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .insert(header(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Adds a header beside those of the same name.
    pub(crate) fn also(mut self, name: &str, value: &str) -> Self {
        self.headers
            .append(header(name), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Shows a user's token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Names nobody.
    pub(crate) fn for_nobody(self) -> Self {
        self.without("frontegg-tenant-id")
            .without("frontegg-user-id")
    }

    pub(crate) fn on_behalf_of(self, person: &Person) -> Self {
        self.header("frontegg-tenant-id", person.tenant)
            .header("frontegg-user-id", person.id)
    }

    pub(crate) fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn http2(self) -> Self {
        self.version(Version::HTTP_2)
    }
}

fn header(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

/// A guess of someone's recovery code.
pub(crate) fn recover(email: &str, code: &str) -> Call {
    Call::of(Operation::Recover)
        .with("email", email)
        .with("recoveryCode", code)
}

/// An answer of the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "{name} twice");
        Some(value)
    }

    /// The refusal's code, where the gateway itself said no.
    pub(crate) fn code(&self) -> Option<String> {
        let ours = self.header("content-type") == Some("application/problem+json");
        let code = || self.json()["errorCode"].as_str().unwrap().to_owned();
        ours.then(code)
    }

    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id").unwrap()
    }

    /// Fails unless the gateway said no with this status and code.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.code().as_deref(), Some(code), "{self:?}");
    }

    /// Fails unless the vendor answered with this status.
    #[track_caller]
    pub(crate) fn assert_passed(&self, status: u16) {
        assert_eq!(self.code(), None, "{self:?}");
        assert_eq!(self.status, status, "{self:?}");
    }
}
