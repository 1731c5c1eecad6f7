//! One account, one form, and nothing that has two readings.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<CanonicalEmail, EmailError> {
    CanonicalEmail::parse(text, Subaddress::Keep)
}

fn canonical(text: &str) -> String {
    match parse(text) {
        Ok(email) => email.0,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

#[test]
fn one_account_has_one_form() {
    for same in [
        "user@example.com",
        "  user@example.com\r\n",
        "\u{a0}User@EXAMPLE.com\u{3000}",
        "user@example.com.",
        "u\u{ad}ser@exam\u{200b}ple.com",
        "\u{feff}user@example.com",
        "us\u{200d}er@example.com",
        "\u{ff55}\u{ff53}\u{ff45}\u{ff52}@example.com",
        "\u{1d42e}ser@example.com",
        "user@\u{24d4}xample.com",
        "user@example\u{ff0e}com",
        "user@example\u{3002}com",
        "u\u{17f}er@example.com",
    ] {
        assert_eq!(canonical(same), "user@example.com", "{same:?}");
    }
    for same in [
        "\u{e9}@b\u{fc}cher.example",
        "E\u{301}@BU\u{308}CHER.example",
        "\u{c9}@xn--bcher-kva.example",
        "\u{c9}@XN--BCHER-KVA.example.",
    ] {
        assert_eq!(canonical(same), "\u{e9}@xn--bcher-kva.example", "{same:?}");
    }
    assert_eq!(canonical("STRASSE@x.de"), canonical("stra\u{df}e@x.de"));
    assert_eq!(
        canonical("\u{3b1}\u{345}@x.gr"),
        canonical("\u{391}\u{399}@x.gr")
    );
    assert_eq!(canonical("\u{212a}im@x.com"), "kim@x.com");
}

#[test]
fn what_is_significant_stays() {
    assert_eq!(canonical("First.Last+tag@x.com"), "first.last+tag@x.com");
    assert_eq!(canonical("o'brien@x.ie"), "o'brien@x.ie");
    assert_eq!(canonical("root@localhost"), "root@localhost");
    assert_ne!(canonical("\u{131}@x.com"), canonical("i@x.com"));
}

#[test]
fn a_subaddress_is_folded_by_option() {
    let fold = |text| CanonicalEmail::parse(text, Subaddress::Fold).map(|email| email.0);
    assert_eq!(fold("a+b+c@x.com").unwrap(), "a@x.com");
    assert_eq!(fold("a\u{ff0b}b@x.com").unwrap(), "a@x.com");
    assert_eq!(fold("a@x.com").unwrap(), "a@x.com");
    assert_eq!(fold("+b@x.com"), Err(EmailError::Empty));
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    for (text, error) in [
        ("", EmailError::At),
        ("user", EmailError::At),
        ("a@b@c", EmailError::At),
        ("user\u{ff20}x.com", EmailError::At),
        ("a@b\u{fe6b}c", EmailError::At),
        ("@x.com", EmailError::Empty),
        ("a@", EmailError::Empty),
        ("\u{200b}@x.com", EmailError::Empty),
        ("a@x.com,b@x.com", EmailError::Character),
        ("a@x.com\u{ff0c}b", EmailError::Character),
        ("a@x.com;", EmailError::Character),
        ("mailto:a@x.com", EmailError::Character),
        ("A <a@x.com>", EmailError::Character),
        ("<a@x.com>", EmailError::Character),
        ("\"a\"@x.com", EmailError::Character),
        ("\u{ff02}a\u{ff02}@x.com", EmailError::Character),
        ("a(comment)@x.com", EmailError::Character),
        ("a@[127.0.0.1]", EmailError::Character),
        ("a\\b@x.com", EmailError::Character),
        ("a b@x.com", EmailError::Character),
        ("a\u{2003}b@x.com", EmailError::Character),
        ("a\u{a8}@x.com", EmailError::Character),
        ("a\0@x.com", EmailError::Character),
        ("a\u{85}b@x.com", EmailError::Character),
        ("a@x.com \u{200b}", EmailError::Character),
        ("a@.", EmailError::Domain),
        ("a@x..com", EmailError::Domain),
        ("a@x.com..", EmailError::Domain),
        ("a@.x.com", EmailError::Domain),
        ("a@x%2ecom", EmailError::Domain),
        ("a@x/y", EmailError::Domain),
        ("a@xn--\u{fc}.com", EmailError::Domain),
        ("a@xn--zz.com", EmailError::Domain),
        ("a@fa\u{df}.de", EmailError::TwoReadings),
        ("a@\u{3c2}.gr", EmailError::TwoReadings),
    ] {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn at_most_254_bytes_as_written_and_as_kept() {
    let longest = format!("{}@example.com", "a".repeat(242));
    assert_eq!(canonical(&longest).len(), 254);
    assert_eq!(parse(&format!("a{longest}")), Err(EmailError::Length));
    // U+FDFA is 3 bytes as written, and 33 once it is spelled out
    let grows = format!("{}@example.com", "\u{fdfa}".repeat(8));
    assert_eq!(parse(&grows), Err(EmailError::Length));
}

#[test]
fn debug_shows_nothing() {
    let email = parse("someone@example.com").unwrap();
    assert!(!format!("{email:?}").contains("someone"));
}

#[test]
fn a_digest_depends_on_key_purpose_and_email() {
    let key = |byte| MacKey::new(&[byte; 32]);
    let (a, b) = (parse("a@x.com").unwrap(), parse("b@x.com").unwrap());
    let digest = EmailKey::new(&key(1), "email", &a);
    assert_eq!(digest, EmailKey::new(&key(1), "email", &a));
    assert_ne!(digest, EmailKey::new(&key(2), "email", &a));
    assert_ne!(digest, EmailKey::new(&key(1), "audit", &a));
    assert_ne!(digest, EmailKey::new(&key(1), "email", &b));
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own(
        local in "[a-zA-Z.+']{0,3}\\PC{0,6}",
        domain in "(\\PC{0,3}|[a-zA-Z0-9-]{0,4})[.\u{3002}]?(com|\u{df}|\\PC{1,2})[.]?",
        fold in any::<bool>(),
    ) {
        let subaddress = if fold { Subaddress::Fold } else { Subaddress::Keep };
        if let Ok(email) = CanonicalEmail::parse(&format!("{local}@{domain}"), subaddress) {
            prop_assert_eq!(CanonicalEmail::parse(email.as_str(), subaddress), Ok(email.clone()));
            prop_assert_eq!(parse(email.as_str()), Ok(email));
        }
    }

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        if let Ok(email) = parse(&text) {
            let (local, domain) = email.parts();
            prop_assert!(!local.is_empty() && domain.is_ascii());
        }
    }

    #[test]
    fn case_and_form_make_no_difference(local in "[a-z\u{e0}-\u{fc}]{1,8}", domain in "[a-z]{1,8}") {
        let plain = format!("{local}@{domain}.com");
        let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(&plain).into_owned();
        prop_assert_eq!(parse(&plain), parse(&plain.to_uppercase()));
        prop_assert_eq!(parse(&plain), parse(&decomposed));
    }
}
