//! One request: read, written down, spoilt if a fault is due, answered.

use std::future::pending;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::{
    connection::{Cut, Link},
    dispatch,
    endpoint::Endpoint,
    fault::{self, Fault, Place},
    journal::Received,
    shared::Shared,
};

/// Answers a request, unless a fault keeps it from it: then this never ends, and the
/// connection does.
pub(super) async fn answer(
    shared: &Shared,
    link: &Link,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let _busy = link.busy();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        link.cut(Cut::Close);
        return pending().await;
    };
    let body = body.to_bytes();
    let (endpoint, parameter) = Endpoint::find(&head.method, head.uri.path());
    let came = (link.number, link.peer);
    let received = Received::new(&head, body.clone(), endpoint, came);
    shared.journal.write(received);

    let right = || dispatch::answer(shared, link.peer, &head, &body, (endpoint, parameter));
    let answer = match shared.faults.take(Place::Request(endpoint)) {
        None => right(),
        Some(Fault::Close) => return broken(link, Cut::Close).await,
        Some(Fault::Reset) => return broken(link, Cut::Reset).await,
        Some(Fault::Hang) => return pending().await,
        Some(Fault::Gzip) => fault::gzip(),
        Some(Fault::Large(bytes)) => fault::large(bytes),
        Some(Fault::OddHeaders) => fault::with_odd_headers(right()),
        Some(Fault::Redirect) => fault::redirect(),
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            right()
        }
        Some(Fault::Status(status)) => fault::error(status),
        Some(Fault::SwitchingProtocols) => fault::switching_protocols(),
        // these happen to connections, never to requests
        Some(Fault::Certificate(_) | Fault::RefuseConnections) => {
            fault::error(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    answer.into_response()
}

async fn broken(link: &Link, how: Cut) -> Response<Full<Bytes>> {
    link.cut(how);
    pending().await
}
