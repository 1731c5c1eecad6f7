//! The first factor, the end of a login, and who has logged in.

use http::{HeaderMap, StatusCode, header::COOKIE};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Refusal},
    auth,
    call::{Fields, Handled},
    shared::{Shared, USER_TOKEN_LIFETIME},
};
use crate::sandbox::{
    clock::timestamp,
    random,
    tokens::{MULTI_FACTOR, UserClaims},
    world::{Login, Tenant, User, World},
};

/// `POST /identity/resources/auth/v1/user`: email and password. Completes the login of
/// a user who needs no second factor, else gives an `mfaToken`.
pub(super) fn first_factor(
    shared: &Shared,
    world: &mut World,
    headers: &HeaderMap,
    fields: &Fields,
) -> Handled {
    let (email, password) = (fields.text("email")?, fields.text("password")?);
    let user = world
        .user_by_email(email)
        .filter(|user| user.password == password)
        .ok_or_else(|| Refusal::unauthorized("Incorrect email or password"))?
        .clone();
    let tenant = user.tenants.first().cloned().unwrap_or_default();
    let forced = world
        .policies
        .for_tenant(&tenant)
        .is_some_and(|policy| policy.forces());
    let login = Login {
        user: user.id.clone(),
        tenant,
    };
    if is_remembered(shared, &user, headers) || !(user.is_enrolled() || forced) {
        return finish(shared, &user, &login.tenant, Factors::One, None);
    }

    let now = shared.clock.now();
    let mfa_token = world.pending.logins.issue(login, now);
    let strategies = world.policies.active.iter();
    let strategies: Vec<_> = strategies.map(|strategy| strategy.as_str()).collect();
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "mfaRequired": true,
            "mfaToken": mfa_token,
            "mfaEnrolled": user.is_enrolled(),
            "mfaDevices": user.mfa_devices(),
            "mfaStrategies": strategies,
            "accessToken": "",
            "refreshToken": "",
            "expiresIn": 0,
            "expires": "",
            "userId": user.id,
            "userEmail": user.email,
            "emailVerified": true,
            "isBreachedPassword": false,
        }),
    ))
}

/// How many factors a login has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factors {
    /// The password.
    One,
    /// A second one too.
    Two,
}

/// The answer that ends a login: access and refresh token, and the cookie for the latter.
pub(super) fn finish(
    shared: &Shared,
    user: &User,
    tenant: &str,
    factors: Factors,
    recovery_code: Option<String>,
) -> Handled {
    let mut claims = shared.claims(user, tenant, &random::id());
    let status = match factors {
        Factors::One => StatusCode::OK,
        Factors::Two => {
            claims.acr = Some(MULTI_FACTOR.to_owned());
            claims.amr = Some(vec!["pwd".to_owned(), "mfa".to_owned()]);
            claims.auth_time = Some(claims.iat);
            StatusCode::CREATED
        }
    };
    let refresh_token = random::id();
    let mut body = json!({
        "tokenType": "bearer",
        "mfaRequired": false,
        "mfaEnrolled": user.is_enrolled(),
        "accessToken": shared.signer.user(&claims)?,
        "refreshToken": refresh_token,
        "expiresIn": USER_TOKEN_LIFETIME,
        "expires": http_date(claims.exp),
        "userId": user.id,
        "userEmail": user.email,
        "emailVerified": true,
    });
    if let (Some(code), Some(members)) = (recovery_code, body.as_object_mut()) {
        members.insert("recoveryCode".to_owned(), code.into());
    }
    let mut answer = Answer::json(status, &body);
    answer.set_cookie(&cookie_name(shared, "refresh"), &refresh_token);
    Ok(answer)
}

/// `GET /identity/resources/users/v2/me`.
pub(super) fn me(shared: &Shared, world: &World, headers: &HeaderMap) -> Handled {
    let (claims, user) = logged_in(shared, world, headers)?;
    let tenants = user.tenants.iter();
    let tenants: Vec<_> = tenants
        .map(|id| json!({"tenantId": id, "roles": []}))
        .collect();
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "verified": true,
            "activatedForTenant": true,
            "mfaEnrolled": user.is_enrolled(),
            "provider": "local",
            "tenantId": claims.tenant_id,
            "tenantIds": user.tenants,
            "tenants": tenants,
            "roles": [],
            "permissions": [],
            "groups": [],
            "metadata": "{}",
        }),
    ))
}

/// `GET /identity/resources/users/{v1,v2,v3}/me/tenants`. The second version is a plain
/// list, the others say which one is active.
pub(super) fn tenants(shared: &Shared, world: &World, path: &str, headers: &HeaderMap) -> Handled {
    let (claims, user) = logged_in(shared, world, headers)?;
    let vendor = shared.client_id();
    let mine: Vec<Value> = user
        .tenants
        .iter()
        .filter_map(|id| world.tenant(id))
        .map(|tenant| described(tenant, &vendor))
        .collect();
    if path.contains("/v2/") {
        return Ok(Answer::json(StatusCode::OK, &Value::Array(mine)));
    }
    let active = world.tenant(&claims.tenant_id);
    let active = active.map(|tenant| described(tenant, &vendor));
    Ok(Answer::json(
        StatusCode::OK,
        &json!({"tenants": mine, "activeTenant": active}),
    ))
}

fn described(tenant: &Tenant, vendor: &str) -> Value {
    json!({
        "id": tenant.id,
        "tenantId": tenant.id,
        "vendorId": vendor,
        "name": tenant.name,
        "isReseller": false,
        "metadata": "{}",
        "deletedAt": null,
    })
}

fn logged_in<'a>(
    shared: &Shared,
    world: &'a World,
    headers: &HeaderMap,
) -> Result<(UserClaims, &'a User), Refusal> {
    let claims = auth::user(shared, headers)?;
    let user = world
        .user(&claims.sub)
        .ok_or_else(|| Refusal::unauthorized("Unauthorized"))?;
    Ok((claims, user))
}

/// The vendor's cookies are named after the environment.
pub(super) fn cookie_name(shared: &Shared, kind: &str) -> String {
    format!("fe_{kind}_{}", shared.client_id().replace('-', ""))
}

fn is_remembered(shared: &Shared, user: &User, headers: &HeaderMap) -> bool {
    let name = cookie_name(shared, "device");
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .any(|(found, token)| found == name && user.remembered.iter().any(|kept| kept == token))
}

/// A date as HTTP writes it (RFC 9110): the vendor's `expires` is one.
fn http_date(seconds: u64) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp(seconds))
        .unwrap_or_default()
}
