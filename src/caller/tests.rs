//! Who is known, and by what.

use super::*;
use crate::{config::SecretSource, model::CertificateNames};

const SPIFFE: &str = "spiffe://example.org/login";

fn callers() -> Callers {
    let caller = |name: &str, known_by, operations: &[Operation]| config::Caller {
        name: CallerName::new(name),
        known_by,
        operations: operations.to_vec(),
        tenants: None,
    };
    let token = |text: &str| KnownBy::Token(SecretSource::Inline(SecretString::from(text)));
    Callers::new(&[
        caller("desk", token("desk-token"), &[Operation::Recover]),
        caller("console", token("old-token\nnew-token"), Operation::ALL),
        caller(
            "login",
            KnownBy::SpiffeId(SPIFFE.to_owned()),
            Operation::ALL,
        ),
        caller(
            "shop",
            KnownBy::CertificateDns("shop.internal".to_owned()),
            Operation::ALL,
        ),
        caller("pod", KnownBy::Uid(1000), Operation::ALL),
    ])
    .unwrap()
}

fn certificate(spiffe_id: Option<&str>, dns: &[&str]) -> Proof {
    Proof {
        certificate: Some(CertificateNames {
            spiffe_id: spiffe_id.map(Into::into),
            dns: dns.iter().map(|&name| name.into()).collect(),
        }),
        uid: None,
    }
}

fn uid(uid: u32) -> Proof {
    Proof {
        certificate: None,
        uid: Some(uid),
    }
}

fn identify(
    proof: &Proof,
    keys: &[&'static str],
    operation: Operation,
) -> Result<Option<String>, CallerError> {
    let mut headers = HeaderMap::new();
    for key in keys {
        headers.append(KEY_HEADER, HeaderValue::from_static(key));
    }
    callers()
        .identify(proof, &headers, None, operation)
        .map(|caller| caller.name().map(|name| name.as_str().to_owned()))
}

fn recover(proof: &Proof, keys: &[&'static str]) -> Result<Option<String>, CallerError> {
    identify(proof, keys, Operation::Recover)
}

fn is(name: &str) -> Result<Option<String>, CallerError> {
    Ok(Some(name.to_owned()))
}

#[test]
fn a_caller_is_known_by_its_token_alone() {
    let nothing = Proof::default();
    assert_eq!(recover(&nothing, &["desk-token"]), is("desk"));
    for current in ["old-token", "new-token"] {
        assert_eq!(recover(&nothing, &[current]), is("console"));
    }
    for keys in [
        &[][..],
        &[""],
        &["desk-toke"],
        &["desk-token "],
        &["desk-token", "desk-token"],
        &["desk-token,old-token"],
    ] {
        assert_eq!(
            recover(&nothing, keys),
            Err(CallerError::Unknown),
            "{keys:?}"
        );
    }
}

#[test]
fn a_caller_is_known_by_its_certificate_whole_and_exact() {
    assert_eq!(recover(&certificate(Some(SPIFFE), &[]), &[]), is("login"));
    let dns = certificate(None, &["other.internal", "shop.internal"]);
    assert_eq!(recover(&dns, &[]), is("shop"));
    for proof in [
        certificate(None, &[]),
        certificate(Some("spiffe://example.org/login/x"), &[]),
        certificate(Some("spiffe://example.org/Login"), &[]),
        certificate(None, &["*.internal", "a.shop.internal", SPIFFE]),
    ] {
        assert_eq!(recover(&proof, &[]), Err(CallerError::Unknown), "{proof:?}");
    }
}

#[test]
fn a_caller_is_known_by_its_user() {
    assert_eq!(recover(&uid(1000), &[]), is("pod"));
    assert_eq!(recover(&uid(0), &[]), Err(CallerError::Unknown));
}

#[test]
fn between_two_callers_none_is_picked() {
    let both = certificate(Some(SPIFFE), &["shop.internal"]);
    for (proof, keys) in [
        (both, &[][..]),
        (certificate(Some(SPIFFE), &[]), &["desk-token"]),
        (uid(1000), &["desk-token"]),
    ] {
        assert_eq!(
            recover(&proof, keys),
            Err(CallerError::Ambiguous),
            "{proof:?}"
        );
    }
}

#[test]
fn a_secret_that_is_shown_must_be_right_and_a_certificate_may_be_nobodys() {
    let login = certificate(Some(SPIFFE), &[]);
    assert_eq!(recover(&login, &["wrong"]), Err(CallerError::Unknown));
    let strange = certificate(None, &["mesh.internal"]);
    assert_eq!(recover(&strange, &["desk-token"]), is("desk"));
    assert_eq!(recover(&uid(4711), &["desk-token"]), is("desk"));
}

#[test]
fn a_service_accounts_token_is_verified_before_it_is_known() {
    let shown = |key| {
        let mut headers = HeaderMap::new();
        headers.insert(KEY_HEADER, HeaderValue::from_static(key));
        headers
    };
    let unverified = |callers: &Callers, key| callers.unverified(&shown(key)).is_some();
    let mut callers = callers();
    assert!(!unverified(&callers, "a.b.c"));
    let identity = Arc::clone(&callers.0[0].identity);
    let account = ServiceAccount::parse("shop/login").unwrap();
    callers.0[0].mark = Mark::Tokens(vec![hash(b"two.dots.secret")]);
    callers.0.push(Known {
        mark: Mark::ServiceAccount(account),
        identity,
    });
    assert!(unverified(&callers, "a.b.c"));
    assert!(!unverified(&callers, "a.b"));
    assert!(!unverified(&callers, "two.dots.secret"));
    let identify = |key| callers.identify(&Proof::default(), &shown(key), None, Operation::Recover);
    assert!(identify("two.dots.secret").is_ok());
    assert!(matches!(identify("a.b.c"), Err(CallerError::Unknown)));
}

#[test]
fn a_known_caller_does_only_its_operations() {
    let refused = identify(&Proof::default(), &["desk-token"], Operation::UserDisable);
    assert_eq!(
        refused,
        Err(CallerError::NotAllowed(CallerName::new("desk")))
    );
}

#[test]
fn where_none_is_configured_anyone_calls() {
    let callers = Callers::new(&[]).unwrap();
    let caller = callers.identify(
        &Proof::default(),
        &HeaderMap::new(),
        None,
        Operation::Recover,
    );
    assert_eq!(caller.unwrap().name(), None);
}

#[test]
fn a_challenge_names_the_ways_that_are_configured() {
    let key = "ApiKey header=\"x-mfa-gateway-key\"";
    let all = format!("{key}, ClientCertificate, UnixPeer");
    assert_eq!(callers().ways().challenge(), all);
    let mut some = callers();
    some.0.truncate(2);
    assert_eq!(some.ways().challenge(), key);
    let mut some = callers();
    some.0.drain(..2);
    assert_eq!(some.ways().challenge(), "ClientCertificate, UnixPeer");
}
