//! The way of one request through the gateway. Read this first.
//!
//! 1. `entrance`: room for one more; one `Host` that is served; `Origin`; no header that we read or
//!    set declared hop-by-hop; from where the user comes ([`crate::client_ip`])
//! 2. [`crate::route`]: exact match of the raw path, method, let through, query
//! 3. [`crate::caller`]: who calls, and may they do this
//! 4. [`crate::body`]: read whole and bounded, one strict JSON object, every proof there
//! 5. [`crate::subject`]: on whose behalf, and may they act for them
//! 6. [`crate::limit`]: attempts left, all policies or none charged
//! 7. [`crate::audit`]: the record of what is about to happen accepted
//! 8. [`crate::credential`]: the environment's credential at hand
//! 9. [`crate::upstream`]: sent to the vendor, answered in time
//! 10. [`crate::audit`]: the record of how it ended accepted, then the answer
//!
//! The first step that refuses answers, and nothing is sent before the last check has passed.
//! Up to step 6 a request whose caller leaves is given up; from step 7 on it is finished and
//! recorded whoever still waits ([`Finish`]). Each step's result is a value that only it can
//! make, and the next steps take those values: what was not checked can't be sent.
//!
//! Bodies are held whole, both ways and bounded. They are small here, and it buys one body
//! type, one deadline, a record that knows the end, and a limit on requests in flight that
//! means memory too.

mod answer;
mod context;
mod entrance;
mod finish;
mod headers;
mod identify;
mod problem;
mod rejection;
mod trail;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use answer::{answer, leave_out_body, refuse};
pub use context::{Connection, Secrets, Services};
pub use entrance::{Entrance, EntranceError};
pub(crate) use entrance::{is_cross_site, is_loopback, one_host};
pub use finish::{Begun, Finish};
use headers::PrivateHeaders;
pub use identify::TokenKeys;
use rejection::Rejection;
use trail::Trail;

use crate::{
    audit::Audit,
    body,
    caller::Callers,
    config::{self, Settings},
    event::UpstreamNote,
    limit::{Attempt, Charge, ClientAddress, Decisions, Denied},
    model::{Deadline, Region, Subaddress},
    route::{Facts, OnUnauthorized, RouteTable},
    subject::Subject,
    upstream::{Blueprint, Credential, Outgoing, Reply, Upstream, UpstreamError},
};

/// The body of an answer: whole, bounded.
pub type Body = Full<Bytes>;

/// One thread's gateway, as configured at present. A reload makes a new one.
#[derive(Debug)]
pub struct Gateway {
    routes: RouteTable,
    private: PrivateHeaders,
    callers: Arc<Callers>,
    body: body::Rules,
    subject: config::Subject,
    tokens: identify::Tokens,
    request_timeout: Duration,
    services: Services,
    audit: Audit,
    blueprint: Blueprint,
    upstream: Arc<Upstream>,
    host: Arc<str>,
    region: Region,
}

/// A request that has passed every check: the right to be sent.
struct Admission {
    facts: &'static Facts,
    target: PathAndQuery,
    body: Bytes,
    subject: Subject,
    client: Option<IpAddr>,
    /// The user's own token, where it takes the credential's place.
    own: Option<HeaderValue>,
    charge: Box<Charge>,
    /// Held until the answer is made and recorded.
    room: OwnedSemaphorePermit,
}

impl Gateway {
    /// A gateway for one thread: `audit` and `upstream` are that thread's own.
    #[must_use]
    pub fn new(
        settings: &Settings,
        secrets: Secrets,
        services: Services,
        audit: Audit,
        upstream: Arc<Upstream>,
    ) -> Self {
        let blueprint =
            Blueprint::new(&settings.frontegg, &settings.headers, secrets.address_proof);
        let subject_headers = identify::subject_headers(&settings.subject.from);
        Self {
            routes: RouteTable::new(&settings.routes.allowed),
            private: PrivateHeaders::new(blueprint.names().cloned().chain(subject_headers)),
            callers: secrets.callers,
            body: body::Rules {
                recover_extra_fields: settings.routes.recover_extra_fields.clone(),
                subaddress: Subaddress::fold_if(settings.limits.fold_subaddress),
            },
            subject: settings.subject.clone(),
            tokens: identify::Tokens::new(settings, &services.token_keys),
            request_timeout: settings.frontegg.request_timeout,
            services,
            audit,
            blueprint,
            upstream,
            host: Arc::from(settings.frontegg.identity.host()),
            region: settings.frontegg.region,
        }
    }

    /// Answers one request. Never fails: a no is an answer too.
    pub fn handle(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Finish<Response<Body>> {
        let (head, mut incoming) = request.into_parts();
        // one future for the whole request, so that nothing of it moves from one to the next
        Finish::new(|begun| async move {
            let mut trail = Trail::start(
                &self.audit,
                &self.services,
                self.region,
                connection.peer,
                &head,
            );
            let admitted = self.admit(&mut trail, &connection, &head, &mut incoming);
            match admitted.await {
                Ok(admission) => {
                    drop(incoming);
                    begun.say();
                    self.exchange(&mut trail, &head, admission).await
                }
                Err(rejection) => {
                    let mut no = refuse(&mut trail, &rejection).await;
                    if head.method == Method::HEAD {
                        leave_out_body(&mut no);
                    }
                    body::pass_over(&head, incoming);
                    no
                }
            }
        })
    }

    /// Steps 1 to 6.
    async fn admit(
        &self,
        trail: &mut Trail,
        connection: &Connection,
        head: &Parts,
        incoming: &mut Incoming,
    ) -> Result<Admission, Rejection> {
        let entrance = &connection.entrance;
        let matched = self
            .routes
            .find(&head.method, &head.uri, &entrance.base_path);
        // known before the door is passed, so that a refusal there has its record too
        match &matched {
            Ok(matched) => trail.route(matched),
            Err(error) => trail.operation(error.operation()),
        }
        let client = entrance.client(connection.source, &head.headers);
        trail.client(client.unwrap_or_default());
        let room = entrance.enter()?;
        entrance.check(head, &self.private)?;

        let (matched, client) = (matched?, client?);
        let facts = matched.facts();

        let caller = self.caller(trail, facts, connection, &head.headers).await?;

        // SECURITY: an unknown caller never makes us read a body.
        let body = body::read(incoming, entrance.max_body, entrance.body_timeout).await?;
        let body = body::check(facts, &self.body, &head.headers, body)?;
        trail.body(&body);

        let (subject, own) = self
            .subject(trail, &matched, &caller, &head.headers)
            .await?;

        let attempt = Attempt {
            operation: facts.operation,
            caller: caller.name(),
            email: body.email.as_ref(),
            client: ClientAddress::new(client, self.blueprint.tells_addresses()),
            device: matched.parameter().map(|parameter| parameter.as_str()),
            user: subject.user(),
            login_token: body.login_token.as_deref(),
            phone: body.phone.as_ref(),
        };
        let charge = self.charge(trail, &attempt).await?;
        let target = matched.target().clone();
        Ok(Admission {
            facts,
            target,
            body: body.bytes,
            subject,
            client,
            own,
            charge,
            room,
        })
    }

    /// Step 6, told to the trail and counted.
    async fn charge(
        &self,
        trail: &mut Trail,
        attempt: &Attempt<'_>,
    ) -> Result<Box<Charge>, Rejection> {
        let admitted = self.services.limiter.admit(attempt).await;
        let (note, decisions) = match &admitted {
            Ok(charge) => (charge.note(), charge.decisions()),
            Err(Denied::Limit(refusal)) => (Some(refusal.note()), refusal.decisions()),
            Err(Denied::Store(_)) => (None, &Decisions::default()),
        };
        trail.limit(note);
        for (limit, decision) in decisions.iter() {
            self.services
                .metrics
                .limit(limit.as_str(), decision.as_str());
        }
        Ok(admitted?)
    }

    /// Steps 7 to 10. Runs to its end whoever still waits for it.
    async fn exchange(
        &self,
        trail: &mut Trail,
        head: &Parts,
        admission: Admission,
    ) -> Response<Body> {
        if let Err(not_accepted) = trail.admitted().await {
            admission.charge.give_back().await;
            trail.not_admitted();
            return refuse(trail, &not_accepted.into()).await;
        }
        let deadline = Deadline::after(self.request_timeout);
        match self.send(trail, head, &admission, deadline).await {
            Ok(mut reply) => {
                settle(admission.charge, &mut reply).await;
                let response = answer(trail, reply).await;
                drop(admission.room);
                response
            }
            Err(rejection) => {
                if rejection.nothing_was_sent() {
                    admission.charge.give_back().await;
                }
                refuse(trail, &rejection).await
            }
        }
    }

    /// Steps 8 and 9, and once more after a `401` where nothing could be spent twice.
    async fn send(
        &self,
        trail: &mut Trail,
        head: &Parts,
        admission: &Admission,
        deadline: Deadline,
    ) -> Result<Reply, Rejection> {
        if let Some(own) = &admission.own {
            let sent = self.send_once(trail, head, admission, Credential::User(own), deadline);
            return Ok(sent.await?);
        }
        let bearer = self.services.credentials.bearer(deadline).await?;
        let generation = bearer.generation();
        let reply = self
            .send_once(
                trail,
                head,
                admission,
                Credential::Environment(&bearer),
                deadline,
            )
            .await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let credentials = &self.services.credentials;
        credentials.refuse(generation);
        if admission.facts.on_401 == OnUnauthorized::Pass {
            return Ok(reply);
        }
        let Some(renewed) = credentials.renewed_after(generation, deadline).await else {
            return Ok(reply);
        };
        match self
            .send_once(
                trail,
                head,
                admission,
                Credential::Environment(&renewed),
                deadline,
            )
            .await
        {
            // it went out once, and that answer is the last there is
            Err(error) if !error.may_have_left() => Ok(reply),
            again => Ok(again?),
        }
    }

    async fn send_once(
        &self,
        trail: &mut Trail,
        head: &Parts,
        admission: &Admission,
        credential: Credential<'_>,
        deadline: Deadline,
    ) -> Result<Reply, UpstreamError> {
        let outgoing = Outgoing {
            operation: admission.facts.operation,
            path_and_query: &admission.target,
            tenant: admission.subject.tenant(),
            user: admission.subject.user(),
            client: admission.client,
            request_id: trail.request_id(),
            caller_headers: &head.headers,
            trace: trail.exchange(),
            body: &admission.body,
        };
        let request = self.blueprint.build(outgoing, credential);
        let began = Instant::now();
        let result = self.upstream.send(request, deadline).await;
        let reply = result.as_ref().ok();
        trail.upstream(UpstreamNote {
            host: Arc::clone(&self.host),
            status: reply.map(Reply::status),
            trace_id: reply.and_then(Reply::trace_id).cloned(),
            duration: began.elapsed(),
        });
        result
    }
}

/// What the vendor's answer means for the limits.
async fn settle(charge: Box<Charge>, reply: &mut Reply) {
    if reply.status().is_success() {
        charge.accepted().await;
    } else if reply.status() == StatusCode::TOO_MANY_REQUESTS {
        charge.pause(reply.pause(Timestamp::now())).await;
    }
}
