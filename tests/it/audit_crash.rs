//! The gateway is killed at random moments under load, again and again. What it answered has its
//! record, so has what the vendor saw, and its records are one unbroken chain.
//!
//! `MFA_GATEWAY_TEST_CRASHES=500` for more of it.

use std::{
    collections::HashSet,
    fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use mfa_gateway::{
    audit::{Input, Keyring, Progress, ReadError, records, verify},
    route::Operation,
    sandbox::world::seed::{ADA, GRACE},
};
use rustix::process::Signal;
use tokio::{task::JoinSet, time::sleep};

use crate::support::{Call, Client, Program, Rig, recover};

/// At once.
const CALLERS: usize = 6;
/// As every rig has it.
const KEY: &str = "an audit key for tests, 32 bytes long";

fn rounds() -> u64 {
    let wanted = std::env::var("MFA_GATEWAY_TEST_CRASHES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Starts a gateway where the one before was killed.
async fn start_again(rig: &mut Rig) {
    let file = rig.path("gateway.toml");
    rig.gateway = Program::start(["run", "-c", file.to_str().unwrap()], &[]);
    let listening = rig.gateway.logged("listening", 1).await;
    let address = listening[0]["address"].as_str().unwrap();
    rig.client = Client::Tcp(address.parse().unwrap());
}

/// Calls until nobody answers any more; keeps the ids of what was answered.
async fn load(client: Client, answered: Arc<Mutex<Vec<String>>>) {
    let calls = [
        Call::of(Operation::UserDevices).on_behalf_of(&ADA),
        recover(GRACE.email, "wrong"),
    ];
    for call in calls.iter().cycle() {
        let Ok(reply) = client.send(call.clone()).await else {
            return;
        };
        let id = reply.request_id().to_owned();
        answered.lock().unwrap().push(id);
    }
}

/// All files of the log. One that was compressed may still be there beside its compressed form,
/// where the gateway died, or ended, before it could delete it.
fn log_of(rig: &Rig) -> Vec<Input> {
    let entries = fs::read_dir(rig.folder.path()).unwrap();
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let packed = path.with_file_name(format!("{name}.gz"));
        name.starts_with("audit.log") && !packed.exists()
    };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(is_log);
    paths.map(Input::File).collect()
}

/// The ids of the requests that have an `admitted` record, and of those whose end has one.
fn recorded(log: &[Input]) -> (HashSet<String>, HashSet<String>) {
    let (mut admitted, mut ended) = (HashSet::new(), HashSet::new());
    for input in log {
        let read = records::<ReadError>(std::slice::from_ref(input), |record| {
            if let Some(id) = record.request_id() {
                let stage = if record.is_admitted() {
                    &mut admitted
                } else {
                    &mut ended
                };
                assert!(stage.insert(id.to_owned()), "{id} has two of one kind");
            }
            Ok(())
        });
        read.unwrap();
    }
    (admitted, ended)
}

/// The ids of the requests that the vendor has received since this was asked last.
fn seen_by_the_vendor(rig: &Rig) -> Vec<String> {
    let received = rig.vendor.received();
    rig.vendor.forget();
    let ids = received
        .iter()
        .filter_map(|request| request.header("x-request-id"));
    ids.map(str::to_owned).collect()
}

async fn survives(durability: &str, rounds: u64) {
    let mut rig = Rig::builder()
        .set("audit.durability", &format!("'{durability}'"))
        .set("audit.rotate.size", "'256KiB'")
        .set("audit.rotate.compress", "true")
        .set("limits.mode", "'observe'")
        .start()
        .await;
    let (answered, chance) = (Arc::<Mutex<Vec<String>>>::default(), RandomState::new());
    let mut seen = Vec::new();
    for round in 0..rounds {
        let mut loading = JoinSet::new();
        for _ in 0..CALLERS {
            loading.spawn(load(rig.client.clone(), Arc::clone(&answered)));
        }
        sleep(Duration::from_micros(chance.hash_one(round) % 200_000)).await;
        rig.gateway.signal(Signal::KILL);
        rig.gateway.end().await;
        loading.join_all().await;
        start_again(&mut rig).await;
        seen.extend(seen_by_the_vendor(&rig));
    }
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());

    let log = log_of(&rig);
    let keys = Keyring::new([KEY.into()]);
    let report = verify(&log, &keys, None, &Progress::default()).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.chains.len(), 1, "a restart began another chain");
    let (admitted, ended) = recorded(&log);
    let answered = answered.lock().unwrap();
    assert!(!answered.is_empty(), "nothing was ever answered");
    for id in &*answered {
        assert!(ended.contains(id), "{id} was answered and has no record");
    }
    for id in &seen {
        assert!(admitted.contains(id), "the vendor saw {id} unrecorded");
    }
    assert!(seen.len() >= answered.len(), "the vendor forgot some");
}

#[tokio::test]
async fn nothing_that_was_answered_or_sent_is_unrecorded_however_the_gateway_dies() {
    survives("written", rounds()).await;
}

#[tokio::test]
async fn nor_where_each_record_goes_to_the_disk_first() {
    survives("synced", rounds().div_ceil(4)).await;
}
