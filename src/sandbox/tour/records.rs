//! The gateway's audit log, read back.

use std::{fs, io, path::PathBuf};

use serde_json::Value;

/// The file.
#[derive(Clone, Debug)]
pub(super) struct AuditFile(pub(super) PathBuf);

/// One record of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record(Value);

/// Where a chain of records ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) records: usize,
    /// The number of the last one.
    pub(super) sequence: u64,
    /// Its hash.
    pub(super) hash: String,
    /// Whether each record has the number after, and names the hash of, the one before it.
    pub(super) whole: bool,
}

/// A row of what is shown of records: its label, and how a record fills it.
type Row = (&'static str, fn(&Record) -> Option<String>);

/// What a reader wants of a record.
pub(super) const ROWS: [Row; 13] = [
    ("activity", Record::activity),
    ("caller", |record| record.note("/caller")),
    ("user", Record::user),
    ("tenant", |record| record.note("/tenant")),
    ("device", |record| record.note("/device")),
    ("limit", Record::limit),
    ("record", |record| Some(format!("#{}", record.sequence()))),
    ("stage", |record| record.note("/stage")),
    ("outcome", |record| record.note("/outcome")),
    ("reason", |record| record.note("/reason")),
    ("status", |record| record.text("/status_code")),
    ("upstream", Record::upstream),
    ("hash", |record| Some(format!("{:.16}…", record.hash()))),
];

impl AuditFile {
    /// All records of the request with this id, in their order.
    pub(super) fn of_request(&self, id: &str) -> io::Result<Vec<Record>> {
        let mut records = records(&self.read()?);
        records.retain(|record| record.request_id() == id);
        Ok(records)
    }

    /// The whole file.
    pub(super) fn read(&self) -> io::Result<String> {
        fs::read_to_string(&self.0)
    }
}

/// The records in an audit log; lines that are none are passed over.
fn records(log: &str) -> Vec<Record> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok().map(Record))
        .collect()
}

impl Chain {
    /// Follows the chain of an audit log. Without its key that shows what is missing or moved,
    /// not what somebody forged.
    pub(super) fn follow(log: &str) -> Self {
        let mut chain = Self {
            whole: true,
            ..Self::default()
        };
        // a header says where a file begins, and is no link
        for record in records(log).iter().filter(|record| !record.is_header()) {
            let follows = record.sequence() == chain.sequence.saturating_add(1)
                && (chain.records == 0 || record.prev() == chain.hash);
            chain.whole &= follows;
            chain.records = chain.records.saturating_add(1);
            chain.sequence = record.sequence();
            record.hash().clone_into(&mut chain.hash);
        }
        chain
    }
}

impl Record {
    fn at(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    fn str(&self, pointer: &str) -> &str {
        let text = self.at(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> Option<String> {
        let text = self.str(pointer);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// What OCSF has no place for stands under `unmapped`.
    fn note(&self, pointer: &str) -> Option<String> {
        self.text(&format!("/unmapped{pointer}"))
    }

    fn request_id(&self) -> &str {
        self.str("/metadata/correlation_uid")
    }

    fn is_header(&self) -> bool {
        self.str("/unmapped/event") == "header"
    }

    fn sequence(&self) -> u64 {
        let number = self.at("/metadata/sequence").and_then(Value::as_u64);
        number.unwrap_or_default()
    }

    fn hash(&self) -> &str {
        self.str("/unmapped/hash")
    }

    fn prev(&self) -> &str {
        self.str("/unmapped/prev")
    }

    pub(super) fn stage(&self) -> &str {
        self.str("/unmapped/stage")
    }

    pub(super) fn outcome(&self) -> &str {
        self.str("/unmapped/outcome")
    }

    pub(super) fn reason(&self) -> &str {
        self.str("/unmapped/reason")
    }

    fn activity(&self) -> Option<String> {
        let (class, activity) = (self.at("/class_uid")?, self.at("/activity_id")?);
        let name = self.text("/activity_name")?;
        let operation = self.note("/operation")?;
        Some(format!("{operation}: {name} (OCSF {class}/{activity})"))
    }

    pub(super) fn user(&self) -> Option<String> {
        self.text("/user/uid")
            .or_else(|| self.text("/actor/user/uid"))
    }

    fn limit(&self) -> Option<String> {
        let left = self.at("/unmapped/limit/remaining")?;
        Some(format!("{}, {left} left", self.note("/limit/name")?))
    }

    fn upstream(&self) -> Option<String> {
        let took = self.at("/unmapped/upstream/duration")?;
        let status = self.at("/unmapped/upstream/status");
        let status = status.map_or_else(|| "no answer".to_owned(), ToString::to_string);
        Some(format!("{status} in {took} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"metadata":{"sequence":0},"unmapped":{"event":"header","hash":"h"}}
{"metadata":{"sequence":1},"unmapped":{"event":"start","prev":"0","hash":"a"}}
no record
{"metadata":{"sequence":2,"correlation_uid":"id"},"class_uid":3002,"activity_id":99,"activity_name":"MFA Recovery","user":{"uid":"email:1"},"unmapped":{"operation":"recover","stage":"refused","limit":{"name":"email","remaining":0},"prev":"a","hash":"b"}}
"#;

    #[test]
    fn a_whole_chain_is_followed_to_its_end() {
        let chain = Chain::follow(LOG);
        assert_eq!((chain.records, chain.sequence), (2, 2));
        assert_eq!(chain.hash, "b");
        assert!(chain.whole);
    }

    #[test]
    fn a_missing_or_changed_link_shows() {
        let without = LOG.replacen(r#""sequence":1"#, r#""sequence":3"#, 1);
        assert!(!Chain::follow(&without).whole);
        assert!(!Chain::follow(&LOG.replace(r#""prev":"a""#, r#""prev":"x""#)).whole);
    }

    #[test]
    fn rows_say_what_a_record_says() {
        let all = records(LOG);
        let record = all.last().unwrap();
        let rows: Vec<_> = ROWS
            .iter()
            .filter_map(|(label, cell)| Some((*label, cell(record)?)))
            .collect();
        let expected = [
            ("activity", "recover: MFA Recovery (OCSF 3002/99)"),
            ("user", "email:1"),
            ("limit", "email, 0 left"),
            ("record", "#2"),
            ("stage", "refused"),
            ("hash", "b…"),
        ];
        assert_eq!(rows, expected.map(|(label, cell)| (label, cell.to_owned())));
    }
}
