//! The admin listener: probes, metrics, and a few guarded endpoints.
//!
//! | endpoint | who | says |
//! |---|---|---|
//! | `GET /livez` | anyone | this thread still turns |
//! | `GET /startupz` | anyone | the configuration and its secrets are read, the audit log is open, the vendor has not *rejected* the credential |
//! | `GET /readyz` | anyone | started, the audit log takes records, not draining; each check under `?verbose` |
//! | `GET /metrics` | anyone | OpenMetrics |
//! | `GET /version` | anyone | what is running |
//! | `GET /config` | guarded | the effective configuration, secrets redacted |
//! | `POST /limits` | guarded | what is left for an email |
//! | `POST /limits/reset` | guarded | forgives an email |
//! | `POST /quitquitquit` | guarded, and only with `admin.quit` | drains and exits 0 |
//!
//! Readiness does not depend on the vendor: one outage there would take every pod out of
//! service here. Guarded means a loopback peer with a loopback `Host` and no sign of a browser
//! page or of a proxy that passes others on, or whoever shows `admin.key` in `x-mfa-gateway-key`.

mod endpoint;
mod limits;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::UNIX_EPOCH};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use self::{endpoint::Endpoint, limits::Question};
use crate::{
    audit::Audit,
    caller::KEY_HEADER,
    client_ip::X_FORWARDED_FOR,
    config::Loaded,
    gateway::{Services, is_cross_site, is_loopback, one_host},
    model::single,
    telemetry::metrics::Readings,
};

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No new work is wanted; what is in flight is finished.
    Draining,
    /// All is open.
    Serving,
    /// Something is not open yet.
    Starting,
}

/// What the admin listener reports on.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Where the process stands.
    pub phase: watch::Receiver<Phase>,
    /// The limiter, the credential and the metrics of the moment.
    pub services: watch::Receiver<Services>,
    /// Takes the records.
    pub audit: Audit,
    /// The effective configuration.
    pub config: watch::Receiver<Arc<Loaded>>,
    /// Tells the process to drain; `None` where `admin.quit` is off.
    pub quit: Option<Arc<watch::Sender<bool>>>,
    /// Opens the guarded endpoints from anywhere.
    pub key: watch::Receiver<Option<Key>>,
}

/// The digest of `admin.key`.
#[derive(Clone, Debug)]
pub struct Key(digest::Digest);

impl Key {
    /// Keeps the digest of the key alone.
    #[must_use]
    pub fn new(secret: &SecretString) -> Self {
        Self(digest::digest(
            &digest::SHA256,
            secret.expose_secret().as_bytes(),
        ))
    }

    fn is(&self, shown: &[u8]) -> bool {
        let shown = digest::digest(&digest::SHA256, shown);
        verify_slices_are_equal(self.0.as_ref(), shown.as_ref()).is_ok()
    }
}

/// Serves the admin listener until dropped.
pub async fn serve(listener: TcpListener, state: AdminState) {
    let state = Arc::new(state);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept admin connections; trying again");
                tokio::time::sleep(super::serve::PAUSE).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(state.respond(peer, request).await) }
        });
        drop(tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "an admin connection ended early");
            }
        }));
    }
}

impl AdminState {
    async fn respond(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(endpoint) = Endpoint::at(request.uri().path()) else {
            let there = Endpoint::ALL.map(Endpoint::path).join(", ");
            return text(StatusCode::NOT_FOUND, &format!("there is {there}\n"));
        };
        if !endpoint.takes(request.method()) {
            return not_allowed(endpoint.allow());
        }
        let by = match self.trust(peer, &request) {
            Some(why) => format!("{peer}, {why}"),
            None if endpoint.is_guarded() => {
                return text(
                    StatusCode::FORBIDDEN,
                    "only from loopback with a loopback Host, from no page and through no proxy, or with admin.key in x-mfa-gateway-key\n",
                );
            }
            None => peer.to_string(),
        };
        match endpoint {
            Endpoint::Config => {
                let config = Arc::clone(&self.config.borrow());
                json(StatusCode::OK, &config.show_json())
            }
            Endpoint::Limits => self.limits(Question::Show, &by, request).await,
            Endpoint::LimitsReset => self.limits(Question::Reset, &by, request).await,
            Endpoint::Live => text(StatusCode::OK, "ok\n"),
            Endpoint::Metrics => self.metrics(),
            Endpoint::Quit => self.quit(),
            Endpoint::Ready => probe(&self.readiness(), &request),
            Endpoint::Startup => probe(&self.startup(), &request),
            Endpoint::Version => json(
                StatusCode::OK,
                &json!({ "version": env!("CARGO_PKG_VERSION") }),
            ),
        }
    }

    /// Why who asks may use what is guarded, in words for the audit log; `None`: it may not.
    fn trust(&self, peer: SocketAddr, request: &Request<Incoming>) -> Option<&'static str> {
        if self.holds_key(request) {
            Some("with admin.key")
        } else if is_here(peer, request) {
            Some("from this machine")
        } else {
            None
        }
    }

    fn holds_key(&self, request: &Request<Incoming>) -> bool {
        match (&*self.key.borrow(), single(request.headers(), &KEY_HEADER)) {
            (Some(key), Ok(Some(shown))) => key.is(shown.as_bytes()),
            (_, _) => false,
        }
    }

    async fn limits(
        &self,
        question: Question,
        by: &str,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let services = self.services.borrow().clone();
        limits::respond(question, &services, &self.audit, by, request.into_body()).await
    }

    fn quit(&self) -> Response<Full<Bytes>> {
        match &self.quit {
            Some(quit) => {
                quit.send_replace(true);
                text(StatusCode::OK, "draining\n")
            }
            None => text(
                StatusCode::NOT_FOUND,
                "off; admin.quit = true switches it on\n",
            ),
        }
    }

    fn startup(&self) -> Vec<Check> {
        vec![
            Check {
                name: "started",
                good: *self.phase.borrow() != Phase::Starting,
            },
            Check {
                name: "audit",
                good: self.audit.usable(),
            },
            Check {
                name: "credential",
                good: !self.services.borrow().credentials.status().is_rejected(),
            },
        ]
    }

    fn readiness(&self) -> Vec<Check> {
        let phase = *self.phase.borrow();
        vec![
            Check {
                name: "started",
                good: phase != Phase::Starting,
            },
            Check {
                name: "audit",
                good: self.audit.usable(),
            },
            Check {
                name: "not-draining",
                good: phase != Phase::Draining,
            },
        ]
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let services = self.services.borrow().clone();
        let status = services.credentials.status();
        let expiry = status
            .held_until
            .and_then(|until| until.duration_since(UNIX_EPOCH).ok());
        let audit = self.audit.counters();
        let readings = Readings {
            limit_keys: services.limiter.keys(),
            credential_refreshes: (status.renewed, status.failed),
            credential_expiry: expiry.map_or(0, |expiry| {
                i64::try_from(expiry.as_secs()).unwrap_or(i64::MAX)
            }),
            audit_records: audit
                .read()
                .map(|count| (count.output.to_owned(), count.result, count.records))
                .collect(),
            audit_appends: audit
                .appends()
                .map(|(output, appends)| (output.to_owned(), appends))
                .collect(),
            audit_output_up: audit
                .up()
                .map(|(output, up)| (output.to_owned(), up))
                .collect(),
        };
        services.metrics.render(&readings).map_or_else(
            |error| {
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &format!("metrics can't be written: {error}\n"),
                )
            },
            |text| {
                with_type(
                    StatusCode::OK,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    text.into(),
                )
            },
        )
    }
}

/// Whether the peer is on this machine, and neither a browser's page nor a proxy sends it.
fn is_here(peer: SocketAddr, request: &Request<Incoming>) -> bool {
    let signs = [header::ORIGIN, header::FORWARDED, X_FORWARDED_FOR];
    peer.ip().to_canonical().is_loopback()
        && !signs
            .iter()
            .any(|name| request.headers().contains_key(name))
        && !is_cross_site(request.headers())
        && one_host(request.uri(), request.headers()).is_ok_and(|host| is_loopback(&host))
}

/// One question that a probe asks.
struct Check {
    name: &'static str,
    good: bool,
}

fn probe(checks: &[Check], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let good = checks.iter().all(|check| check.good);
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")))
    {
        let each: serde_json::Map<_, _> = checks
            .iter()
            .map(|check| {
                (
                    check.name.to_owned(),
                    json!(if check.good { "ok" } else { "failed" }),
                )
            })
            .collect();
        return json(
            status,
            &json!({ "status": if good { "ok" } else { "failed" }, "checks": each }),
        );
    }
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| !check.good)
        .map(|check| check.name)
        .collect();
    if good {
        text(status, "ok\n")
    } else {
        text(status, &format!("failed: {}\n", failed.join(", ")))
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    with_type(
        status,
        "text/plain; charset=utf-8",
        text.as_bytes().to_vec().into(),
    )
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    with_type(status, "application/json", format!("{value}\n").into())
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
