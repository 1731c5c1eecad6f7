//! Adding and removing factors of a user who has logged in.

use http::StatusCode;
use serde_json::{Value, json};

use super::client::{Reply, operation, start, vendor_token};
use crate::{
    route::Operation,
    sandbox::{
        vendor::{Channel, Vendor},
        webauthn,
        world::seed::{ADA, GRACE, HEDY, KATHERINE, Person},
    },
};

async fn call(
    vendor: &Vendor,
    person: &Person,
    each: Operation,
    device: &str,
    body: Value,
) -> Reply {
    let token = vendor_token(vendor).await;
    let call = operation(each, device, &body).bearer(&token);
    call.on_behalf_of(person).send(vendor).await
}

#[tokio::test]
async fn an_app_is_removed_for_its_current_code() {
    let vendor = start().await;
    let (device, secret) = ADA.authenticator.unwrap();
    let disable = Operation::UserAuthenticatorDisable;
    let wrong = json!({"token": "12345"});
    let reply = call(&vendor, &ADA, disable, device, wrong).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let right = json!({"token": vendor.totp(secret).unwrap()});
    let reply = call(&vendor, &ADA, disable, "another", right.clone()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let reply = call(&vendor, &ADA, disable, device, right.clone()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!vendor.user(ADA.id).unwrap().is_enrolled());
    let reply = call(&vendor, &ADA, disable, device, right).await;
    assert_eq!(reply.json()["errorCode"], "ER-01097");
}

#[tokio::test]
async fn a_phone_is_removed_in_two_steps() {
    let vendor = start().await;
    let mut codes = vendor.subscribe_codes();
    let (device, number) = GRACE.phone.unwrap();
    let first = Operation::UserSmsDisable;
    let reply = call(&vendor, &GRACE, first, device, json!({})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.text("phoneNumber"), "********0102");
    let sent = codes.recv().await.unwrap();
    assert_eq!((sent.channel, sent.to.as_str()), (Channel::Sms, number));
    assert_eq!(vendor.codes(), std::slice::from_ref(&sent));

    let otc_token = reply.text("otcToken");
    let second = Operation::UserSmsDisableVerify;
    let wrong = json!({"otcToken": otc_token, "code": "12345"});
    let reply = call(&vendor, &GRACE, second, device, wrong).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let right = json!({"otcToken": otc_token, "code": sent.code});
    let reply = call(&vendor, &GRACE, second, device, right).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    let grace = vendor.user(GRACE.id).unwrap();
    assert!(grace.phones.is_empty());
    assert_eq!(grace.authenticators.len(), 1);
}

#[tokio::test]
async fn the_environment_needs_no_proof_to_clear_a_users_factors() {
    let vendor = start().await;
    let disable = Operation::UserDisable;
    let reply = call(&vendor, &GRACE, disable, "", json!({})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!vendor.user(GRACE.id).unwrap().is_enrolled());
    let reply = call(&vendor, &GRACE, disable, "", json!({})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.json()["errorCode"], "ER-01097");
}

#[tokio::test]
async fn a_code_removes_the_apps_and_the_recovery_code_everything() {
    let vendor = start().await;
    let (_device, secret) = GRACE.authenticator.unwrap();
    let disable = Operation::UserDisable;
    let proof = json!({"token": vendor.totp(secret).unwrap()});
    let reply = call(&vendor, &GRACE, disable, "", proof).await;
    assert_eq!(reply.status, StatusCode::OK);
    let grace = vendor.user(GRACE.id).unwrap();
    assert_eq!((grace.authenticators.len(), grace.phones.len()), (0, 1));
    let proof = json!({"token": GRACE.recovery_code.unwrap()});
    let reply = call(&vendor, &GRACE, disable, "", proof).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!vendor.user(GRACE.id).unwrap().is_enrolled());
}

#[tokio::test]
async fn an_app_is_added_by_either_route() {
    for (enrol, verify) in [
        (Operation::UserEnroll, Operation::UserEnrollVerify),
        (
            Operation::UserAuthenticatorEnroll,
            Operation::UserAuthenticatorEnrollVerify,
        ),
    ] {
        let vendor = start().await;
        let proof = json!({"token": "12345"});
        let early = call(&vendor, &KATHERINE, verify, "", proof.clone()).await;
        assert_eq!(early.status, StatusCode::BAD_REQUEST);
        let reply = call(&vendor, &KATHERINE, enrol, "", json!({})).await;
        let qr_code = reply.text("qrCode");
        let (_, secret) = qr_code.split_once("secret=").unwrap();
        let (secret, _) = secret.split_once('&').unwrap();
        let wrong = call(&vendor, &KATHERINE, verify, "", proof).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        let right = json!({"token": vendor.totp(secret).unwrap()});
        let reply = call(&vendor, &KATHERINE, verify, "", right).await;
        assert_eq!(reply.status, StatusCode::OK);
        let katherine = vendor.user(KATHERINE.id).unwrap();
        assert_eq!(katherine.recovery_code, Some(reply.text("recoveryCode")));
    }
}

#[tokio::test]
async fn a_phone_is_added_for_the_code_sent_to_it() {
    let vendor = start().await;
    let number = json!({"phoneNumber": "+15555550199"});
    let enrol = Operation::UserSmsEnroll;
    let reply = call(&vendor, &KATHERINE, enrol, "", number).await;
    let code = vendor.last_code_to("+15555550199").unwrap();
    let proof = json!({"otcToken": reply.text("otcToken"), "code": code});
    let verify = Operation::UserSmsEnrollVerify;
    let other = call(&vendor, &ADA, verify, "", proof.clone()).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    let reply = call(&vendor, &KATHERINE, verify, "", proof.clone()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let again = call(&vendor, &KATHERINE, verify, "", proof).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(vendor.user(KATHERINE.id).unwrap().phones.len(), 1);
}

#[tokio::test]
async fn a_security_key_is_added_and_removed() {
    let vendor = start().await;
    let reply = call(&vendor, &HEDY, Operation::UserWebauthnEnroll, "", json!({})).await;
    let body = reply.json();
    let challenge = body["options"]["challenge"].as_str().unwrap();
    let proof = json!({
        "deviceType": "CrossPlatform",
        "webauthnToken": body["webauthnToken"],
        "options": webauthn::attestation(challenge, "second"),
    });
    let verify = Operation::UserWebauthnEnrollVerify;
    let reply = call(&vendor, &HEDY, verify, "", proof).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.text("recoveryCode"), HEDY.recovery_code.unwrap());

    let (device, credential) = HEDY.security_key.unwrap();
    let disable = Operation::UserWebauthnDisable;
    let reply = call(&vendor, &HEDY, disable, device, json!({})).await;
    let body = reply.json();
    let challenge = body["options"]["challenge"].as_str().unwrap();
    let proof = |credential: &str| {
        json!({
            "webauthnToken": body["webauthnToken"],
            "options": webauthn::assertion(challenge, credential),
        })
    };
    let verify = Operation::UserWebauthnDisableVerify;
    let wrong = call(&vendor, &HEDY, verify, device, proof("second")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let right = call(&vendor, &HEDY, verify, device, proof(credential)).await;
    assert_eq!(right.status, StatusCode::OK);
    let reply = call(&vendor, &HEDY, Operation::UserDevices, "", json!({})).await;
    assert_eq!(reply.json()["webauthn"].as_array().unwrap().len(), 1);
}
