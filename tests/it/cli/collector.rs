//! What `check` says of a collector.

use crate::support::{Collector, Program, Rig, eventually};

#[tokio::test]
async fn check_connect_tries_the_collector_too() {
    let mut collector = Collector::start().await;
    let rig = Rig::builder()
        .set("telemetry.otlp_endpoint", &collector.endpoint())
        .start()
        .await;
    let file = rig.path("gateway.toml");
    let check = || Program::start(["check", "-c", file.to_str().unwrap(), "--connect"], &[]);
    let mut good = check();
    assert_eq!(good.end().await.code(), Some(0));
    for path in ["/v1/logs", "/v1/traces"] {
        let line = format!("ok      it took an empty message at {path}");
        eventually("its word", || good.stdout().contains(&line).then_some(())).await;
    }
    collector.go_away().await;
    let mut bad = check();
    assert_eq!(bad.end().await.code(), Some(1));
    let said = |text: &String| text.contains("failed  can't connect to 127.0.0.1");
    eventually("what is wrong", || {
        Some(bad.stdout() + &bad.stderr()).filter(said)
    })
    .await;
}

#[tokio::test]
async fn an_output_without_its_collector_is_refused_with_the_mend() {
    let folder = Rig::builder();
    let file = folder.file(
        "gateway.toml",
        "audit.output = ['stdout', 'otlp']\naudit.key = 'a key of more than sixteen bytes'\n",
    );
    let mut program = Program::start(["check", "-c", file.as_str()], &[]);
    assert_eq!(program.end().await.code(), Some(2));
    let said = |text: &String| {
        text.contains("has no collector") && text.contains("telemetry.otlp_endpoint")
    };
    let told = || Some(program.stderr() + &program.stdout()).filter(said);
    eventually("the mend", told).await;
}
