//! The end of the process: what is in flight is finished, nothing new is begun.

use std::{
    io,
    time::{Duration, Instant},
};

use http::{Method, Version};
use mfa_gateway::{
    route::Operation,
    sandbox::{vendor::Fault, world::seed::BARBARA},
};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use super::support::{Client, Reply, Rig, eventually, recover};

/// Long enough for a signal to be heard meanwhile.
const SLOW: Fault = Fault::Slow(Duration::from_millis(600));
/// Longer than any test.
const FOREVER: &str = "'5m'";

/// A call that the vendor has before this returns.
async fn begun(rig: &Rig, version: Version) -> JoinHandle<io::Result<Reply>> {
    let mut connection = rig.connect(version).await;
    let call = recover(BARBARA.email, BARBARA.recovery_code.unwrap()).version(version);
    let exchange = tokio::spawn(async move { connection.send(call).await });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) > 0)
        .await;
    exchange
}

async fn assert_ends_well(rig: &mut Rig) {
    assert_eq!(rig.gateway.end().await.code(), Some(0));
}

/// The one exchange that was cut off has the record of its end, and the log its own.
fn assert_cut_off_on_record(rig: &Rig) {
    let records = rig.audit.records();
    let ends = records
        .iter()
        .filter(|record| record.stage() == "completed");
    let ends: Vec<_> = ends
        .map(|record| (record.outcome(), record.reason()))
        .collect();
    assert_eq!(ends, [("failed", Some("cut-off"))]);
    assert_eq!(rig.event_names(), ["start", "drain", "stop"]);
}

async fn assert_takes_no_connections(rig: &Rig) {
    let Client::Tcp(address) = rig.client else {
        panic!("{:?} is not TCP", rig.client);
    };
    eventually("that nobody listens", || {
        std::net::TcpStream::connect(address).err()
    })
    .await;
}

#[tokio::test]
async fn an_exchange_in_flight_is_finished_with_either_protocol() {
    for (version, signal) in [
        (Version::HTTP_11, Signal::TERM),
        (Version::HTTP_2, Signal::TERM),
        (Version::HTTP_11, Signal::INT),
    ] {
        let mut rig = Rig::start().await;
        rig.vendor.misbehave(SLOW.at(Operation::Recover));
        let exchange = begun(&rig, version).await;
        let told = Instant::now();
        rig.gateway.signal(signal);
        assert_takes_no_connections(&rig).await;
        let reply = exchange.await.unwrap().unwrap();
        reply.assert_passed(200);
        assert_ends_well(&mut rig).await;
        assert!(
            told.elapsed() < Duration::from_secs(10),
            "it waited for shutdown.timeout: {:?}",
            told.elapsed()
        );
        let stages: Vec<_> = rig
            .records(&reply)
            .iter()
            .map(|r| r.stage().to_owned())
            .collect();
        assert_eq!(stages, ["admitted", "completed"]);
        assert_eq!(rig.event_names(), ["start", "drain", "stop"]);
    }
}

#[tokio::test]
async fn an_idle_connection_holds_nothing_up() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut rig = Rig::start().await;
        let mut connection = rig.connect(version).await;
        let call = recover(BARBARA.email, "wrong").version(version);
        connection.send(call).await.unwrap().assert_passed(401);
        let told = Instant::now();
        rig.gateway.signal(Signal::TERM);
        assert_ends_well(&mut rig).await;
        assert!(told.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn an_exchange_whose_caller_left_is_finished_and_recorded() {
    let mut rig = Rig::start().await;
    rig.vendor.misbehave(SLOW.at(Operation::Recover));
    begun(&rig, Version::HTTP_11).await.abort();
    rig.until_metric("mfa_gateway_connections", "0").await;
    rig.gateway.signal(Signal::TERM);
    assert_ends_well(&mut rig).await;
    let records = rig.audit.records();
    let completed = records.iter().find(|record| record.stage() == "completed");
    assert_eq!(completed.unwrap().upstream_status(), Some(200));
}

#[tokio::test]
async fn it_serves_on_for_the_delay_and_is_not_ready() {
    let mut rig = Rig::builder().set("shutdown.delay", FOREVER).start().await;
    assert_eq!(rig.ask_admin(Method::GET, "/readyz").await.status, 200);
    rig.gateway.signal(Signal::TERM);
    rig.gateway.logged("told to stop: draining", 1).await;
    let ready = rig.ask_admin(Method::GET, "/readyz?verbose").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["checks"]["not-draining"], "failed");
    assert_eq!(rig.ask_admin(Method::GET, "/livez").await.status, 200);
    assert_eq!(rig.ask_admin(Method::GET, "/startupz").await.status, 200);
    rig.call(recover(BARBARA.email, "wrong"))
        .await
        .assert_passed(401);
    rig.gateway.signal(Signal::TERM);
    assert_ends_well(&mut rig).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut rig = Rig::builder()
        .set("shutdown.timeout", FOREVER)
        .set("frontegg.request_timeout", FOREVER)
        .start()
        .await;
    rig.vendor.misbehave(Fault::Hang.at(Operation::Recover));
    let exchange = begun(&rig, Version::HTTP_11).await;
    rig.gateway.signal(Signal::TERM);
    rig.gateway.logged("told to stop: draining", 1).await;
    rig.gateway.signal(Signal::INT);
    rig.gateway.end().await;
    assert!(exchange.await.unwrap().is_err());
    assert_cut_off_on_record(&rig);
}

#[tokio::test]
async fn a_connection_whose_handshake_is_not_over_holds_nothing_up() {
    let mut rig = Rig::builder()
        .tls()
        .set("listen.header_timeout", FOREVER)
        .set("shutdown.timeout", FOREVER)
        .start()
        .await;
    let Client::Tls(address, _) = rig.client else {
        panic!("no TLS");
    };
    let _silent = std::net::TcpStream::connect(address).unwrap();
    rig.until_metric("mfa_gateway_connections", "1").await;
    rig.gateway.signal(Signal::TERM);
    assert_ends_well(&mut rig).await;
}

#[tokio::test]
async fn what_takes_longer_than_the_time_out_is_cut_off() {
    let mut rig = Rig::builder()
        .set("shutdown.timeout", "'300ms'")
        .start()
        .await;
    rig.vendor.misbehave(Fault::Hang.at(Operation::Recover));
    let exchange = begun(&rig, Version::HTTP_2).await;
    rig.gateway.signal(Signal::TERM);
    rig.gateway.end().await;
    assert!(exchange.await.unwrap().is_err());
    assert_cut_off_on_record(&rig);
}

#[tokio::test]
async fn an_exchange_that_is_cut_off_after_its_caller_left_is_on_record_too() {
    let mut rig = Rig::builder()
        .set("shutdown.timeout", "'300ms'")
        .start()
        .await;
    rig.vendor.misbehave(Fault::Hang.at(Operation::Recover));
    begun(&rig, Version::HTTP_11).await.abort();
    rig.until_metric("mfa_gateway_connections", "0").await;
    rig.gateway.signal(Signal::TERM);
    rig.gateway.end().await;
    assert_cut_off_on_record(&rig);
}

#[tokio::test]
async fn an_app_can_tell_it_to_end_where_that_is_on() {
    let mut rig = Rig::builder().set("admin.quit", "true").start().await;
    assert_eq!(
        rig.ask_admin(Method::GET, "/quitquitquit").await.status,
        405
    );
    rig.vendor.misbehave(SLOW.at(Operation::Recover));
    let exchange = begun(&rig, Version::HTTP_11).await;
    assert_eq!(
        rig.ask_admin(Method::POST, "/quitquitquit").await.status,
        200
    );
    assert_takes_no_connections(&rig).await;
    exchange.await.unwrap().unwrap().assert_passed(200);
    assert_ends_well(&mut rig).await;
}

#[tokio::test]
async fn the_first_signal_after_being_told_to_end_cuts_nothing_off() {
    let mut rig = Rig::builder().set("admin.quit", "true").start().await;
    rig.vendor.misbehave(SLOW.at(Operation::Recover));
    let exchange = begun(&rig, Version::HTTP_11).await;
    assert_eq!(
        rig.ask_admin(Method::POST, "/quitquitquit").await.status,
        200
    );
    rig.gateway.logged("told to stop: draining", 1).await;
    rig.gateway.signal(Signal::TERM);
    exchange.await.unwrap().unwrap().assert_passed(200);
    assert_ends_well(&mut rig).await;
}
