//! Who may call: the environment's token exchange, and checking of tokens.

use std::sync::atomic::Ordering;

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::json;

use super::{
    answer::{Answer, Refusal},
    call::{Fields, Handled, Who},
    shared::Shared,
};
use crate::sandbox::tokens::UserClaims;

/// Below this users may act for themselves with their own token.
const USERS: &str = "/identity/resources/users/v1/";

/// `POST /auth/vendor/`: client ID and API key for a token.
pub(super) fn exchange(shared: &Shared, fields: &Fields) -> Handled {
    let (client_id, secret) = (fields.text("clientId")?, fields.text("secret")?);
    let right = shared
        .credentials
        .with(|right| right.client_id == client_id && right.secret == secret);
    if !right {
        return Err(Refusal::unauthorized("Invalid authentication"));
    }
    let lifetime = shared.token_lifetime.with(|lifetime| lifetime.as_secs());
    let token = shared
        .signer
        .vendor(client_id, shared.clock.now(), lifetime)?;
    shared.tokens_issued.fetch_add(1, Ordering::Relaxed);
    Ok(Answer::json(
        StatusCode::OK,
        &json!({"token": token, "expiresIn": lifetime}),
    ))
}

/// Whose token came with a request to the MFA API.
pub(super) fn identify(shared: &Shared, path: &str, headers: &HeaderMap) -> Result<Who, Refusal> {
    let is_environment = |token: &&str| shared.signer.is_vendor(token, shared.clock.now());
    if bearer(headers).filter(is_environment).is_some() {
        return Ok(Who::Environment);
    }
    if !path.starts_with(USERS) {
        return Err(Refusal::unauthorized("Unauthorized"));
    }
    user(shared, headers).map(|claims| Who::User(claims.sub))
}

/// The user whose own token came with the request.
pub(super) fn user(shared: &Shared, headers: &HeaderMap) -> Result<UserClaims, Refusal> {
    bearer(headers)
        .and_then(|token| shared.signer.read_user(token, shared.clock.now()))
        .filter(|claims| claims.r#type == "userToken")
        .ok_or_else(|| Refusal::unauthorized("Unauthorized"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}
