//! Recovery, and the second factor of a login.

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{
    answer::{Answer, Refusal},
    call::{Call, Handled},
    codes::Channel,
    factor,
    session::{self, Factors},
};
use crate::sandbox::{
    random,
    world::{Asked, Login, Purpose},
};

/// `recover`: the one recovery code removes every second factor, once.
pub(super) fn recover(call: &mut Call<'_>) -> Handled {
    let (code, email) = (
        call.fields.text("recoveryCode")?,
        call.fields.text("email")?,
    );
    let user = call
        .world
        .user_by_email(email)
        .filter(|user| user.recovery_code.as_deref() == Some(code))
        .ok_or_else(|| Refusal::unauthorized("Invalid recovery code"))?;
    user.clear_mfa();
    Ok(Answer::empty(StatusCode::OK))
}

/// `login.verify` and `login.authenticator.verify`: a code of the app; of one `device`
/// in particular, if the path has it.
pub(super) fn verify(call: &mut Call<'_>, device: Option<&str>) -> Handled {
    let value = call.fields.text("value")?;
    let login = begun(call)?;
    if !factor::user(call, &login.user)?.shows(value, device, call.now) {
        return Err(wrong_code());
    }
    complete(call, &login, None)
}

/// `login.email.request`.
pub(super) fn email_request(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let email = factor::user(call, &login.user)?.email.clone();
    let otc_token = call.send_code(&login.user, Purpose::LoginByEmail, Channel::Email, &email);
    Ok(Answer::json(
        StatusCode::CREATED,
        &json!({"otcToken": otc_token}),
    ))
}

/// `login.sms.request`.
pub(super) fn sms_request(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let phone = factor::phone(call, &login.user, call.parameter)?;
    let purpose = Purpose::LoginByPhone(phone.id);
    let body = factor::send_sms(call, &login.user, purpose, &phone.number);
    Ok(Answer::json(StatusCode::CREATED, &body))
}

/// `login.email.verify` and `login.sms.verify`: the code that was sent for `purpose`.
pub(super) fn code_verify(call: &mut Call<'_>, purpose: &Purpose) -> Handled {
    let login = begun(call)?;
    factor::take_code(call, |sent| {
        sent.user == login.user && sent.purpose == *purpose
    })?
    .ok_or_else(wrong_code)?;
    complete(call, &login, None)
}

/// `login.authenticator.enroll`.
pub(super) fn authenticator_enroll(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let body = factor::new_authenticator(call, &login.user)?;
    Ok(Answer::json(StatusCode::CREATED, &body))
}

/// `login.authenticator.enroll.verify`.
pub(super) fn authenticator_enroll_verify(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let recovery_code = factor::add_authenticator(call, &login.user)?.ok_or_else(wrong_code)?;
    complete(call, &login, Some(recovery_code))
}

/// `login.sms.enroll`. The vendor's API asks for the number alone; its client sends the
/// `mfaToken` too, and without it nobody could know whose phone it is.
pub(super) fn sms_enroll(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let number = call.fields.text("phoneNumber")?.to_owned();
    let purpose = Purpose::EnrolPhone(number.clone());
    let body = factor::send_sms(call, &login.user, purpose, &number);
    Ok(Answer::json(StatusCode::CREATED, &body))
}

/// `login.sms.enroll.verify`: the `otcToken` alone says whose login it is.
pub(super) fn sms_enroll_verify(call: &mut Call<'_>) -> Handled {
    let (user, recovery_code) = factor::add_phone(call, None)?.ok_or_else(wrong_code)?;
    let tenants = &factor::user(call, &user)?.tenants;
    let tenant = tenants.first().cloned().unwrap_or_default();
    let login = Login { user, tenant };
    complete(call, &login, Some(recovery_code))
}

/// `login.webauthn.enroll`.
pub(super) fn webauthn_enroll(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let body = factor::new_security_key(call, &login.user)?;
    Ok(Answer::json(StatusCode::CREATED, &body))
}

/// `login.webauthn.enroll.verify`.
pub(super) fn webauthn_enroll_verify(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let recovery_code = factor::add_security_key(call, &login.user)?.ok_or_else(wrong_key)?;
    complete(call, &login, Some(recovery_code))
}

/// `login.webauthn.request`.
pub(super) fn webauthn_request(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let asked = Asked::Login(call.parameter.to_owned());
    let body = factor::challenge(call, &login.user, asked)?;
    Ok(Answer::json(StatusCode::CREATED, &body))
}

/// `login.webauthn.verify`.
pub(super) fn webauthn_verify(call: &mut Call<'_>) -> Handled {
    let login = begun(call)?;
    let asked = Asked::Login(call.parameter.to_owned());
    factor::shown_security_key(call, &login.user, &asked)?.ok_or_else(wrong_key)?;
    complete(call, &login, None)
}

/// `login.remember-device`.
pub(super) fn remember_device(call: &mut Call<'_>) -> Handled {
    let token = call
        .query
        .and_then(|query| query.strip_prefix("mfaToken="))
        .map(|token| percent_decode_str(token).decode_utf8_lossy())
        .ok_or_else(|| Refusal::bad_request("mfaToken should not be empty"))?;
    let login = call.world.pending.logins.find(&token, call.now);
    let login = login.ok_or_else(unknown_login)?;
    let policy = call.world.policies.for_tenant(&login.tenant);
    Ok(Answer::json(
        StatusCode::OK,
        &json!({
            "isAllowedToRemember": policy.is_some_and(|policy| policy.allow_remember),
            "mfaDeviceExpiration": policy.map_or(0, |policy| policy.device_expiration),
        }),
    ))
}

/// The login that the body's `mfaToken` is for.
fn begun(call: &Call<'_>) -> Result<Login, Refusal> {
    let token = call.fields.text("mfaToken")?;
    let login = call.world.pending.logins.find(token, call.now);
    login.ok_or_else(unknown_login)
}

/// The second factor was right: the `mfaToken` is used up, the device remembered if that
/// was asked for and the tenant allows it.
fn complete(call: &mut Call<'_>, login: &Login, recovery_code: Option<String>) -> Handled {
    if let Some(token) = call.fields.find("mfaToken") {
        call.world.pending.logins.spend(token);
    }
    let user = factor::user(call, &login.user)?;
    let factors = Factors::Two;
    let mut answer = session::finish(call.shared, user, &login.tenant, factors, recovery_code)?;

    let policy = call.world.policies.for_tenant(&login.tenant);
    let allowed = policy.is_some_and(|policy| policy.allow_remember);
    if call.fields.flag("rememberDevice") && allowed {
        let device = random::token();
        answer.set_cookie(&session::cookie_name(call.shared, "device"), &device);
        if let Some(user) = call.world.user_mut(&login.user) {
            user.remembered.push(device);
        }
    }
    Ok(answer)
}

fn unknown_login() -> Refusal {
    Refusal::unauthorized("MFA token is invalid or expired")
}

fn wrong_code() -> Refusal {
    Refusal::unauthorized("MFA code is invalid")
}

fn wrong_key() -> Refusal {
    Refusal::unauthorized("WebAuthn verification failed")
}
