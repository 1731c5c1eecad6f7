//! What is allowed and unwise.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::{super::*, World};

#[test]
fn what_is_probably_a_mistake_is_warned_of() {
    let mut world = World::new();
    let secret = world.path("open");
    fs::write(&secret, "0123456789abcdef").unwrap();
    open_to_all(&secret);
    world
        .set(&format!("admin.key_file={}", secret.display()))
        .set("listen.address=0.0.0.0:8080")
        .set("callers=[{ name = \"a\", token = \"short\" }]")
        .set("limits.client.quotas=[]")
        .set("limits.mode=observe")
        .set("frontegg.identity_url=https://id.internal")
        .set("routes.allow=recover, user.disable");
    let loaded = world.load();
    let warned: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    for key in [
        "admin.key_file",
        "callers[0].operations",
        "callers[0].token",
        "frontegg.identity_url",
        "limits.client",
        "limits.mode",
        "listen.address",
        "routes.allow",
        "subject.from",
    ] {
        assert!(warned.contains(&key), "{key} is missing: {warned:?}");
    }
    let mut plain = World::new();
    plain.set("limits.upstream.recover.attempts=10");
    assert_eq!(plain.load().warnings, []);
}

#[test]
fn who_is_told_no_users_address_counts_all_of_them_as_one() {
    let warned = |world: &World| {
        let warnings = world.load().warnings;
        warnings
            .iter()
            .any(|warning| warning.what.contains("10 recoveries in 60 s"))
    };
    let mut world = World::new();
    assert!(warned(&world));
    world.set("frontegg.client_ip.shared_secret=0123456789abcdef");
    world.set("listen.trusted_proxies=127.0.0.1/32");
    assert!(!warned(&world));
}

#[test]
fn a_store_that_nobody_guards_or_uses_is_warned_of() {
    let warned = |sets: &[&str]| {
        let mut world = World::new();
        for set in sets {
            world.set(set);
        }
        let warnings = world.load().warnings;
        let keys = warnings.into_iter().map(|warning| warning.key);
        keys.filter(|key| key != "limits.upstream.recover")
            .collect::<Vec<_>>()
    };
    assert_eq!(warned(&["limits.redis.timeout=1s"]), ["limits.redis"]);
    assert_eq!(
        warned(&["limits.on_store_failure=deny"]),
        ["limits.on_store_failure"]
    );
    let redis = ["limits.store=redis", "limits.key=0123456789abcdef"];
    let far = "limits.redis.url=redis://redis:6379";
    let password = "limits.redis.password=0123456789abcdef";
    assert!(warned(&redis).is_empty());
    assert!(warned(&[&redis[..], &[password]].concat()).is_empty());
    assert_eq!(
        warned(&[&redis[..], &[far, password]].concat()),
        ["limits.redis.url"]
    );
    assert_eq!(
        warned(&[&redis[..], &["limits.on_store_failure=allow"]].concat()),
        ["limits.on_store_failure"]
    );
}

#[test]
fn a_certificate_that_ends_soon_has_ended_or_has_not_begun_is_warned_of() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    for (begin, end, expected) in [
        (now - DAY, now + 20 * DAY, Some(" ends on ")),
        (now - DAY, now + 40 * DAY, None),
        (now - 2 * DAY, now - DAY, Some(" ended on ")),
        (now + DAY, now + 40 * DAY, Some(" is not good before ")),
    ] {
        let world = World::new();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = begin.into();
        params.not_after = end.into();
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        fs::write(world.path("ca.pem"), made.pem()).unwrap();
        let loaded = world.load();
        let ca = |warning: &&Problem| warning.key == "frontegg.ca_file";
        let told = loaded.warnings.iter().find(ca);
        assert_eq!(told.is_some(), expected.is_some(), "{:?}", loaded.warnings);
        assert!(told.is_none_or(|told| told.what.contains(expected.unwrap())));
    }
}

#[test]
fn who_could_be_anyone_is_warned_of() {
    let mut world = World::new();
    for (key, file) in [
        ("certificate_file", "ca.pem"),
        ("private_key_file", "key.pem"),
        ("client_ca_file", "ca.pem"),
    ] {
        let path = world.path(file);
        world.set(&format!("listen.tls.{key}={}", path.display()));
    }
    world
        .set("listen.address=127.0.0.1:1, unix:/run/g.sock")
        .set("listen.trusted_proxies=0.0.0.0/0")
        .set("callers=[{ name = \"a\", uid = 65534, operations = [\"recover\"] }]");
    let loaded = world.load();
    let warned: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    for key in [
        "callers[0].uid",
        "listen.tls.client_ca_file",
        "listen.trusted_proxies",
    ] {
        assert!(warned.contains(&key), "{key} is missing: {warned:?}");
    }
    let mut world = World::new();
    world.set("frontegg.client_ip.shared_secret=secret");
    let warnings = world.load().warnings;
    assert_eq!(warnings[0].key, "frontegg.client_ip.shared_secret");
}

/// `CA` and `KEY` stand for files.
const TLS: &str = "listen.tls={ certificate_file = \"CA\", private_key_file = \"KEY\" }";

/// What is set, the key that is warned of, and a part of what is said.
const UNWISE: &[(&[&str], &str, &str)] = &[
    (&["headers.cookies=*"], "headers.cookies", "every cookie"),
    (
        &["listen.address=unix:/run/g.sock", TLS],
        "listen.tls",
        "unix sockets stay plain",
    ),
    (&[TLS], "listen.tls.private_key_file", "everyone on this"),
    (&[TLS], "listen.tls.certificate_file", " ends on "),
    (
        &[
            "routes.allow=recover",
            "callers=[{ name = \"a\", uid = 1, operations = [\"policy.get\"] }]",
            "listen.address=unix:/run/g.sock",
        ],
        "callers[0].operations",
        "routes lets none of them through",
    ),
    (
        &["routes.allow=[]"],
        "routes.allow",
        "no operation is let through",
    ),
    (
        &["subject.user_token.issuer=https://acme.example"],
        "subject.user_token",
        "has no effect",
    ),
    (&["audit.key=short"], "audit.key", "short enough"),
    (
        &["audit.durability=synced", "audit.output=stdout, /var/log/a"],
        "audit.durability",
        "on no disk",
    ),
    (
        &["limits.email.quotas=[]"],
        "limits.email.quotas",
        "nothing",
    ),
    (
        &[
            "listen.trusted_proxies=127.0.0.1/32",
            "limits.email_client.quotas=[]",
        ],
        "limits.email_client.quotas",
        "lock the owner out",
    ),
    (
        &["frontegg.connect_timeout=20s"],
        "frontegg.connect_timeout",
        "longer",
    ),
    (
        &[
            "frontegg.domain=acme",
            "frontegg.identity_url=https://a.example",
        ],
        "frontegg.domain",
        "has no effect",
    ),
    (
        &[
            "limits.store=redis",
            "limits.key=0123456789abcdef",
            "limits.redis.ca_file=CA",
        ],
        "limits.redis.ca_file",
        "without TLS",
    ),
];

#[test]
fn what_has_no_effect_or_is_unwise_is_warned_of_by_key() {
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let end = SystemTime::now() + week;
    for (sets, key, what) in UNWISE {
        let mut world = World::new();
        let (ca, private) = (world.path("ca.pem"), world.path("key.pem"));
        ends(end, &ca, &private);
        open_to_all(&private);
        for set in *sets {
            let set = set.replace("CA", ca.to_str().unwrap());
            world.set(&set.replace("KEY", private.to_str().unwrap()));
        }
        let warnings = world.load().warnings;
        let told = |warning: &Problem| warning.key == *key && warning.what.contains(what);
        assert!(warnings.iter().any(told), "{sets:?}: {warnings:?}");
    }
}

/// Writes a server's certificate, and its key.
fn ends(end: SystemTime, certificate: &std::path::Path, private: &std::path::Path) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_after = end.into();
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(private, key.serialize_pem()).unwrap();
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}
