//! Self-service: a user's own factors, or an administrator's act on them.

use http::StatusCode;
use serde_json::json;

use super::{
    answer::{Answer, Refusal},
    call::{Call, Handled, Who},
    factor,
};
use crate::{
    route::{Operation, SubjectRule},
    sandbox::world::{Asked, Purpose},
};

/// On whose behalf the call is: the token's user, or whom the environment names.
pub(super) fn subject(call: &Call<'_>, operation: Operation) -> Result<String, Refusal> {
    let id = match call.who {
        Who::User(id) => return Ok(id.clone()),
        Who::Environment => call.header("frontegg-user-id"),
    };
    let id = id.ok_or_else(|| Refusal::bad_request("frontegg-user-id header is missing"))?;
    let tenant = call.header("frontegg-tenant-id");
    if operation.facts().subject == SubjectRule::UserAndTenant && tenant.is_none() {
        let message = "Tenant ID is not specified";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    in_tenant(call, id, tenant)?;
    Ok(id.to_owned())
}

/// The user is there, and in the tenant if one is named.
fn in_tenant(call: &Call<'_>, id: &str, tenant: Option<&str>) -> Result<(), Refusal> {
    let user = factor::user(call, id)?;
    let is_member = |tenant: &str| user.tenants.iter().any(|mine| mine == tenant);
    if tenant.is_none_or(is_member) {
        return Ok(());
    }
    let message = "User does not belong to the tenant";
    Err(Refusal::new(StatusCode::FORBIDDEN, message))
}

/// `user.devices`.
pub(super) fn devices(call: &Call<'_>, user: &str) -> Handled {
    let devices = factor::user(call, user)?.mfa_devices();
    Ok(Answer::json(StatusCode::OK, &devices))
}

/// `user.enroll` and `user.authenticator.enroll`.
pub(super) fn authenticator_enroll(call: &mut Call<'_>, user: &str) -> Handled {
    let body = factor::new_authenticator(call, user)?;
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `user.enroll.verify` and `user.authenticator.enroll.verify`.
pub(super) fn authenticator_enroll_verify(call: &mut Call<'_>, user: &str) -> Handled {
    let code = factor::add_authenticator(call, user)?.ok_or_else(wrong_code)?;
    Ok(enrolled(&code))
}

/// `user.disable`: removes the authenticator apps for a code of one of them, or
/// everything for the recovery code. With the environment's credential and no proof at
/// all it clears the user's factors: so does the vendor, and a gateway must not let it
/// come to that.
pub(super) fn disable(call: &mut Call<'_>, user: &str) -> Handled {
    let (now, token) = (call.now, call.fields.find("token"));
    let unproven = token.is_none() && matches!(call.who, Who::Environment);
    let user = factor::user_mut(call, user)?;
    if !user.is_enrolled() {
        return Err(not_enrolled());
    }
    if unproven || token.is_some() && user.recovery_code.as_deref() == token {
        user.clear_mfa();
    } else if token.is_some_and(|code| user.shows(code, None, now)) {
        user.authenticators.clear();
        if !user.is_enrolled() {
            user.clear_mfa();
        }
    } else {
        return Err(wrong_code());
    }
    Ok(Answer::empty(StatusCode::OK))
}

/// `user.authenticator.disable`: for the app's current code. The vendor's schema has the
/// code optional here too, so the environment's credential needs none.
pub(super) fn authenticator_disable(call: &mut Call<'_>, user: &str) -> Handled {
    let (device, now) = (call.parameter, call.now);
    let token = call.fields.find("token");
    let unproven = token.is_none() && matches!(call.who, Who::Environment);
    let user = factor::user_mut(call, user)?;
    if !user.is_enrolled() {
        return Err(not_enrolled());
    }
    if !user.authenticators.iter().any(|app| app.id == device) {
        return Err(factor::unknown_device());
    }
    if !unproven && !token.is_some_and(|code| user.shows(code, Some(device), now)) {
        return Err(wrong_code());
    }
    user.remove_device(device);
    Ok(Answer::empty(StatusCode::OK))
}

/// `user.sms.enroll`.
pub(super) fn sms_enroll(call: &mut Call<'_>, user: &str) -> Handled {
    let number = call.fields.text("phoneNumber")?.to_owned();
    let body = factor::send_sms(call, user, Purpose::EnrolPhone(number.clone()), &number);
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `user.sms.enroll.verify`.
pub(super) fn sms_enroll_verify(call: &mut Call<'_>, user: &str) -> Handled {
    let (_user, code) = factor::add_phone(call, Some(user))?.ok_or_else(wrong_code)?;
    Ok(enrolled(&code))
}

/// `user.sms.disable`: the first step, which sends a code.
pub(super) fn sms_disable(call: &mut Call<'_>, user: &str) -> Handled {
    let phone = factor::phone(call, user, call.parameter)?;
    let body = factor::send_sms(call, user, Purpose::DisablePhone(phone.id), &phone.number);
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `user.sms.disable.verify`: the second, which takes it.
pub(super) fn sms_disable_verify(call: &mut Call<'_>, user: &str) -> Handled {
    let device = factor::phone(call, user, call.parameter)?.id;
    let purpose = Purpose::DisablePhone(device.clone());
    factor::take_code(call, |sent| sent.user == user && sent.purpose == purpose)?
        .ok_or_else(wrong_code)?;
    factor::user_mut(call, user)?.remove_device(&device);
    Ok(Answer::empty(StatusCode::OK))
}

/// `user.webauthn.enroll`.
pub(super) fn webauthn_enroll(call: &mut Call<'_>, user: &str) -> Handled {
    let body = factor::new_security_key(call, user)?;
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `user.webauthn.enroll.verify`.
pub(super) fn webauthn_enroll_verify(call: &mut Call<'_>, user: &str) -> Handled {
    let code = factor::add_security_key(call, user)?.ok_or_else(wrong_key)?;
    Ok(enrolled(&code))
}

/// `user.webauthn.disable`: the first step, which asks the key to prove itself.
pub(super) fn webauthn_disable(call: &mut Call<'_>, user: &str) -> Handled {
    let asked = Asked::Disable(call.parameter.to_owned());
    let body = factor::challenge(call, user, asked)?;
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `user.webauthn.disable.verify`: the second, in which it does.
pub(super) fn webauthn_disable_verify(call: &mut Call<'_>, user: &str) -> Handled {
    let device = call.parameter;
    let asked = Asked::Disable(device.to_owned());
    factor::shown_security_key(call, user, &asked)?.ok_or_else(wrong_key)?;
    factor::user_mut(call, user)?.remove_device(device);
    Ok(Answer::empty(StatusCode::OK))
}

/// `user.unenroll`: an administrator removes all factors of the user in the path.
pub(super) fn unenroll(call: &mut Call<'_>) -> Handled {
    let user = call.parameter;
    in_tenant(call, user, call.header("frontegg-tenant-id"))?;
    factor::user_mut(call, user)?.clear_mfa();
    Ok(Answer::empty(StatusCode::OK))
}

fn enrolled(recovery_code: &str) -> Answer {
    Answer::json(StatusCode::OK, &json!({"recoveryCode": recovery_code}))
}

fn not_enrolled() -> Refusal {
    Refusal::bad_request("User is not enrolled in MFA").with_code("ER-01097")
}

fn wrong_code() -> Refusal {
    Refusal::bad_request("MFA code is invalid")
}

fn wrong_key() -> Refusal {
    Refusal::bad_request("WebAuthn verification failed")
}
