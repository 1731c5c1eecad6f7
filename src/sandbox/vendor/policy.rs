//! Management: MFA policies, the factors' settings, the factors on offer.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Refusal},
    call::{Call, Fields, Handled},
};
use crate::sandbox::world::{MfaPolicy, Strategy};

const ENFORCEMENTS: [&str; 3] = ["DontForce", "Force", "ForceExceptSAML"];

/// `policy.get`: the tenant's, or the environment's if none is named.
pub(super) fn get(call: &Call<'_>) -> Handled {
    let policy = find(call)
        .ok_or_else(|| Refusal::not_found("Security Policy not found. MFA is disabled"))?;
    Ok(Answer::json(StatusCode::OK, &policy.to_json()))
}

/// `policy.environment.get`.
pub(super) fn environment_get(call: &Call<'_>) -> Handled {
    let policy = call.world.policies.environment.as_ref();
    let policy = policy.ok_or_else(not_found)?;
    Ok(Answer::json(StatusCode::OK, &policy.to_json()))
}

/// `policy.create`.
pub(super) fn create(call: &mut Call<'_>) -> Handled {
    if find(call).is_some() {
        let message = "MFA Policy already exists. Try to use the Update MFA Policy API";
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    let policy = changed(MfaPolicy::new("Force", call.now), call.fields, call.now)?;
    Ok(Answer::json(StatusCode::CREATED, &keep(call, policy)))
}

/// `policy.update`.
pub(super) fn update(call: &mut Call<'_>) -> Handled {
    let names = [
        "enforceMFAType",
        "allowRememberMyDevice",
        "mfaDeviceExpiration",
    ];
    if names.iter().all(|name| call.fields.value(name).is_none()) {
        return Err(Refusal::bad_request("Missing parameters to update"));
    }
    let policy = find(call).cloned().ok_or_else(not_found)?;
    let policy = changed(policy, call.fields, call.now)?;
    Ok(Answer::json(StatusCode::OK, &keep(call, policy)))
}

/// `policy.upsert`.
pub(super) fn upsert(call: &mut Call<'_>) -> Handled {
    let policy = find(call).cloned();
    let policy = policy.unwrap_or_else(|| MfaPolicy::new("Force", call.now));
    let policy = changed(policy, call.fields, call.now)?;
    Ok(Answer::json(StatusCode::OK, &keep(call, policy)))
}

/// `config.get`.
pub(super) fn config_get(call: &Call<'_>) -> Handled {
    Ok(Answer::json(StatusCode::OK, &config(call)))
}

/// `config.update`: the parts that are there take the place of the old ones.
pub(super) fn config_update(call: &mut Call<'_>) -> Handled {
    let parts = ["authenticationApp", "sms", "email"];
    for name in parts
        .into_iter()
        .filter(|name| call.fields.value(name).is_some())
    {
        if !call
            .fields
            .object(name)?
            .get("active")
            .is_some_and(Value::is_boolean)
        {
            let message = format!("{name}.active must be a boolean value");
            return Err(Refusal::bad_request(message));
        }
    }
    let config = &mut call.world.policies.config;
    for (name, part) in [
        ("authenticationApp", &mut config.authentication_app),
        ("sms", &mut config.sms),
        ("email", &mut config.email),
    ] {
        if let Some(new) = call.fields.value(name) {
            part.clone_from(new);
        }
    }
    Ok(Answer::json(StatusCode::CREATED, &self::config(call)))
}

/// `strategies.get`.
pub(super) fn strategies_get(call: &Call<'_>) -> Handled {
    let active = &call.world.policies.active;
    let strategies = Strategy::ALL.map(
        |strategy| json!({"strategy": strategy.as_str(), "isActive": active.contains(&strategy)}),
    );
    Ok(Answer::json(
        StatusCode::OK,
        &json!({"strategies": strategies}),
    ))
}

/// `strategies.set`.
pub(super) fn strategies_set(call: &mut Call<'_>) -> Handled {
    let strategy = Strategy::named(call.fields.text("strategy")?)
        .ok_or_else(|| Refusal::bad_request("strategy must be a valid enum value"))?;
    let is_active = call.fields.value("isActive").and_then(Value::as_bool);
    let is_active =
        is_active.ok_or_else(|| Refusal::bad_request("isActive must be a boolean value"))?;
    let active = &mut call.world.policies.active;
    active.retain(|other| *other != strategy);
    active.extend(is_active.then_some(strategy));
    Ok(Answer::empty(StatusCode::CREATED))
}

/// The policy that the call is about: the named tenant's own, else the environment's.
fn find<'a>(call: &'a Call<'_>) -> Option<&'a MfaPolicy> {
    let policies = &call.world.policies;
    match call.header("frontegg-tenant-id") {
        Some(tenant) => policies.tenants.get(tenant),
        None => policies.environment.as_ref(),
    }
}

/// Keeps the policy that the call is about.
fn keep(call: &mut Call<'_>, policy: MfaPolicy) -> Value {
    let body = policy.to_json();
    match call.header("frontegg-tenant-id").map(str::to_owned) {
        Some(tenant) => drop(call.world.policies.tenants.insert(tenant, policy)),
        None => call.world.policies.environment = Some(policy),
    }
    body
}

/// The policy as the body wants it.
fn changed(mut policy: MfaPolicy, fields: &Fields, now: u64) -> Result<MfaPolicy, Refusal> {
    if let Some(enforce) = fields.value("enforceMFAType") {
        policy.enforce = enforce
            .as_str()
            .filter(|enforce| ENFORCEMENTS.contains(enforce))
            .ok_or_else(|| Refusal::bad_request("enforceMFAType must be a valid enum value"))?
            .to_owned();
    }
    if let Some(allow) = fields.value("allowRememberMyDevice") {
        policy.allow_remember = allow
            .as_bool()
            .ok_or_else(|| Refusal::bad_request("allowRememberMyDevice must be a boolean value"))?;
    }
    if let Some(seconds) = fields.value("mfaDeviceExpiration") {
        policy.device_expiration = seconds
            .as_u64()
            .ok_or_else(|| Refusal::bad_request("mfaDeviceExpiration must be a number"))?;
    }
    policy.updated = now;
    Ok(policy)
}

fn config(call: &Call<'_>) -> Value {
    let config = &call.world.policies.config;
    json!({
        "authenticationApp": config.authentication_app,
        "sms": config.sms,
        "email": config.email,
    })
}

fn not_found() -> Refusal {
    Refusal::not_found("Security policy not found")
}
