//! Whatever is done to a log is found, and called what it is.

mod edits;
mod files;

use std::{fs, io::Write, path::Path, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::audit::{chain::Sealer, keys::Keys, ocsf::Form};

const SECRET: &str = "the audit key";

/// Writes logs as the gateway does.
struct Writer {
    form: Form,
    sealer: Sealer,
    chain: &'static str,
    output: &'static str,
    tip: Link,
}

impl Writer {
    fn new(secret: &str, chain: &'static str) -> Self {
        Self {
            form: Form::new(),
            sealer: sealer(secret),
            chain,
            output: "audit.jsonl",
            tip: Link::START,
        }
    }

    fn header(&mut self, missed: u64) -> String {
        let (mut body, mut line) = (Vec::new(), Vec::new());
        self.form.header(self.chain, self.output, missed, &mut body);
        self.sealer.header(&self.tip, &body, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn record(&mut self) -> String {
        let (mut body, mut line) = (Vec::new(), Vec::new());
        self.form
            .control(&crate::audit::Control::Checkpoint, &mut body);
        self.tip = self.sealer.record(&self.tip, &body, &mut line);
        String::from_utf8(line).unwrap()
    }

    /// A file with its header.
    fn file(&mut self, records: usize) -> Vec<String> {
        let mut lines = vec![self.header(0)];
        lines.extend((0..records).map(|_| self.record()));
        lines
    }
}

fn sealer(secret: &str) -> Sealer {
    Sealer::new(Some(Arc::new(Keys::derive(&secret.into()))))
}

fn keyring(secrets: &[&str]) -> Keyring {
    Keyring::new(secrets.iter().map(|secret| (*secret).into()))
}

/// Verifies files of these contents, given in this order.
fn verified(files: &[&[u8]], secrets: &[&str], expected: Option<&Expected>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let inputs: Vec<_> = (0..files.len())
        .map(|place| Input::File(folder.path().join(format!("file-{place}"))))
        .collect();
    for (input, bytes) in inputs.iter().zip(files) {
        let Input::File(path) = input else { continue };
        fs::write(path, bytes).unwrap();
    }
    verify(&inputs, &keyring(secrets), expected, &Progress::default()).unwrap()
}

fn damage_of(lines: &[String]) -> Option<(Damage, u64)> {
    let report = verified(&[lines.concat().as_bytes()], &[SECRET], None);
    report.bad.map(|bad| (bad.damage, bad.line))
}

fn name(input: &Input) -> &str {
    let Input::File(path) = input else {
        panic!("no file")
    };
    path.file_name().unwrap().to_str().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn beginning(line: &str, length: usize) -> &str {
    line.get(..length).unwrap()
}

fn number(place: usize) -> u64 {
    u64::try_from(place).unwrap()
}

fn keys_id(secret: &str) -> String {
    Keys::derive(&secret.into()).id
}

#[test]
fn a_log_as_it_was_written_is_good_and_says_what_it_holds() {
    let mut writer = Writer::new(SECRET, "one");
    let lines = writer.file(5);
    let report = verified(&[lines.concat().as_bytes()], &[SECRET], None);
    assert_eq!((report.bad.as_ref(), report.records()), (None, 5));
    let [chain] = report.chains.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(chain.name.as_deref(), Some("one"));
    assert_eq!(
        (chain.after, chain.last(), chain.hash()),
        (0, 5, writer.tip.hash())
    );
    assert!(chain.began().unwrap() <= chain.ended().unwrap());
}
