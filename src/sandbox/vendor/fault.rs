//! The ways in which the stand-in can be told to misbehave.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};

use super::{
    super::locked::Locked,
    answer::{Answer, Refusal},
    endpoint::Endpoint,
};

/// A certificate that no client may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadCertificate {
    /// It ended in the year 2000.
    Expired,
    /// Another authority signed it.
    Foreign,
    /// It is for another host.
    WrongHost,
}

/// One way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Shows this certificate to new connections.
    Certificate(BadCertificate),
    /// Reads the request and closes the connection.
    Close,
    /// Answers with a body that says it is gzip, and is.
    Gzip,
    /// Reads the request and never answers.
    Hang,
    /// Answers rightly, with a body of so many bytes.
    Large(usize),
    /// Does and answers what is asked, with headers that speak for another origin:
    /// HSTS, CORS, `Alt-Svc`, `Server` and the like.
    OddHeaders,
    /// Answers 302 to another host.
    Redirect,
    /// Resets new connections before TLS.
    RefuseConnections,
    /// Reads the request and resets the connection.
    Reset,
    /// Does and answers what is asked, after so long.
    Slow(Duration),
    /// Answers this status and an error, and does nothing.
    Status(StatusCode),
    /// Answers 101. HTTP/1.1 only: over HTTP/2 the stream is reset.
    SwitchingProtocols,
}

impl Fault {
    /// Where the fault happens, instead of at all operations.
    #[must_use]
    pub fn at(self, endpoint: impl Into<Endpoint>) -> Misbehaviour {
        Misbehaviour {
            at: Some(endpoint.into()),
            ..self.into()
        }
    }

    /// How often the fault happens, instead of until [cleared](super::Vendor::behave).
    #[must_use]
    pub fn times(self, times: usize) -> Misbehaviour {
        Misbehaviour::from(self).times(times)
    }

    /// The fault happens once.
    #[must_use]
    pub fn once(self) -> Misbehaviour {
        self.times(1)
    }

    const fn is_of_connections(self) -> bool {
        matches!(self, Self::Certificate(_) | Self::RefuseConnections)
    }
}

/// A fault, where and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    fault: Fault,
    /// `None`: all operations of the MFA API. Faults of connections have no endpoint.
    at: Option<Endpoint>,
    /// `None`: until cleared.
    times: Option<usize>,
}

impl Misbehaviour {
    /// How often the fault happens, instead of until [cleared](super::Vendor::behave).
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// The fault happens once.
    #[must_use]
    pub const fn once(self) -> Self {
        self.times(1)
    }

    fn is_for(&self, place: Place) -> bool {
        match (place, self.at) {
            (Place::Connection, _) => self.fault.is_of_connections(),
            (Place::Request(_), _) if self.fault.is_of_connections() => false,
            (Place::Request(endpoint), Some(at)) => endpoint == at,
            (Place::Request(endpoint), None) => matches!(endpoint, Endpoint::Operation(_)),
        }
    }
}

impl From<Fault> for Misbehaviour {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            at: None,
            times: None,
        }
    }
}

/// Where a fault can happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Connection,
    Request(Endpoint),
}

/// The faults that are still to happen, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Faults(Locked<Vec<Misbehaviour>>);

impl Faults {
    pub(super) fn add(&self, misbehaviour: Misbehaviour) {
        self.0.with(|all| all.push(misbehaviour));
    }

    pub(super) fn clear(&self) {
        self.0.with(Vec::clear);
    }

    /// The first fault for this place, which counts as having happened.
    pub(super) fn take(&self, place: Place) -> Option<Fault> {
        self.0.with(|all| {
            all.retain(|misbehaviour| misbehaviour.times != Some(0));
            let found = all.iter_mut().find(|found| found.is_for(place))?;
            found.times = found.times.map(|times| times.saturating_sub(1));
            Some(found.fault)
        })
    }
}

/// What a fault answers in place of the vendor.
pub(super) fn error(status: StatusCode) -> Answer {
    let message = status.canonical_reason().unwrap_or("Error");
    Refusal::new(status, message).into()
}

pub(super) fn redirect() -> Answer {
    let mut answer = Answer::empty(StatusCode::FOUND);
    let elsewhere = HeaderValue::from_static("https://elsewhere.example/");
    answer.set(header::LOCATION, elsewhere);
    answer
}

pub(super) fn switching_protocols() -> Answer {
    let mut answer = Answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer.set(header::UPGRADE, HeaderValue::from_static("sandbox"));
    answer.set(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer
}

/// The JSON `{"gzipped":true}`, compressed.
pub const GZIPPED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 175, 202, 44, 40, 72, 77, 81, 178, 42, 41, 42,
    77, 173, 5, 0, 83, 146, 152, 139, 16, 0, 0, 0,
];

pub(super) fn gzip() -> Answer {
    let mut answer = Answer::empty(StatusCode::OK);
    answer.body = GZIPPED.into();
    let json = HeaderValue::from_static("application/json");
    answer.set(header::CONTENT_TYPE, json);
    answer.set(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}

/// A JSON string of so many bytes, quotes and all.
pub(super) fn large(bytes: usize) -> Answer {
    let mut answer = Answer::empty(StatusCode::OK);
    answer.body = format!("\"{}\"", "x".repeat(bytes.saturating_sub(2))).into();
    let json = HeaderValue::from_static("application/json");
    answer.set(header::CONTENT_TYPE, json);
    answer
}

/// Headers that no proxy may pass on.
pub const ODD_HEADERS: &[(&str, &str)] = &[
    ("strict-transport-security", "max-age=31536000"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("alt-svc", "h3=\":443\""),
    ("server", "sandbox"),
    ("via", "1.1 sandbox"),
    ("x-powered-by", "sandbox"),
    ("x-frame-options", "DENY"),
];

pub(super) fn with_odd_headers(mut answer: Answer) -> Answer {
    for (name, value) in ODD_HEADERS {
        let name = header::HeaderName::from_static(name);
        answer.set(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Operation;

    const RECOVER: Place = Place::Request(Endpoint::Operation(Operation::Recover));
    const EXCHANGE: Place = Place::Request(Endpoint::TokenExchange);

    #[test]
    fn a_fault_happens_where_and_as_often_as_asked() {
        let faults = Faults::default();
        faults.add(Fault::Hang.at(Endpoint::TokenExchange).times(2));
        assert_eq!(faults.take(RECOVER), None);
        assert_eq!(faults.take(Place::Connection), None);
        assert_eq!(faults.take(EXCHANGE), Some(Fault::Hang));
        assert_eq!(faults.take(EXCHANGE), Some(Fault::Hang));
        assert_eq!(faults.take(EXCHANGE), None);
    }

    #[test]
    fn a_fault_without_a_place_is_for_all_operations_until_cleared() {
        let faults = Faults::default();
        faults.add(Fault::Reset.into());
        assert_eq!(faults.take(EXCHANGE), None);
        assert_eq!(faults.take(RECOVER), Some(Fault::Reset));
        assert_eq!(faults.take(RECOVER), Some(Fault::Reset));
        faults.clear();
        assert_eq!(faults.take(RECOVER), None);
    }

    #[test]
    fn faults_of_connections_wait_for_one() {
        let faults = Faults::default();
        faults.add(Fault::RefuseConnections.once());
        assert_eq!(faults.take(RECOVER), None);
        let taken = faults.take(Place::Connection);
        assert_eq!(taken, Some(Fault::RefuseConnections));
        assert_eq!(faults.take(Place::Connection), None);
    }
}
