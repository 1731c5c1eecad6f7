//! Which keys are taken, and what they verify.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::{super::testing::Issuer, *};

const BOTH: &[Signature] = &Signature::ALL;

fn verify(keys: &KeySet, token: &str) -> Result<Value, JwtError> {
    let token = Compact::parse(token, BOTH)?;
    keys.verify(&token)
        .map(|authentic| Value::Object(authentic.0))
}

fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn what_the_named_key_signed_is_believed() {
    let (rsa, ec) = (Issuer::rsa("r"), Issuer::p256("e"));
    let keys = set(&[rsa.jwk(), ec.jwk()]).unwrap();
    for issuer in [&rsa, &ec] {
        let token = issuer.sign(&json!({"sub": "u"}));
        assert_eq!(verify(&keys, &token), Ok(json!({"sub": "u"})));
    }
}

#[test]
fn a_key_does_only_what_it_is_for() {
    let (rsa, ec) = (Issuer::rsa("r"), Issuer::p256("e"));
    let keys = set(&[rsa.jwk(), ec.jwk()]).unwrap();
    let say = json!({"sub": "u"});
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    // right signatures, under another key's name or another algorithm's
    let crossed = rsa.sign_under(&header("RS256", "e"), &say);
    assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
    let crossed = ec.sign_under(&header("RS256", "e"), &say);
    assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
    let crossed = ec.sign_under(&header("ES256", "r"), &say);
    assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
    let renamed = rsa.sign_under(&header("RS256", "x"), &say);
    assert_eq!(verify(&keys, &renamed), Err(JwtError::UnknownKey));
    let anothers = Issuer::rsa("r").sign(&say);
    assert_eq!(verify(&keys, &anothers), Err(JwtError::Signature));
    for alg in ["HS256", "RS384", "PS256"] {
        let token = rsa.sign_under(&header(alg, "r"), &say);
        assert_eq!(verify(&keys, &token), Err(JwtError::Algorithm), "{alg}");
    }
    for alg in ["none", "ES256K"] {
        let token = rsa.sign_under(&header(alg, "r"), &say);
        let refused = verify(&keys, &token);
        assert!(matches!(refused, Err(JwtError::Malformed(_))), "{alg}");
    }
}

#[test]
fn a_token_is_base64url_throughout_and_says_an_object() {
    let rsa = Issuer::rsa("r");
    let keys = set(&[rsa.jwk()]).unwrap();
    let token = rsa.sign(&json!({}));
    let (signed, proof) = token.rsplit_once('.').unwrap();
    // several spellings of one signature would be several tokens
    for proof in [
        format!("{proof}="),
        format!("{proof}=="),
        proof.replace('_', "/"),
    ] {
        let respelled = verify(&keys, &format!("{signed}.{proof}"));
        let is_the_same = token.ends_with(&proof);
        assert_eq!(respelled.is_ok(), is_the_same, "{proof}: {respelled:?}");
    }
    for said in [json!([]), json!("u"), json!(null), json!({"sub": {}})] {
        let refused = verify(&keys, &rsa.sign(&said));
        assert!(matches!(refused, Err(JwtError::Malformed(_))), "{said}");
    }
}

#[test]
fn several_keys_of_one_name_are_all_tried() {
    let (one, two) = (Issuer::rsa("r"), Issuer::rsa("r"));
    let keys = set(&[one.jwk(), two.jwk()]).unwrap();
    for issuer in [&one, &two] {
        assert_eq!(verify(&keys, &issuer.sign(&json!({}))), Ok(json!({})));
    }
    let third = Issuer::rsa("r").sign(&json!({}));
    assert_eq!(verify(&keys, &third), Err(JwtError::Signature));
}

#[test]
fn a_sign_byte_is_no_part_of_a_key() {
    let rsa = Issuer::rsa("r");
    let mut jwk = rsa.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    jwk["n"] = URL_SAFE_NO_PAD.encode([&[0], &*modulus].concat()).into();
    let keys = set(&[jwk]).unwrap();
    assert!(verify(&keys, &rsa.sign(&json!({}))).is_ok());
}

#[test]
fn the_public_key_is_no_secret() {
    use aws_lc_rs::hmac;
    let rsa = Issuer::rsa("r");
    let keys = set(&[rsa.jwk()]).unwrap();
    let jwk = rsa.jwk();
    let modulus = jwk["n"].as_str().unwrap();
    for secret in [
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
    ] {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"r"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"sub":"u"}"#));
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &secret),
            signed.as_bytes(),
        );
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(verify(&keys, &token), Err(JwtError::Algorithm));
        // and the same MAC passed off as a signature
        let token = token.replace(
            &head,
            &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"r"}"#),
        );
        assert_eq!(verify(&keys, &token), Err(JwtError::Signature));
    }
}

#[test]
fn a_token_that_names_no_key_is_of_the_only_one() {
    let (one, two, ec) = (Issuer::rsa("1"), Issuer::rsa("2"), Issuer::p256("e"));
    let token = one.sign_under(&json!({"alg": "RS256"}), &json!({}));
    assert!(verify(&set(&[one.jwk(), ec.jwk()]).unwrap(), &token).is_ok());
    let several = set(&[one.jwk(), two.jwk()]).unwrap();
    assert_eq!(verify(&several, &token), Err(JwtError::UnknownKey));
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let mut good = Issuer::p256("good").jwk();
    let rsa = Issuer::rsa("r").jwk();
    let change = |name: &str, value: Value| {
        let mut changed = rsa.clone();
        changed[name] = value;
        changed
    };
    let others = vec![
        change("use", "enc".into()),
        change("alg", "RS512".into()),
        change("alg", "HS256".into()),
        change("key_ops", json!(["sign"])),
        change("kty", "oct".into()),
        change("kty", "EC".into()),
        change("n", "AQAB".into()),
        change("n", Value::Null),
        change("n", URL_SAFE_NO_PAD.encode([255_u8; 2048]).into()),
        change("e", "!".into()),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "EC", "crv": "P-384", "x": good["x"], "y": good["y"]}),
        json!({"kty": "EC", "crv": "P-256", "x": good["x"], "y": good["x"]}),
        json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": good["y"]}),
        json!("key"),
    ];
    let count = others.len();
    assert_eq!(set(&others).unwrap_err(), KeySetError::NoUsableKey(count));
    good["key_ops"] = json!(["verify"]);
    let mut all = others;
    all.push(good);
    assert_eq!(set(&all).unwrap().count(), 1);
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        let refused = KeySet::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused, KeySetError::Malformed, "{text}");
    }
}

proptest! {
    #[test]
    fn any_change_to_a_token_is_seen(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        thread_local! {
            static ISSUED: (KeySet, String) = {
                let issuer = Issuer::p256("e");
                let token = issuer.sign(&json!({"sub": "u", "exp": 1}));
                (set(&[issuer.jwk()]).unwrap(), token)
            };
        }
        ISSUED.with(|(keys, token)| {
            let mut changed = token.clone().into_bytes();
            let at = place.index(changed.len());
            changed[at] = byte;
            if let Ok(changed) = String::from_utf8(changed)
                && changed != *token
            {
                prop_assert!(verify(keys, &changed).is_err());
            }
            Ok(())
        })?;
    }
}
