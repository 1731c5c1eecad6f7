//! One request to the MFA API, as its handlers see it.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{
    super::{
        random,
        world::{Purpose, Sent, World},
    },
    answer::{Answer, Refusal},
    codes::{Channel, SentCode},
    shared::Shared,
};

/// What a handler makes of a call.
pub(super) type Handled = Result<Answer, Refusal>;

/// Whose token came with the request.
#[derive(Debug)]
pub(super) enum Who {
    /// The environment's: it may act for everyone, and says for whom.
    Environment,
    /// That of the user with this id, who acts for themselves.
    User(String),
}

/// A request whose token was good.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) world: &'a mut World,
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) who: &'a Who,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Option<&'a str>,
    /// The parameter in the path; empty where it has none.
    pub(super) parameter: &'a str,
    pub(super) fields: &'a Fields,
}

impl Call<'_> {
    /// The value of a header field, if it is there and says something.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then_some(value)
    }

    /// Sends a code to the user's phone or address; gives the `otcToken` that it is
    /// known by.
    pub(super) fn send_code(
        &mut self,
        user: &str,
        purpose: Purpose,
        channel: Channel,
        to: &str,
    ) -> String {
        let code = random::code();
        self.shared.codes.send(SentCode {
            channel,
            to: to.to_owned(),
            code: code.clone(),
        });
        let sent = Sent {
            user: user.to_owned(),
            purpose,
            code,
        };
        self.world.pending.codes.issue(sent, self.now)
    }
}

/// The body's members.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a JSON object; no byte is as good as `{}`.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_not_an_object| Refusal::bad_request("Unexpected token in JSON"))
    }

    /// A non-empty string, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A non-empty string that must be there.
    pub(super) fn text(&self, name: &str) -> Result<&str, Refusal> {
        self.find(name)
            .ok_or_else(|| Refusal::bad_request(format!("{name} should not be empty")))
    }

    /// An object that must be there.
    pub(super) fn object(&self, name: &str) -> Result<&Map<String, Value>, Refusal> {
        self.value(name)
            .and_then(Value::as_object)
            .ok_or_else(|| Refusal::bad_request(format!("{name} must be an object")))
    }

    /// Whether a flag is set.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).and_then(Value::as_bool) == Some(true)
    }

    /// Whatever stands there.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}
