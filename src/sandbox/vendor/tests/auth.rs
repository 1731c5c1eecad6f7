//! The token exchange, who may call, and the vendor's limits.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::client::{get, operation, post, start, vendor_token};
use crate::{
    route::Operation,
    sandbox::{
        vendor::Endpoint,
        world::seed::{ACME, ADA, BARBARA, CLIENT_ID, CLIENT_IP_SECRET, GLOBEX, GRACE},
    },
};

#[tokio::test]
async fn the_credential_is_exchanged_for_a_token_with_or_without_a_slash() {
    let vendor = start().await;
    let right = vendor.credentials();
    for target in ["/auth/vendor", "/auth/vendor/"] {
        let body = json!({"clientId": right.client_id, "secret": right.secret});
        let reply = post(target, &body).send(&vendor).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json()["expiresIn"], 86_400);
    }
    let body = json!({"clientId": right.client_id, "secret": "wrong"});
    let reply = post("/auth/vendor/", &body).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.error(), "Invalid authentication");
    assert_eq!(vendor.tokens_issued(), 2);
    assert_eq!(vendor.count(Endpoint::TokenExchange), 3);
}

#[tokio::test]
async fn a_rotated_secret_is_refused_and_its_token_stays_good() {
    let vendor = start().await;
    let old = vendor.credentials();
    let token = vendor_token(&vendor).await;
    vendor.rotate_secret("new");
    let body = json!({"clientId": old.client_id, "secret": old.secret});
    let reply = post("/auth/vendor/", &body).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let strategies = || operation(Operation::StrategiesGet, "", &json!({})).bearer(&token);
    assert_eq!(strategies().send(&vendor).await.status, StatusCode::OK);
    vendor.revoke_tokens();
    let reply = strategies().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    vendor_token(&vendor).await;
}

#[tokio::test]
async fn a_token_expires_when_its_lifetime_is_over() {
    let vendor = start().await;
    vendor.set_token_lifetime(Duration::from_secs(60));
    let token = vendor_token(&vendor).await;
    let strategies = || operation(Operation::StrategiesGet, "", &json!({})).bearer(&token);
    assert_eq!(strategies().send(&vendor).await.status, StatusCode::OK);
    vendor.advance(Duration::from_secs(61));
    let reply = strategies().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.error(), "Unauthorized");
}

#[tokio::test]
async fn every_operation_refuses_a_call_without_a_token() {
    let vendor = start().await;
    for each in Operation::ALL.iter().copied() {
        let reply = operation(each, "device", &json!({})).send(&vendor).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", each.name());
        assert_eq!(vendor.count(each), 1, "{}", each.name());
    }
}

#[tokio::test]
async fn a_user_is_named_is_there_and_is_in_the_tenant() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let devices = || operation(Operation::UserDevices, "", &json!({})).bearer(&token);
    let reply = devices().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = devices().header("frontegg-user-id", "nobody");
    assert_eq!(reply.send(&vendor).await.status, StatusCode::NOT_FOUND);
    let ada = || devices().header("frontegg-user-id", ADA.id);
    let reply = ada()
        .header("frontegg-tenant-id", GLOBEX)
        .send(&vendor)
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = ada().header("frontegg-tenant-id", ACME).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(ada().send(&vendor).await.status, StatusCode::OK);
}

#[tokio::test]
async fn disabling_sms_needs_the_tenant() {
    let vendor = start().await;
    let reply = operation(Operation::UserSmsDisable, "grace-phone", &json!({}))
        .header("frontegg-user-id", GRACE.id)
        .with_credential(&vendor)
        .await
        .send(&vendor)
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error(), "Tenant ID is not specified");
}

#[tokio::test]
async fn a_user_acts_for_themselves_with_their_own_token() {
    let vendor = start().await;
    let ada = vendor.user(ADA.id).unwrap();
    let token = vendor.mint(&vendor.claims(&ada, ACME)).unwrap();
    let devices = operation(Operation::UserDevices, "", &json!({})).bearer(&token);
    // whoever else the headers name
    let reply = devices.on_behalf_of(&GRACE).send(&vendor).await;
    assert_eq!(reply.json()["authenticators"][0]["id"], "ada-app");
    // but only on users' routes, and with proof
    let recover = operation(Operation::Recover, "", &json!({})).bearer(&token);
    let reply = recover.send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let disable = operation(Operation::UserDisable, "", &json!({})).bearer(&token);
    let reply = disable.send(&vendor).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let keys = get("/.well-known/jwks.json").send(&vendor).await;
    assert_eq!(keys.json()["keys"][0]["alg"], "RS256");
    assert_eq!(keys.json()["keys"][0]["use"], "sig");
}

#[tokio::test]
async fn the_eleventh_recovery_in_a_minute_is_told_when_to_come_back() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let guess = || {
        let body = json!({"email": BARBARA.email, "recoveryCode": "wrong"});
        operation(Operation::Recover, "", &body).bearer(&token)
    };
    let began = vendor.now();
    for _ in 0..10 {
        let reply = guess().send(&vendor).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    let reply = guess().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let reset = reply.headers["x-rate-limit-reset"].to_str().unwrap();
    let reset: jiff::Timestamp = reset.parse().unwrap();
    let wait = reset.as_second() - i64::try_from(began).unwrap();
    assert!((60..65).contains(&wait), "{wait}");

    // another user's address, told by someone who may
    let told = || guess().header("x-frontegg-forwarded-for", "203.0.113.7");
    let reply = told().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let believed = told()
        .header("x-frontegg-headers-verifier", CLIENT_IP_SECRET)
        .header("frontegg-vendor-id", CLIENT_ID);
    let reply = believed.send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);

    vendor.advance(Duration::from_secs(65));
    let reply = guess().send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    vendor.limit(false);
    for _ in 0..15 {
        let reply = guess().send(&vendor).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
}
