//! Logins with each factor, enrolment at login, and recovery.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::client::{Reply, first_factor, get, operation, start, vendor_token};
use crate::{
    route::Operation,
    sandbox::{
        vendor::Vendor,
        webauthn,
        world::seed::{ADA, BARBARA, EDITH, GRACE, HEDY, KATHERINE, PASSWORD, Person},
    },
};

/// Someone whose first factor was right.
struct Login<'a> {
    vendor: &'a Vendor,
    token: String,
    mfa_token: String,
}

impl<'a> Login<'a> {
    async fn begin(vendor: &'a Vendor, person: &Person) -> Self {
        let reply = first_factor(vendor, person).await;
        assert_eq!(reply.json()["mfaRequired"], true);
        assert_eq!(reply.json()["accessToken"], "");
        Self {
            token: vendor_token(vendor).await,
            vendor,
            mfa_token: reply.text("mfaToken"),
        }
    }

    /// Calls an operation with the login's token in the body.
    async fn call(&self, operation_: Operation, device: &str, mut body: Value) -> Reply {
        body["mfaToken"] = self.mfa_token.clone().into();
        let call = operation(operation_, device, &body).bearer(&self.token);
        call.send(self.vendor).await
    }
}

async fn assert_logged_in(vendor: &Vendor, person: &Person, reply: &Reply) {
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    assert_eq!(reply.json()["mfaRequired"], false);
    assert!(cookie(&reply.headers, "fe_refresh_").is_some());
    let access = reply.text("accessToken");
    let me = get("/identity/resources/users/v2/me").bearer(&access);
    let me = me.send(vendor).await;
    assert_eq!(me.json()["id"], person.id);
    let tenants = get("/identity/resources/users/v3/me/tenants").bearer(&access);
    let tenants = tenants.send(vendor).await;
    assert_eq!(tenants.json()["activeTenant"]["tenantId"], person.tenant);
}

fn cookie(headers: &HeaderMap, prefix: &str) -> Option<String> {
    let mut cookies = headers.get_all("set-cookie").iter();
    let cookie = cookies.find(|cookie| cookie.as_bytes().starts_with(prefix.as_bytes()))?;
    let cookie = cookie.to_str().unwrap();
    Some(cookie.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn who_has_no_second_factor_is_logged_in_by_password() {
    let vendor = start().await;
    let reply = first_factor(&vendor, &KATHERINE).await;
    assert_eq!(reply.json()["mfaRequired"], false);
    assert!(!reply.text("accessToken").is_empty());
    let body = json!({"email": KATHERINE.email, "password": "wrong"});
    let wrong = super::client::post("/identity/resources/auth/v1/user", &body);
    let wrong = wrong.send(&vendor).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_authenticator_app_completes_a_login_by_either_route() {
    let vendor = start().await;
    let (device, secret) = ADA.authenticator.unwrap();
    for route in [Operation::LoginVerify, Operation::LoginAuthenticatorVerify] {
        let login = Login::begin(&vendor, &ADA).await;
        let wrong = login.call(route, device, json!({"value": "12345"})).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        let right = json!({"value": vendor.totp(secret).unwrap()});
        let reply = login.call(route, device, right.clone()).await;
        assert_logged_in(&vendor, &ADA, &reply).await;
        let again = login.call(route, device, right).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_code_by_sms_or_email_completes_a_login() {
    let vendor = start().await;
    let (device, number) = GRACE.phone.unwrap();
    for (request, verify, to) in [
        (
            Operation::LoginSmsRequest,
            Operation::LoginSmsVerify,
            number,
        ),
        (
            Operation::LoginEmailRequest,
            Operation::LoginEmailVerify,
            GRACE.email,
        ),
    ] {
        let login = Login::begin(&vendor, &GRACE).await;
        let sent = login.call(request, device, json!({})).await;
        assert_eq!(sent.status, StatusCode::CREATED);
        let otc_token = sent.text("otcToken");
        let proof = |code: &str| json!({"otcToken": otc_token, "code": code});
        let wrong = login.call(verify, device, proof("12345")).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        let code = vendor.last_code_to(to).unwrap();
        let reply = login.call(verify, device, proof(&code)).await;
        assert_logged_in(&vendor, &GRACE, &reply).await;
    }
}

#[tokio::test]
async fn a_code_for_one_factor_is_no_code_for_another() {
    let vendor = start().await;
    let (device, _number) = GRACE.phone.unwrap();
    let login = Login::begin(&vendor, &GRACE).await;
    let sent = login
        .call(Operation::LoginEmailRequest, "", json!({}))
        .await;
    let code = vendor.last_code_to(GRACE.email).unwrap();
    let proof = json!({"otcToken": sent.text("otcToken"), "code": code});
    let reply = login.call(Operation::LoginSmsVerify, device, proof).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_security_key_completes_a_login() {
    let vendor = start().await;
    let (device, credential) = HEDY.security_key.unwrap();
    let login = Login::begin(&vendor, &HEDY).await;
    let asked = login
        .call(Operation::LoginWebauthnRequest, device, json!({}))
        .await;
    let options = &asked.json()["options"];
    assert_eq!(options["allowCredentials"][0]["id"], credential);
    let challenge = options["challenge"].as_str().unwrap();
    for (challenge, credential, expected) in [
        ("another", credential, StatusCode::UNAUTHORIZED),
        (challenge, "another", StatusCode::UNAUTHORIZED),
        (challenge, credential, StatusCode::CREATED),
    ] {
        let proof = json!({
            "webauthnToken": asked.text("webauthnToken"),
            "options": webauthn::assertion(challenge, credential),
        });
        let reply = login
            .call(Operation::LoginWebauthnVerify, device, proof)
            .await;
        assert_eq!(reply.status, expected);
    }
}

#[tokio::test]
async fn who_must_have_a_second_factor_gets_an_app_at_login() {
    let vendor = start().await;
    let login = Login::begin(&vendor, &EDITH).await;
    let enrol = login
        .call(Operation::LoginAuthenticatorEnroll, "", json!({}))
        .await;
    let qr_code = enrol.text("qrCode");
    let (_, secret) = qr_code.split_once("secret=").unwrap();
    let (secret, _) = secret.split_once('&').unwrap();
    let verify = Operation::LoginAuthenticatorEnrollVerify;
    let wrong = login.call(verify, "", json!({"token": "12345"})).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let proof = json!({"token": vendor.totp(secret).unwrap()});
    let reply = login.call(verify, "", proof).await;
    assert_logged_in(&vendor, &EDITH, &reply).await;
    let code = reply.text("recoveryCode");
    let edith = vendor.user(EDITH.id).unwrap();
    assert_eq!(edith.recovery_code, Some(code));
    assert_eq!(edith.authenticators.len(), 1);
}

#[tokio::test]
async fn who_must_have_a_second_factor_gets_a_phone_at_login() {
    let vendor = start().await;
    let login = Login::begin(&vendor, &EDITH).await;
    let number = json!({"phoneNumber": "+15555550199"});
    let sent = login.call(Operation::LoginSmsEnroll, "", number).await;
    let code = vendor.last_code_to("+15555550199").unwrap();
    let proof = json!({"otcToken": sent.text("otcToken"), "code": code});
    let reply = login.call(Operation::LoginSmsEnrollVerify, "", proof).await;
    assert_logged_in(&vendor, &EDITH, &reply).await;
    assert_eq!(vendor.user(EDITH.id).unwrap().phones.len(), 1);
}

#[tokio::test]
async fn who_must_have_a_second_factor_gets_a_security_key_at_login() {
    let vendor = start().await;
    let login = Login::begin(&vendor, &EDITH).await;
    let asked = login
        .call(Operation::LoginWebauthnEnroll, "", json!({}))
        .await;
    let asked_for = asked.json();
    let challenge = asked_for["options"]["challenge"].as_str().unwrap();
    let proof = json!({
        "deviceType": "Platform",
        "webauthnToken": asked.text("webauthnToken"),
        "options": webauthn::attestation(challenge, "ediths-reader"),
    });
    let verify = Operation::LoginWebauthnEnrollVerify;
    let reply = login.call(verify, "", proof).await;
    assert_logged_in(&vendor, &EDITH, &reply).await;
    assert_eq!(vendor.user(EDITH.id).unwrap().security_keys.len(), 1);
}

#[tokio::test]
async fn a_remembered_device_needs_no_second_factor() {
    let vendor = start().await;
    let (device, secret) = ADA.authenticator.unwrap();
    let login = Login::begin(&vendor, &ADA).await;
    let path = Operation::LoginRememberDevice.facts().path;
    let may = get(&format!("{path}?mfaToken={}", login.mfa_token));
    let may = may.bearer(&login.token).send(&vendor).await;
    assert_eq!(may.json()["isAllowedToRemember"], true);
    let proof = json!({"value": vendor.totp(secret).unwrap(), "rememberDevice": true});
    let verify = Operation::LoginAuthenticatorVerify;
    let reply = login.call(verify, device, proof).await;
    let remembered = cookie(&reply.headers, "fe_device_").unwrap();
    let body = json!({"email": ADA.email, "password": PASSWORD});
    let next = super::client::post("/identity/resources/auth/v1/user", &body);
    let next = next.header("cookie", &remembered).send(&vendor).await;
    assert_eq!(next.json()["mfaRequired"], false);
}

#[tokio::test]
async fn a_recovery_code_removes_all_factors_once() {
    let vendor = start().await;
    let code = BARBARA.recovery_code.unwrap();
    let body = json!({"email": "Barbara@ACME.example", "recoveryCode": code});
    let token = vendor_token(&vendor).await;
    let recover = || operation(Operation::Recover, "", &body).bearer(&token);
    let reply = recover().send(&vendor).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    assert!(!vendor.user(BARBARA.id).unwrap().is_enrolled());
    let login = first_factor(&vendor, &BARBARA).await;
    assert_eq!(login.json()["mfaRequired"], false);

    let again = recover().send(&vendor).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert_eq!(again.error(), "Invalid recovery code");
}
