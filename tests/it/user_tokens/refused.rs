//! Tokens that nobody may believe. The vendor sees nothing of them: the rig checks that.

use mfa_gateway::sandbox::{
    tokens::{Forgery, UserClaims},
    vendor::{Vendor, VendorOptions},
    world::seed::{ADA, GRACE},
};

use super::{believing, claims, devices, token};
use crate::support::{Call, Rig};

const INVALID: &str = "Bearer error=\"invalid_token\"";

async fn refused(rig: &Rig, call: Call) -> String {
    let reply = rig.call(call).await;
    reply.assert_refused(401, "token-invalid");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.starts_with(INVALID), "{challenge}");
    assert_eq!(rig.records(&reply)[0].reason(), Some("token-invalid"));
    reply.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_the_issuer_did_not_sign_is_refused() {
    let rig = believing().start().await;
    let said = claims(&rig, &ADA);
    rig.call(devices(&rig.vendor.mint(&said).unwrap()))
        .await
        .assert_passed(200);
    for forgery in Forgery::ALL {
        let forged = rig.vendor.forge(forgery, &said).unwrap();
        let detail = refused(&rig, devices(&forged)).await;
        let expected = match forgery {
            Forgery::AnothersKey => "its signature is wrong",
            Forgery::HmacOfPublicKey | Forgery::Unsigned => "one of the accepted ways",
            Forgery::UnknownKey => {
                // an environment that signs so is refused until it is configured
                "one of the accepted ways"
            }
        };
        assert!(detail.contains(expected), "{forgery:?}: {detail}");
    }
    let grace = rig.vendor.mint(&claims(&rig, &GRACE)).unwrap();
    let ada = rig.vendor.mint(&said).unwrap();
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (grace, ada) = (parts(&grace), parts(&ada));
    let mixed = format!("{}.{}.{}", ada[0], grace[1], ada[2]);
    let detail = refused(&rig, devices(&mixed)).await;
    assert!(detail.contains("its signature is wrong"), "{detail}");
}

#[tokio::test]
async fn a_signature_counts_only_where_it_is_configured() {
    let rig = believing().start().await;
    let es256 = rig.vendor.mint_es256(&claims(&rig, &ADA)).unwrap();
    refused(&rig, devices(&es256)).await;

    let rig = believing()
        .set("subject.user_token.algorithms", "['ES256']")
        .start()
        .await;
    let said = claims(&rig, &ADA);
    let es256 = rig.vendor.mint_es256(&said).unwrap();
    rig.call(devices(&es256)).await.assert_passed(200);
    refused(&rig, devices(&rig.vendor.mint(&said).unwrap())).await;
    let unknown = rig.vendor.forge(Forgery::UnknownKey, &said).unwrap();
    let detail = refused(&rig, devices(&unknown)).await;
    assert!(detail.contains("does not publish"), "{detail}");
}

#[tokio::test]
async fn a_token_of_another_environment_or_type_or_time_is_refused() {
    type Change = fn(&mut UserClaims);
    let rig = believing().start().await;
    let changes: [(Change, &str); 7] = [
        (
            |said| said.aud = "another-environment".to_owned(),
            "audience",
        ),
        (
            |said| said.iss = "https://another.example".to_owned(),
            "issuer",
        ),
        (|said| said.r#type = "userApiToken".to_owned(), "userToken"),
        (
            |said| said.r#type = "tenantApiToken".to_owned(),
            "userToken",
        ),
        (|said| said.exp = said.iat - 31, "has expired"),
        (|said| said.nbf = Some(said.iat + 60), "not valid yet"),
        (|said| said.sub = String::new(), "lacks a claim"),
    ];
    for (change, expected) in changes {
        let mut said = claims(&rig, &ADA);
        change(&mut said);
        let detail = refused(&rig, devices(&rig.vendor.mint(&said).unwrap())).await;
        assert!(detail.contains(expected), "{detail}");
    }
    // all is right but who signed it
    let other = Vendor::start(VendorOptions::default()).await.unwrap();
    let detail = refused(&rig, devices(&other.mint(&claims(&rig, &ADA)).unwrap())).await;
    assert!(detail.contains("does not publish"), "{detail}");
}

#[tokio::test]
async fn a_token_that_was_good_is_void_once_it_has_expired() {
    let rig = believing().start().await;
    let mut said = claims(&rig, &ADA);
    // two seconds are left of the leeway
    said.exp = rig.vendor.now() - 28;
    let token = rig.vendor.mint(&said).unwrap();
    rig.call(devices(&token)).await.assert_passed(200);
    loop {
        let late = rig.vendor.now() >= said.exp + 30;
        let reply = rig.call(devices(&token)).await;
        if reply.code().is_some() {
            reply.assert_refused(401, "token-invalid");
            return;
        }
        assert!(!late, "it outlived its end");
    }
}

#[tokio::test]
async fn a_token_stands_in_one_header_as_a_bearer() {
    let rig = believing().start().await;
    let token = token(&rig, &ADA);
    let with = |value: &str| devices("").header("authorization", value);
    let right = format!("Bearer {token}");
    for call in [
        with(&right).also("authorization", &right),
        with(&token),
        with(&format!("Basic {token}")),
        with("Bearer"),
        with(&format!("Bearer {token} {token}")),
        with(&format!("Bearer {token},{token}")),
        with(&format!("Bearer {}", "a".repeat(20_000))),
    ] {
        let reply = rig.call(call).await;
        assert!(matches!(reply.status.as_u16(), 400 | 401), "{reply:?}");
        assert!(reply.code().is_some());
    }
    let cookie = devices("")
        .without("authorization")
        .header("cookie", &format!("fe_token={token}"));
    rig.call(cookie).await.assert_refused(401, "token-invalid");
}

#[tokio::test]
async fn no_token_is_ever_told() {
    let rig = believing()
        .env("RUST_LOG", "trace")
        .set("subject.user_token.credential", "'user'")
        .start()
        .await;
    let said = claims(&rig, &ADA);
    let good = rig.vendor.mint(&said).unwrap();
    let bad = rig.vendor.forge(Forgery::AnothersKey, &said).unwrap();
    rig.call(devices(&good)).await.assert_passed(200);
    refused(&rig, devices(&bad)).await;
    let audit = std::fs::read_to_string(rig.path("audit.log")).unwrap();
    let told = [rig.gateway.stdout(), rig.gateway.stderr(), audit].concat();
    assert!(told.contains("request ended"), "it logs at all");
    for token in [good, bad] {
        for part in token.split('.') {
            assert!(!told.contains(part), "a part of a token was told");
        }
    }
}
