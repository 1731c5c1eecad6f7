//! The gateway's audit file, read as it grows.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Mutex,
};

use serde_json::Value;

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Record(pub(crate) Value);

impl Record {
    fn unmapped(&self, name: &str) -> Option<&str> {
        self.0["unmapped"][name].as_str()
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.0["metadata"]["correlation_uid"].as_str()
    }

    /// `admitted`, `completed` or `refused`.
    pub(crate) fn stage(&self) -> &str {
        self.unmapped("stage").unwrap_or_default()
    }

    /// `pending`, `succeeded`, `denied`, `failed` or `refused`.
    pub(crate) fn outcome(&self) -> &str {
        self.unmapped("outcome").unwrap_or_default()
    }

    pub(crate) fn operation(&self) -> &str {
        self.unmapped("operation").unwrap_or_default()
    }

    /// The refusal's code.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.unmapped("reason")
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> Option<u16> {
        self.0["status_code"].as_str()?.parse().ok()
    }

    /// The vendor's status.
    pub(crate) fn upstream_status(&self) -> Option<u64> {
        self.0["unmapped"]["upstream"]["status"].as_u64()
    }
}

/// The file, and what was read of it.
pub(crate) struct AuditFile {
    path: PathBuf,
    read: Mutex<(u64, Vec<Record>)>,
}

impl AuditFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::default(),
        }
    }

    /// All records so far, those of the life cycle too.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.filtered(|_record| true)
    }

    /// The records of one request.
    pub(crate) fn of(&self, request_id: &str) -> Vec<Record> {
        self.filtered(|record| record.request_id() == Some(request_id))
    }

    /// The records of the request that its caller called so, in `x-request-id`.
    pub(crate) fn called(&self, caller_request_id: &str) -> Vec<Record> {
        self.filtered(|record| record.unmapped("caller_request_id") == Some(caller_request_id))
    }

    /// How many records there are of this event in the gateway's own life.
    pub(crate) fn events(&self, event: &str) -> usize {
        self.filtered(|record| record.unmapped("event") == Some(event))
            .len()
    }

    fn filtered(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        let mut read = self.read.lock().unwrap();
        let (offset, records) = &mut *read;
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(*offset)).unwrap();
            file.read_to_string(&mut text).unwrap();
        }
        // what comes after the last newline is still being written
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        *offset += u64::try_from(whole.len()).unwrap();
        records.extend(whole.lines().map(|line| {
            Record(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        }));
        records
            .iter()
            .filter(|record| wanted(record))
            .cloned()
            .collect()
    }
}
