//! What leaves: the one place that decides which headers go to the vendor.
//!
//! From the caller come only the headers of a list and the cookies that match. Everything
//! that names a credential, a tenant, a user, an address or an environment is set here. No name
//! that is set here is on that list but `traceparent`, which then isn't taken from the caller: so
//! each leaves once, without a map that would see to it.

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE},
    uri::PathAndQuery,
};

use super::{
    Credential,
    address::AddressProof,
    cookies,
    names::{
        APPLICATION_ID, ENVIRONMENT_ID, FORWARDED_ALWAYS, HOP_BY_HOP, OURS, TENANT_ID, TRACESTATE,
        USER_ID, VENDOR_HOST,
    },
};
use crate::{
    config::{Frontegg, Headers, Pattern},
    model::{RequestId, TenantId, UserId},
    route::{Operation, SubjectRule},
    telemetry::traces::{Onward, TRACEPARENT},
};

/// What is the same for every request, prepared once. Cloning it for each worker is fine.
#[derive(Clone, Debug)]
pub struct Blueprint {
    constant: Vec<(HeaderName, HeaderValue)>,
    address_proof: Option<AddressProof>,
    forward: Vec<HeaderName>,
    cookies: Vec<Pattern>,
}

/// A request as the gateway has checked it.
#[derive(Clone)]
pub struct Outgoing<'a> {
    /// What it is for; the method and the subject headers follow from it.
    pub operation: Operation,
    /// The vendor's path, matched byte by byte, with the query if one may go on.
    pub path_and_query: &'a PathAndQuery,
    /// The tenant, where it is known.
    pub tenant: Option<&'a TenantId>,
    /// The user, where it is known.
    pub user: Option<&'a UserId>,
    /// The user's address, where it is known.
    pub client: Option<IpAddr>,
    /// Our id of it.
    pub request_id: RequestId,
    /// What the caller sent.
    pub caller_headers: &'a HeaderMap,
    /// The trace that it belongs to; `None`: what the caller says of one goes on as it is.
    pub trace: Option<Onward>,
    /// The body that was checked.
    pub body: &'a Bytes,
}

/// A request that is fit to leave. Made only by [`Blueprint::build`]. Which host it is for is the
/// connection's to say.
pub struct UpstreamRequest {
    method: Method,
    target: PathAndQuery,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl UpstreamRequest {
    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    pub(super) const fn target(&self) -> &PathAndQuery {
        &self.target
    }

    pub(super) const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Names and values in the order in which they leave.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }

    /// As HTTP/2 wants them.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in self.fields() {
            headers.append(name, value.clone());
        }
        headers
    }
}

/// Bodies and cookies are secrets, so only the first line is shown.
impl fmt::Debug for UpstreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target.path())
    }
}

impl Blueprint {
    /// For the vendor and the headers as configured.
    #[must_use]
    pub fn new(settings: &Frontegg, headers: &Headers, proof: Option<AddressProof>) -> Self {
        let constant = [
            (ENVIRONMENT_ID, &settings.environment_id),
            (APPLICATION_ID, &settings.application_id),
            (VENDOR_HOST, &settings.vendor_host),
        ];
        let constant = constant
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)));
        let mut forward = Vec::with_capacity(headers.forward.len());
        for name in &headers.forward {
            // each once, or its values would leave twice
            let known = OURS.iter().chain(&FORWARDED_ALWAYS).chain(&forward);
            if !known.into_iter().any(|known| known == name) {
                forward.push(name.clone());
            }
        }
        Self {
            constant: constant.collect(),
            address_proof: proof,
            forward,
            cookies: headers.cookies.clone(),
        }
    }

    /// Whether the vendor is told the user's address, where it is known. It counts that then, and
    /// not ours.
    #[must_use]
    pub const fn tells_addresses(&self) -> bool {
        self.address_proof.is_some()
    }

    /// The headers that are taken from a caller or set here: nobody may take them away.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let names = FORWARDED_ALWAYS.iter().chain(&OURS).chain(&self.forward);
        names.filter(|name| !HOP_BY_HOP.contains(name))
    }

    /// What leaves for this request, on this credential.
    #[must_use]
    pub fn build(&self, outgoing: Outgoing<'_>, credential: Credential<'_>) -> UpstreamRequest {
        let facts = outgoing.operation.facts();
        let mut fields = Vec::with_capacity(USUALLY);
        for (name, value) in outgoing.caller_headers {
            if self.forwards(name, outgoing.trace.as_ref()) {
                fields.push((name.clone(), value.clone()));
            }
        }
        if let Some(trace) = outgoing.trace {
            fields.push((TRACEPARENT, trace.traceparent));
        }
        if let Some(cookies) = cookies::matching(&self.cookies, outgoing.caller_headers) {
            fields.push((COOKIE, cookies));
        }

        fields.extend_from_slice(&self.constant);
        let (tenant, user) = match (credential, facts.subject) {
            // the vendor reads them from the token
            (Credential::User(_), _) | (_, SubjectRule::Nobody) => (None, None),
            (Credential::Environment(_), SubjectRule::TenantIfKnown) => (outgoing.tenant, None),
            (Credential::Environment(_), SubjectRule::User | SubjectRule::UserAndTenant) => {
                (outgoing.tenant, outgoing.user)
            }
        };
        if let Some(tenant) = tenant {
            fields.push((TENANT_ID, tenant.as_header().clone()));
        }
        if let Some(user) = user {
            fields.push((USER_ID, user.as_header().clone()));
        }
        if let (Some(client), Some(proof)) = (outgoing.client, &self.address_proof) {
            fields.extend(proof.fields(client));
        }
        if facts.method != Method::GET {
            fields.push((CONTENT_LENGTH, HeaderValue::from(outgoing.body.len())));
        }
        fields.push((RequestId::HEADER, outgoing.request_id.to_header()));
        let authorization = match credential {
            Credential::Environment(bearer) => bearer.as_header(),
            Credential::User(own) => own,
        };
        fields.push((AUTHORIZATION, authorization.clone()));
        UpstreamRequest {
            method: facts.method.clone(),
            target: outgoing.path_and_query.clone(),
            fields,
            body: outgoing.body.clone(),
        }
    }

    /// Whether a caller's header goes on: those that `trace` replaces don't.
    fn forwards(&self, name: &HeaderName, trace: Option<&Onward>) -> bool {
        let replaced = trace
            .is_some_and(|trace| *name == TRACEPARENT || (trace.is_root && *name == TRACESTATE));
        !replaced && (FORWARDED_ALWAYS.contains(name) || self.forward.contains(name))
    }
}

/// Headers of a usual request, so that the list need not grow. It takes less than a kibibyte, up to
/// which the allocator is quickest: a sixth of the instructions.
const USUALLY: usize = 14;
