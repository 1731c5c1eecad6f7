//! Kinds of stores: over TLS with a password, a cluster, one behind sentinels.

use std::time::Instant;

use mfa_gateway::sandbox::{
    certs::{Authority, LOOPBACK},
    world::seed::{ADA, BARBARA, GRACE},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{by_email, events, guess, guesses_left, metric, run, until_metric};
use crate::support::{Redis, Rig, eventually, free_port, patience};

/// A server that speaks TLS too and knows the user `gateway`, and what it takes to reach it.
struct Guarded {
    redis: Redis,
    tls_port: u16,
    files: TempDir,
}

impl Guarded {
    fn start() -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new("store").unwrap();
        let identity = authority.issue(LOOPBACK).unwrap();
        for (name, text) in [
            ("certificate.pem", identity.certificate_pem.as_str()),
            ("key.pem", identity.key_pem.as_str()),
            ("ca.pem", authority.pem()),
            ("other.pem", Authority::new("other").unwrap().pem()),
        ] {
            std::fs::write(files.path().join(name), text).unwrap();
        }
        let tls_port = free_port();
        let path = |name: &str| files.path().join(name).display().to_string();
        let arguments = [
            ["--tls-port", &tls_port.to_string()],
            ["--tls-cert-file", &path("certificate.pem")],
            ["--tls-key-file", &path("key.pem")],
            ["--tls-ca-cert-file", &path("ca.pem")],
            ["--tls-auth-clients", "no"],
        ];
        let redis = Redis::start_with(arguments.as_flattened())?;
        Some(Self {
            redis,
            tls_port,
            files,
        })
    }

    /// Gives the user another password, and writes it into the gateways' file.
    fn password(&self, password: &str) {
        std::fs::write(self.files.path().join("password"), format!("{password}\n")).unwrap();
        let password = format!(">{password}");
        let words = ["ACL", "SETUSER", "gateway", "reset", "on", &password];
        // as config/README.md has them
        let rights = "~mfa-gateway:* +@connection +@scripting +@read +@write +time +role +cluster";
        let rights: Vec<_> = rights.split(' ').collect();
        self.redis.command(&[&words[..], &rights[..]].concat());
    }

    /// A gateway that believes this CA.
    async fn gateway(&self, ca: &str) -> Rig {
        let path = |name: &str| format!("'{}'", self.files.path().join(name).display());
        by_email(&format!("'rediss://127.0.0.1:{}'", self.tls_port))
            .set("limits.redis.ca_file", &path(ca))
            .set("limits.redis.username", "'gateway'")
            .set("limits.redis.password_file", &path("password"))
            .set("limits.on_store_failure", "'deny'")
            .start()
            .await
    }
}

#[tokio::test]
async fn over_tls_with_a_password_that_is_read_again() {
    let Some(guarded) = Guarded::start() else {
        return;
    };
    guarded.password("parrot-1");
    let rig = guarded.gateway("ca.pem").await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    guarded.password("parrot-2");
    guarded
        .redis
        .command(&["CLIENT", "KILL", "USER", "gateway"]);
    let began = Instant::now();
    // so many refusals may share a record, so this isn't held against the invariants
    let again = || rig.client.send(guess(GRACE.email));
    while again().await.unwrap().code().as_deref() == Some("limits-unavailable") {
        assert!(began.elapsed() < patience(), "it never came back");
    }
    assert!(!rig.gateway.stderr().contains("parrot"));
}

#[tokio::test]
async fn a_store_with_a_strangers_certificate_is_none() {
    let Some(guarded) = Guarded::start() else {
        return;
    };
    guarded.password("parrot-1");
    let rig = guarded.gateway("other.pem").await;
    let refused = rig.call(guess(ADA.email)).await;
    refused.assert_refused(503, "limits-unavailable");
    let said = eventually("its cause in the log", || {
        Some(rig.gateway.stderr()).filter(|said| said.contains("certificate"))
    })
    .await;
    assert!(!said.contains("parrot"), "{said}");
}

#[tokio::test]
async fn the_ca_is_read_again() {
    let Some(guarded) = Guarded::start() else {
        return;
    };
    guarded.password("parrot-1");
    let rig = guarded.gateway("other.pem").await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(503, "limits-unavailable");
    let file = |name: &str| guarded.files.path().join(name);
    std::fs::copy(file("ca.pem"), file("other.pem")).unwrap();
    until_metric(&rig, "mfa_gateway_limit_store_up 1\n").await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
}

#[tokio::test]
async fn in_a_cluster_quotas_hold_and_a_refusal_gives_back_what_earlier_limits_took() {
    let Some(mut nodes) = Redis::cluster() else {
        return;
    };
    let urls: Vec<_> = nodes
        .iter()
        .map(|node| format!("'{}'", node.url()))
        .collect();
    let urls = format!("[{}]", urls.join(", "));
    let build = || by_email(&urls).set("limits.upstream.recover", "{ attempts = 7, per = '1d' }");
    let (rig, other) = (build().start().await, build().start().await);
    let mut sending = JoinSet::new();
    for n in 0..100 {
        let client = [&rig, &other][n % 2].client.clone();
        sending.spawn(async move { client.send(guess(ADA.email)).await.unwrap().status.as_u16() });
    }
    let statuses = sending.join_all().await;
    let passed = statuses.iter().filter(|&&status| status == 401).count();
    // attempts at the same instant may be refused that would pass one by one, never the reverse
    assert!((1..=5).contains(&passed), "{passed}");
    assert_eq!(passed + guesses_left(&rig, ADA.email).await, 5);
    for node in &nodes {
        node.command(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(
        guesses_left(&rig, GRACE.email).await,
        2,
        "of the operation's seven"
    );
    for _ in 0..5 {
        rig.call(guess(BARBARA.email))
            .await
            .assert_refused(429, "rate-limited");
    }
    let admin = rig.admin.to_string();
    let show = [
        "limits",
        "show",
        BARBARA.email,
        "--admin",
        &admin,
        "--format",
        "json",
    ];
    let shown: serde_json::Value = serde_json::from_str(&run(&show).await.1).unwrap();
    assert_eq!(
        shown["limits"][0]["remaining"], 5,
        "the email was given back what it took"
    );
    assert!(metric(&rig, "mfa_gateway_limit_store_up 1\n").await);

    // half a cluster is none: each counts for itself, and nobody is kept waiting
    nodes[0].kill();
    for n in 0..12 {
        let reply = rig.call(guess(&format!("user-{n}@acme.example"))).await;
        assert!([401, 429].contains(&reply.status.as_u16()), "{reply:?}");
    }
    until_metric(&rig, "mfa_gateway_limit_store_up 0\n").await;
}

#[tokio::test]
async fn with_sentinels_a_failover_is_followed() {
    let Some(mut master) = Redis::start() else {
        return;
    };
    let port = master.port.to_string();
    let replica = Redis::start_with(&[
        "--replicaof",
        &format!("127.0.0.1 {port}"),
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let replica = replica.unwrap();
    let sentinel = Redis::sentinel(master.port).unwrap();
    eventually("the replica", || {
        let known = sentinel.command(&["SENTINEL", "replicas", "main"]);
        let synced = replica.command(&["INFO", "replication"])[0].contains("master_link_status:up");
        (synced && known.len() > 1).then_some(())
    })
    .await;
    let rig = by_email(&format!("'{}'", sentinel.url()))
        .set("limits.redis.sentinel", "'main'")
        .start()
        .await;
    assert_eq!(guesses_left(&rig, ADA.email).await, 5);
    assert_ne!(master.command(&["DBSIZE"])[0], "0");
    eventually("replication", || {
        (replica.command(&["DBSIZE"]) == master.command(&["DBSIZE"])).then_some(())
    })
    .await;
    master.kill();
    until_metric(&rig, "mfa_gateway_limit_store_up 0\n").await;
    until_metric(&rig, "mfa_gateway_limit_store_up 1\n").await;
    assert!(replica.command(&["ROLE"])[0].contains("master"));
    assert_eq!(guesses_left(&rig, ADA.email).await, 0);
    assert_eq!(guesses_left(&rig, GRACE.email).await, 5);
    assert_eq!(events(&rig, "store-lost"), 1);
}
