//! The vendor's own JavaScript client, unchanged, walked through the gateway by `tests/js`.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    process::{Output, Stdio},
};

use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Endpoint, Received, SentCode},
        world::seed::{self, Person},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, Command},
    sync::broadcast,
};

use super::support::{Rig, leave_out, within};

/// What the client can ask for: all but these.
const NOT_IN_THE_CLIENT: [Operation; 5] = [
    Operation::ConfigGet,
    Operation::ConfigUpdate,
    Operation::PolicyUpsert,
    Operation::StrategiesSet,
    Operation::UserUnenroll,
];

#[tokio::test]
async fn the_vendors_own_client_works_unchanged() {
    if let Some(missing) = missing() {
        return leave_out(&format!("the vendor's own client: {missing}"));
    }
    let rig = Rig::builder()
        .set("listen.base_path", "'/frontegg'")
        .set(
            "routes.allow",
            "['authentication', 'self-service', 'enrolment', 'management']",
        )
        .start()
        .await;
    let walked = walk(&rig).await;
    assert!(walked.status.success(), "{}", told(&walked));

    let (mfa, others): (Vec<_>, Vec<_>) = rig
        .vendor
        .received()
        .into_iter()
        .partition(|received| matches!(received.endpoint, Endpoint::Operation(_)));
    let tokens_of_users: BTreeSet<_> = others.iter().filter_map(authorization).collect();
    assert!(!tokens_of_users.is_empty());
    for received in &mfa {
        assert!(received.header("x-request-id").is_some(), "{received:?}");
        assert!(
            !tokens_of_users.contains(authorization(received).unwrap()),
            "a user's own token went on: {received:?}"
        );
    }

    let reached = |operation: &Operation| rig.vendor.count(*operation) > 0;
    let (reached, missed): (Vec<_>, Vec<_>) = Operation::ALL.iter().partition(|one| reached(one));
    // denied by default, and the walk saw that it is
    let unreachable = [&NOT_IN_THE_CLIENT[..], &[Operation::UserDisable]].concat();
    assert!(
        missed.iter().all(|one| unreachable.contains(one)),
        "{missed:?}"
    );
    assert_eq!(reached.len() + unreachable.len(), Operation::ALL.len());

    let recorded = rig.audit.records();
    let refused = recorded.iter().filter(|record| record.stage() == "refused");
    let reasons: Vec<_> = refused.filter_map(|record| record.reason()).collect();
    assert_eq!(reasons, ["route-not-allowed", "rate-limited"]);
}

/// What the machine lacks, if anything.
fn missing() -> Option<&'static str> {
    let node = std::process::Command::new("node")
        .args(["-e", "process.exit(typeof fetch === 'function' ? 0 : 1)"])
        .status();
    if !node.is_ok_and(|status| status.success()) {
        return Some("no node, or one older than 18");
    }
    let installed = folder().join("node_modules/@frontegg/rest-api/package.json");
    (!installed.exists()).then_some("not installed; tests/run installs it")
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/js"))
}

/// Lets the client walk.
async fn walk(rig: &Rig) -> Output {
    let codes = rig.vendor.subscribe_codes();
    let mut node = Command::new("node")
        .arg(folder().join("walk.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    write_line(&mut stdin, &world(rig)).await.unwrap();
    tokio::select! {
        walked = within("the end of the walk", node.wait_with_output()) => walked.unwrap(),
        () = pass_on(codes, stdin) => panic!("the vendor ended"),
    }
}

fn told(walked: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&walked.stdout) + &text(&walked.stderr)
}

/// Where everything is, and who has what.
fn world(rig: &Rig) -> Value {
    let people = seed::PEOPLE.iter().map(|person| {
        let Person {
            id,
            email,
            name,
            tenant,
            authenticator,
            phone,
            recovery_code,
            ..
        } = person;
        let has = json!({
            "id": id,
            "email": email,
            "name": name,
            "tenant": tenant,
            "secret": authenticator.map(|(_id, secret)| secret),
            "phone": phone.map(|(_id, number)| number),
            "recoveryCode": recovery_code,
        });
        (name.to_lowercase(), has)
    });
    json!({
        "gateway": format!("http://{}", rig.addresses[0]),
        "vendor": rig.vendor.origin(),
        "ca": rig.path("vendor-ca.pem"),
        "password": seed::PASSWORD,
        "people": people.collect::<serde_json::Map<_, _>>(),
    })
}

/// Shows the walker each code that the vendor sends.
async fn pass_on(mut codes: broadcast::Receiver<SentCode>, mut stdin: ChildStdin) {
    while let Ok(sent) = codes.recv().await {
        let line = json!({"to": sent.to, "code": sent.code});
        if write_line(&mut stdin, &line).await.is_err() {
            std::future::pending::<()>().await; // its end is seen elsewhere
        }
    }
}

async fn write_line(stdin: &mut ChildStdin, line: &Value) -> io::Result<()> {
    stdin.write_all(format!("{line}\n").as_bytes()).await
}

fn authorization(received: &Received) -> Option<&str> {
    received.header("authorization")
}
