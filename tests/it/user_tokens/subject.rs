//! On whose behalf, where a token says it.

use mfa_gateway::{
    route::Operation,
    sandbox::world::seed::{ACME, ADA, BARBARA, EDITH, GRACE, Person},
};

use super::{believing, claims, devices, token};
use crate::support::{Call, Rig, recover};

const KEY: &str = "x-mfa-gateway-key";

/// Removes a person's authenticator app, with its code.
fn disable(rig: &Rig, app_of: &Person) -> Call {
    let (device, secret) = app_of.authenticator.unwrap();
    let path = Operation::UserAuthenticatorDisable.facts().path;
    Call::of(Operation::UserAuthenticatorDisable)
        .target(&path.replace("{deviceId}", device))
        .with("token", rig.vendor.totp(secret).unwrap())
        .for_nobody()
}

#[tokio::test]
async fn the_token_alone_says_for_whom_and_stays_here() {
    let rig = believing().start().await;
    let token = token(&rig, &ADA);
    for call in [
        devices(&token),
        devices(&token).on_behalf_of(&ADA),
        devices(&token).http2(),
    ] {
        let reply = rig.call(call).await;
        reply.assert_passed(200);
        let received = &rig.received(&reply)[0];
        assert_eq!(received.header("frontegg-user-id"), Some(ADA.id));
        assert_eq!(received.header("frontegg-tenant-id"), Some(ADA.tenant));
        let authorization = received.header("authorization").unwrap();
        assert!(!authorization.contains(&token), "the token left");
    }
    let reply = rig.call(disable(&rig, &ADA).bearer(&token)).await;
    reply.assert_passed(200);
    assert!(!rig.vendor.user(ADA.id).unwrap().is_enrolled());
}

#[tokio::test]
async fn headers_that_name_somebody_else_are_refused_and_recorded() {
    let rig = believing().start().await;
    let token = token(&rig, &ADA);
    for call in [
        devices(&token).on_behalf_of(&GRACE),
        devices(&token).header("frontegg-user-id", GRACE.id),
        devices(&token).header("frontegg-tenant-id", EDITH.tenant),
        devices(&token).header("frontegg-user-id", ""),
        devices(&token)
            .header("frontegg-user-id", ADA.id)
            .also("frontegg-user-id", GRACE.id),
        disable(&rig, &GRACE).bearer(&token).on_behalf_of(&GRACE),
    ] {
        let victim = call.headers.get("frontegg-user-id").cloned();
        let reply = rig.call(call).await;
        assert!(matches!(reply.status.as_u16(), 400 | 403), "{reply:?}");
        let record = &rig.records(&reply)[0];
        assert_eq!(record.stage(), "refused");
        let well_formed = victim.filter(|user| user == GRACE.id);
        if let Some(user) = well_formed {
            reply.assert_refused(403, "subject-not-allowed");
            assert!(record.0.to_string().contains(user.to_str().unwrap()));
        }
    }
    assert!(rig.vendor.user(GRACE.id).unwrap().is_enrolled());
}

#[tokio::test]
async fn a_body_names_nobody() {
    let rig = believing().start().await;
    let call = disable(&rig, &GRACE)
        .with("userId", GRACE.id)
        .with("frontegg-user-id", GRACE.id)
        .with("tenantId", GRACE.tenant)
        .bearer(&token(&rig, &ADA));
    let reply = rig.call(call).await;
    assert_eq!(reply.code(), None);
    assert!(reply.status.is_client_error(), "{reply:?}");
    let received = &rig.received(&reply)[0];
    assert_eq!(received.header("frontegg-user-id"), Some(ADA.id));
    assert!(rig.vendor.user(GRACE.id).unwrap().is_enrolled());
}

#[tokio::test]
async fn the_user_in_the_path_is_the_tokens() {
    let rig = believing().start().await;
    let unenroll = |user: &str| {
        let path = Operation::UserUnenroll.facts().path;
        Call::of(Operation::UserUnenroll)
            .target(&path.replace("{userId}", user))
            .for_nobody()
    };
    let token = token(&rig, &ADA);
    let reply = rig.call(unenroll(GRACE.id).bearer(&token)).await;
    reply.assert_refused(403, "subject-not-allowed");
    assert_eq!(rig.records(&reply)[0].0["user"]["uid"], GRACE.id);
    let reply = rig.call(unenroll(ADA.id)).await;
    reply.assert_refused(401, "token-invalid");
    let reply = rig.call(unenroll(ADA.id).bearer(&token)).await;
    reply.assert_passed(200);
    assert!(!rig.vendor.user(ADA.id).unwrap().is_enrolled());
    assert!(rig.vendor.user(GRACE.id).unwrap().is_enrolled());
}

#[tokio::test]
async fn whoever_names_nobody_needs_no_token() {
    let rig = believing().start().await;
    let call = recover(BARBARA.email, BARBARA.recovery_code.unwrap());
    rig.call(call.for_nobody()).await.assert_passed(200);
    for operation in [
        Operation::LoginVerify,
        Operation::LoginRememberDevice,
        Operation::ConfigGet,
    ] {
        let reply = rig.call(Call::of(operation).for_nobody()).await;
        assert_eq!(reply.code(), None, "{operation:?}");
    }
    for operation in [
        Operation::UserDevices,
        Operation::UserEnroll,
        Operation::UserUnenroll,
        Operation::PolicyGet,
        Operation::PolicyUpdate,
    ] {
        let reply = rig.call(Call::of(operation).for_nobody()).await;
        reply.assert_refused(401, "token-invalid");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    // a step of a login that names a tenant must prove it
    let named = Call::of(Operation::LoginRememberDevice).header("frontegg-tenant-id", ACME);
    rig.call(named).await.assert_refused(401, "token-invalid");
}

#[tokio::test]
async fn guard_and_callers_tenants_hold_for_tokens_too() {
    let rig = believing()
        .set("subject.tenant", &format!("'{ACME}'"))
        .start()
        .await;
    rig.call(devices(&token(&rig, &ADA)))
        .await
        .assert_passed(200);
    let stranger = devices(&token(&rig, &EDITH));
    let reply = rig.call(stranger).await;
    reply.assert_refused(403, "subject-not-allowed");

    let builder = believing();
    let key = builder.file("portal-key", "the-key-of-the-portal\n");
    let rig = builder
        .tables(&format!(
            "[[callers]]\nname = 'portal'\ntoken_file = '{key}'\ntenants = ['{ACME}']\n"
        ))
        .start()
        .await;
    let call = |person| devices(&token(&rig, person)).header(KEY, "the-key-of-the-portal");
    rig.call(call(&ADA)).await.assert_passed(200);
    let reply = rig.call(call(&EDITH)).await;
    reply.assert_refused(403, "subject-not-allowed");
    let reply = rig.call(call(&ADA).without(KEY)).await;
    reply.assert_refused(401, "caller-unknown");
}

#[tokio::test]
async fn the_users_own_token_goes_on_where_it_is_the_credential() {
    let rig = believing()
        .set("subject.user_token.credential", "'user'")
        .start()
        .await;
    let token = token(&rig, &ADA);
    let reply = rig.call(devices(&token)).await;
    reply.assert_passed(200);
    let received = &rig.received(&reply)[0];
    let expected = format!("Bearer {token}");
    assert_eq!(received.header("authorization"), Some(&*expected));
    assert_eq!(received.header("frontegg-user-id"), None);
    assert_eq!(received.header("frontegg-tenant-id"), None);
    // what is not the users' own still goes on the environment's credential
    let reply = rig
        .call(Call::of(Operation::PolicyGet).for_nobody().bearer(&token))
        .await;
    assert_eq!(reply.code(), None);
    let received = &rig.received(&reply)[0];
    assert_ne!(received.header("authorization"), Some(&*expected));
    assert_eq!(received.header("frontegg-tenant-id"), Some(ADA.tenant));
    // a refusal of the user's token is no reason to renew the environment's
    let exchanged = rig.vendor.tokens_issued();
    let mut gone = claims(&rig, &ADA);
    gone.sub = "gone".to_owned();
    let reply = rig.call(devices(&rig.vendor.mint(&gone).unwrap())).await;
    assert!(
        reply.status.is_client_error() && reply.code().is_none(),
        "{reply:?}"
    );
    assert_eq!(rig.vendor.tokens_issued(), exchanged);
}
