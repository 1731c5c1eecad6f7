//! The steps of adding, showing and removing a factor, which logins and self-service share.
//!
//! `Ok(None)` says that the proof was wrong: how that is answered is the caller's to say.

use serde_json::{Value, json};

use super::{answer::Refusal, call::Call, codes::Channel};
use crate::sandbox::{
    random, webauthn,
    world::{
        Asked, Authenticator, Challenge, DeviceType, Phone, Purpose, SecurityKey, Sent, User, mask,
        totp,
    },
};

/// The user of a begun step, who may have been removed since.
pub(super) fn user<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a User, Refusal> {
    call.world.user(id).ok_or_else(unknown_user)
}

pub(super) fn user_mut<'a>(call: &'a mut Call<'_>, id: &str) -> Result<&'a mut User, Refusal> {
    call.world.user_mut(id).ok_or_else(unknown_user)
}

fn unknown_user() -> Refusal {
    Refusal::not_found("User not found")
}

pub(super) fn unknown_device() -> Refusal {
    Refusal::not_found("MFA device not found")
}

/// A phone of the user's.
pub(super) fn phone(call: &Call<'_>, user_id: &str, device: &str) -> Result<Phone, Refusal> {
    let phones = &user(call, user_id)?.phones;
    let phone = phones.iter().find(|phone| phone.id == device);
    phone.cloned().ok_or_else(unknown_device)
}

/// Sends a code to this number; what the vendor answers then.
pub(super) fn send_sms(call: &mut Call<'_>, user: &str, purpose: Purpose, number: &str) -> Value {
    let otc_token = call.send_code(user, purpose, Channel::Sms, number);
    json!({"otcToken": otc_token, "phoneNumber": mask(number)})
}

/// What the body's `otcToken` and `code` were sent for, if the code is right and
/// `expected`. It is used up then; a wrong guess leaves it.
pub(super) fn take_code(
    call: &mut Call<'_>,
    expected: impl FnOnce(&Sent) -> bool,
) -> Result<Option<Sent>, Refusal> {
    let (token, code) = (call.fields.text("otcToken")?, call.fields.text("code")?);
    let sent = call.world.pending.codes.find(token, call.now);
    let sent = sent.filter(|sent| sent.code == code && expected(sent));
    if sent.is_some() {
        call.world.pending.codes.spend(token);
    }
    Ok(sent)
}

/// The QR code of a new authenticator app. A later one takes its place.
pub(super) fn new_authenticator(call: &mut Call<'_>, user_id: &str) -> Result<Value, Refusal> {
    let secret = totp::new_secret();
    let qr_code = totp::uri(&secret, &user(call, user_id)?.email);
    let secrets = &mut call.world.pending.secrets;
    secrets.insert(user_id.to_owned(), secret);
    Ok(json!({"qrCode": qr_code}))
}

/// Adds the app whose code the body's `token` is; gives the recovery code.
pub(super) fn add_authenticator(
    call: &mut Call<'_>,
    user_id: &str,
) -> Result<Option<String>, Refusal> {
    let code = call.fields.text("token")?;
    let secret = call.world.pending.secrets.get(user_id);
    let secret = secret.ok_or_else(|| Refusal::bad_request("MFA enrollment was not started"))?;
    if !totp::accepts(secret, code, call.now) {
        return Ok(None);
    }
    let secret = call.world.pending.secrets.remove(user_id);
    let user = user_mut(call, user_id)?;
    user.authenticators
        .extend(secret.map(|secret| Authenticator {
            id: random::id(),
            secret,
        }));
    Ok(Some(user.recovery_code()))
}

/// Adds the phone that the body's code was sent to; gives its owner, who must be `owner`
/// if one is expected, and the recovery code.
pub(super) fn add_phone(
    call: &mut Call<'_>,
    owner: Option<&str>,
) -> Result<Option<(String, String)>, Refusal> {
    let taken = take_code(call, |sent| {
        let enrols = matches!(sent.purpose, Purpose::EnrolPhone(_));
        enrols && owner.is_none_or(|owner| sent.user == owner)
    })?;
    let Some(Sent {
        user,
        purpose: Purpose::EnrolPhone(number),
        ..
    }) = taken
    else {
        return Ok(None);
    };
    let owner = user_mut(call, &user)?;
    owner.phones.push(Phone {
        id: random::id(),
        number,
    });
    let recovery_code = owner.recovery_code();
    Ok(Some((user, recovery_code)))
}

/// The challenge for a new security key.
pub(super) fn new_security_key(call: &mut Call<'_>, user_id: &str) -> Result<Value, Refusal> {
    let owner = user(call, user_id)?;
    let (name, display_name) = (owner.email.clone(), owner.name.clone());
    let (token, challenge) = ask(call, user_id, Asked::Enrol);
    Ok(json!({
        "webauthnToken": token,
        "options": {
            "rp": {"id": "localhost", "name": "Sandbox"},
            "user": {"id": user_id, "name": name, "displayName": display_name},
            "challenge": challenge,
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
            "timeout": 60_000,
            "excludeCredentials": [],
            "authenticatorSelection": {"userVerification": "preferred"},
        },
    }))
}

/// Adds the security key that introduces itself in the body; gives the recovery code.
pub(super) fn add_security_key(
    call: &mut Call<'_>,
    user_id: &str,
) -> Result<Option<String>, Refusal> {
    let device_type = DeviceType::named(call.fields.text("deviceType")?);
    let device_type =
        device_type.ok_or_else(|| Refusal::bad_request("deviceType must be a valid enum value"))?;
    let options = call.fields.object("options")?;
    let challenge = answered(call, user_id, &Asked::Enrol)?;
    let Some(credential) = challenge.and_then(|asked| webauthn::attested(options, &asked)) else {
        return Ok(None);
    };
    let key = SecurityKey {
        id: random::id(),
        credential: credential.to_owned(),
        device_type,
    };
    spend_challenge(call);
    let user = user_mut(call, user_id)?;
    user.security_keys.push(key);
    Ok(Some(user.recovery_code()))
}

/// The challenge for a security key that the user has.
pub(super) fn challenge(
    call: &mut Call<'_>,
    user_id: &str,
    asked: Asked,
) -> Result<Value, Refusal> {
    let credential = security_key(call, user_id, call.parameter)?.credential;
    let (token, challenge) = ask(call, user_id, asked);
    Ok(json!({
        "webauthnToken": token,
        "options": {
            "challenge": challenge,
            "allowCredentials": [{"type": "public-key", "id": credential}],
            "timeout": 60_000,
            "rpId": "localhost",
            "userVerification": "preferred",
        },
    }))
}

/// Whether the security key in the path has proved itself in the body.
pub(super) fn shown_security_key(
    call: &mut Call<'_>,
    user_id: &str,
    asked: &Asked,
) -> Result<Option<()>, Refusal> {
    let options = call.fields.object("options")?;
    let key = security_key(call, user_id, call.parameter)?;
    let challenge = answered(call, user_id, asked)?;
    let shown = challenge.is_some_and(|challenge| {
        webauthn::asserted(options, &challenge) == Some(key.credential.as_str())
    });
    if shown {
        spend_challenge(call);
    }
    Ok(shown.then_some(()))
}

fn security_key(call: &Call<'_>, user_id: &str, device: &str) -> Result<SecurityKey, Refusal> {
    let keys = &user(call, user_id)?.security_keys;
    let key = keys.iter().find(|key| key.id == device);
    key.cloned().ok_or_else(unknown_device)
}

/// A new challenge, and the `webauthnToken` that it is known by.
fn ask(call: &mut Call<'_>, user: &str, asked: Asked) -> (String, String) {
    let challenge = random::token();
    let pending = Challenge {
        user: user.to_owned(),
        asked,
        challenge: challenge.clone(),
    };
    let token = call.world.pending.challenges.issue(pending, call.now);
    (token, challenge)
}

/// The challenge that the body's `webauthnToken` is for, if it is this user's and for this.
fn answered(call: &Call<'_>, user: &str, asked: &Asked) -> Result<Option<String>, Refusal> {
    let token = call.fields.text("webauthnToken")?;
    let challenge = call.world.pending.challenges.find(token, call.now);
    Ok(challenge
        .filter(|challenge| challenge.user == user && challenge.asked == *asked)
        .map(|challenge| challenge.challenge))
}

fn spend_challenge(call: &mut Call<'_>) {
    if let Some(token) = call.fields.find("webauthnToken") {
        call.world.pending.challenges.spend(token);
    }
}
