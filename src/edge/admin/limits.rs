//! `POST /limits` and `POST /limits/reset`: what is left for one email, and forgiving it. Support
//! needs both every day; `mfa-gateway limits` calls them.
//!
//! The email travels in a body, `{"email": …}`, so that no access log has it. A reset is in the
//! audit log before it is done, with who asked.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::json as answer;
use crate::{
    audit::{Audit, Control},
    gateway::Services,
    limit::Standing,
    model::CanonicalEmail,
};

/// Longer than any email in JSON, whatever is escaped.
const LONGEST_BODY: usize = 4_096;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Reset,
    Show,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    email: String,
}

/// Answers `question`; `by` is who asks, for the audit log.
pub(super) async fn respond(
    question: Question,
    services: &Services,
    audit: &Audit,
    by: &str,
    body: Incoming,
) -> Response<Full<Bytes>> {
    let email = match read(services, body).await {
        Ok(email) => email,
        Err(mend) => return answer(StatusCode::BAD_REQUEST, &json!({ "error": mend })),
    };
    let done = match question {
        Question::Reset => reset(services, audit, by, &email).await,
        Question::Show => show(services, &email).await,
    };
    match done {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error })),
    }
}

async fn read(services: &Services, body: Incoming) -> Result<CanonicalEmail, String> {
    const MEND: &str = r#"send {"email": "user@example.com"} and nothing else"#;
    let read = Limited::new(body, LONGEST_BODY).collect().await;
    let bytes = read.map_err(|_error| MEND)?.to_bytes();
    let body: Body = serde_json::from_slice(&bytes).map_err(|_error| MEND)?;
    let email = services.limiter.canonical(&body.email);
    email.map_err(|error| error.to_string())
}

async fn show(services: &Services, email: &CanonicalEmail) -> Result<Value, String> {
    let standings = services.limiter.standing(email).await;
    let standings = standings.map_err(|away| away.to_string())?;
    let limits: Vec<_> = standings.iter().map(row).collect();
    Ok(json!({ "email": email.as_str(), "limits": limits }))
}

/// Recorded first. Done to its end whoever still waits for it, or the record would say more than
/// was done.
async fn reset(
    services: &Services,
    audit: &Audit,
    by: &str,
    email: &CanonicalEmail,
) -> Result<Value, String> {
    let limiter = Arc::clone(&services.limiter);
    let (audit, by, email) = (audit.clone(), by.to_owned(), email.clone());
    let done = tokio::spawn(async move {
        let (email, shown) = (&email, audit.email(email.as_str()));
        let (shown, by) = (&*shown, &*by);
        let record = Control::LimitsReset { email: shown, by };
        if audit.control(&record).await.is_err() {
            return Err("the audit log takes no record of it, so nothing was reset".to_owned());
        }
        if let Err(away) = limiter.forgive(email).await {
            let error = &*away.to_string();
            let record = Control::LimitsNotReset {
                email: shown,
                by,
                error,
            };
            if audit.control(&record).await.is_err() {
                tracing::warn!("that an email was not forgiven is not in the audit log yet");
            }
            return Err(error.to_owned());
        }
        Ok(json!({ "email": email.as_str(), "reset": true }))
    });
    done.await
        .unwrap_or_else(|_ending| Err("the gateway is ending".to_owned()))
}

fn row(standing: &Standing) -> Value {
    json!({
        "limit": standing.limit.as_str(),
        "attempts": standing.quota.attempts(),
        "per_seconds": standing.quota.per().as_secs_f64(),
        "remaining": standing.remaining,
        "all_back_in_seconds": standing.whole_in.as_secs_f64(),
    })
}
