//! The last step: a yes or a no, each recorded before the caller gets it.

use http::{Response, header::CONTENT_LENGTH};
use http_body_util::Full;
use hyper::body::Body as _;

use super::{Body, problem::problem, rejection::Rejection, trail::Trail};
use crate::{model::RequestId, upstream::Reply};

/// Answers no: recorded first, where it is for a route of ours.
pub(super) async fn refuse(trail: &mut Trail, rejection: &Rejection) -> Response<Body> {
    let request_id = trail.request_id();
    if rejection.concerns_the_operator() {
        tracing::warn!(%request_id, reason = rejection.facts().code, error = %rejection, "request refused");
    } else {
        tracing::debug!(%request_id, reason = rejection.facts().code, error = %rejection, "request refused");
    }
    // a refusal stays a refusal also where it can't be recorded; the audit log tells of that itself
    if trail.refused(rejection).await.is_err() {
        tracing::debug!(%request_id, "the refusal is not in the audit log yet");
    }
    problem(rejection, request_id)
}

/// An answer to `HEAD` tells its body's length and has none (RFC 9110, section 9.3.2). Over
/// HTTP/2 hyper would send it. No route has this method, so only refusals come here.
pub(super) fn leave_out_body(response: &mut Response<Body>) {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::default();
}

/// Passes the vendor's answer on, recorded first. It goes out also where the record finds no
/// sink: the factor is gone, and the user must know. The record is kept and written later.
pub(super) async fn answer(trail: &mut Trail, reply: Reply) -> Response<Body> {
    let request_id = trail.request_id();
    if trail.completed(reply.status()).await.is_err() {
        tracing::error!(%request_id, "answered before the audit log could take the record; it is kept and written first");
    }
    let (status, headers, body) = reply.into_parts();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(RequestId::HEADER, request_id.to_header());
    response
}
