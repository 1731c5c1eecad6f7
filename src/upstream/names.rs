//! The names of headers on a request that leaves: which come from the caller, which are ours.

use http::{
    HeaderName,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
        EXPECT, FORWARDED, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
        USER_AGENT,
    },
};

use crate::{
    caller::KEY_HEADER, client_ip::X_FORWARDED_FOR, model::RequestId,
    telemetry::traces::TRACEPARENT,
};

/// The caller's headers that always go on.
pub(super) static FORWARDED_ALWAYS: [HeaderName; 8] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_TYPE,
    USER_AGENT,
    TRACEPARENT,
    TRACESTATE,
    HeaderName::from_static("x-frontegg-sdk"),
    HeaderName::from_static("x-frontegg-framework"),
];

pub(super) const APPLICATION_ID: HeaderName = HeaderName::from_static("frontegg-application-id");
pub(super) const ENVIRONMENT_ID: HeaderName = HeaderName::from_static("frontegg-environment-id");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-frontegg-forwarded-for");
pub(super) const HEADERS_VERIFIER: HeaderName =
    HeaderName::from_static("x-frontegg-headers-verifier");
pub(super) const TENANT_ID: HeaderName = HeaderName::from_static("frontegg-tenant-id");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(super) const USER_ID: HeaderName = HeaderName::from_static("frontegg-user-id");
pub(super) const VENDOR_ID: HeaderName = HeaderName::from_static("frontegg-vendor-id");
pub(super) const VENDOR_HOST: HeaderName = HeaderName::from_static("frontegg-vendor-host");

/// SECURITY: never taken from a caller, even if the configuration should name them: they say
/// who acts, from where, or how the message is framed.
pub(super) static OURS: [HeaderName; 27] = [
    APPLICATION_ID,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    ENVIRONMENT_ID,
    EXPECT,
    FORWARDED,
    FORWARDED_FOR,
    HEADERS_VERIFIER,
    HOST,
    PROXY_AUTHORIZATION,
    RequestId::HEADER,
    TE,
    TENANT_ID,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_ID,
    VENDOR_HOST,
    VENDOR_ID,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-access-token"),
    KEY_HEADER,
    X_FORWARDED_FOR,
    HeaderName::from_static("x-real-ip"),
];

/// Of [`OURS`], what belongs to one connection anyway, so that `Connection` rightly names it:
/// many clients say `keep-alive` with each request.
pub(super) static HOP_BY_HOP: [HeaderName; 5] = [
    TE,
    TRAILER,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
