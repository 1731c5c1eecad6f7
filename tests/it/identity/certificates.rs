//! Callers by client certificate.

use mfa_gateway::{route::Operation, sandbox::certs::Authority};

use super::{Greeting, KEY, LOGIN, SHOP, assert_called_by, assert_unknown, guess, three_callers};

#[tokio::test]
async fn a_caller_is_known_by_certificate_or_token() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let issue = |uris, names| authority.issue_client(uris, names, None).unwrap();
    let login = issue(&[LOGIN], &["pod-1.internal"]);
    let shop = issue(&[], &["other.internal", "Shop.Internal"]);
    let nobody = issue(&["https://example.org"], &["pod-2.internal"]);
    for (identity, key, name) in [
        (Some(&login), None, "login"),
        (Some(&shop), None, "shop"),
        (None, Some("the-key-of-the-desk"), "desk"),
        (Some(&nobody), Some("the-key-of-the-desk"), "desk"),
    ] {
        let greeting = Greeting::new(&rig, identity);
        for call in [guess(), guess().http2()] {
            let call = match key {
                Some(key) => call.header(KEY, key),
                None => call,
            };
            let reply = greeting.call(&rig, call).await.unwrap();
            assert_called_by(&rig, &reply, name);
            let received = &rig.received(&reply)[0];
            assert_eq!(received.header(KEY), None, "the key stays here");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_names_no_caller_lets_nobody_in() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    for (uris, names) in [
        (&[][..], &[][..]),
        (&["spiffe://example.org/ns/shop/sa/logi"], &[]),
        (&["spiffe://example.org/ns/shop/sa/login/"], &[]),
        (&["SPIFFE://example.org/ns/shop/sa/login"], &[]),
        (&[LOGIN, "spiffe://example.org/other"], &[]),
        (&[LOGIN, "https://example.org"], &[]),
        (&[], &["*.internal"]),
        (&[], &["a.shop.internal", "shop.internal.example"]),
        (&["https://shop.internal"], &[]),
    ] {
        let identity = authority.issue_client(uris, names, None).unwrap();
        let reply = Greeting::new(&rig, Some(&identity))
            .call(&rig, guess())
            .await;
        assert_unknown(&rig, &reply.unwrap());
    }
    let without = Greeting::new(&rig, None).call(&rig, guess()).await;
    assert_unknown(&rig, &without.unwrap());
}

#[tokio::test]
async fn where_two_callers_are_shown_none_is_picked() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let login = authority.issue_client(&[LOGIN], &[], None).unwrap();
    let both = authority.issue_client(&[LOGIN], &[SHOP], None).unwrap();
    let desk = guess().header(KEY, "the-key-of-the-desk");
    for (identity, call) in [
        (&both, guess()),
        (&login, desk.clone()),
        (&login, desk.also(KEY, "the-key-of-the-desk")),
        (&login, guess().header(KEY, "nobodys-key")),
        (&login, guess().header(KEY, "")),
    ] {
        let reply = Greeting::new(&rig, Some(identity)).call(&rig, call).await;
        assert_unknown(&rig, &reply.unwrap());
    }
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_foreign_does_not_get_as_far_as_a_request() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(978_307_200);
    let expired = authority.issue_client(&[LOGIN], &[], Some(long_ago));
    // the same name, and another key
    let impostor = Authority::new("clients").unwrap();
    let foreign = impostor.issue_client(&[LOGIN], &[], None);
    let stranger = Authority::new("another").unwrap();
    let unknown = stranger.issue_client(&[LOGIN], &[], None);
    for identity in [expired, foreign, unknown] {
        let greeting = Greeting::new(&rig, Some(&identity.unwrap()));
        for call in [guess(), guess().http2()] {
            let refused = greeting.call(&rig, call).await.unwrap_err();
            let told = format!("{refused:?}").to_lowercase();
            let ends = ["alert", "canceled", "reset", "closed"];
            assert!(ends.iter().any(|end| told.contains(end)), "{told}");
        }
    }
    assert_eq!(rig.vendor.count(Operation::Recover), 0);
}
