//! What does the log say about somebody, or about a request?
//!
//! The two records of a request that went to the vendor are found together; of one that has no
//! second, that is said: the gateway was killed, or the request is still under way. Nothing is
//! verified here.

mod follow;
mod query;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use follow::Follow;
pub use query::Query;
pub use record::Record;

use super::read::{Input, Progress, ReadError, in_order};

/// What was found: a request, or something that happened to the gateway itself.
#[derive(Debug)]
pub struct Hit {
    /// The record of its being let through, where it was and that record is here.
    pub admitted: Option<Record>,
    /// The record of its end.
    pub ended: Option<Record>,
}

impl Hit {
    /// The record that says most: that of the end, else the other.
    #[must_use]
    pub fn latest(&self) -> Option<&Record> {
        self.ended.as_ref().or(self.admitted.as_ref())
    }

    /// Both, as far as they are here, the earlier first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.admitted.iter().chain(&self.ended)
    }
}

/// Gives everything that `query` asks for to `tell`, by its end; what has none comes last. Ends
/// early where `tell` fails.
///
/// # Errors
/// [`ReadError`] where an input can't be read, or what `tell` says.
pub fn search<E: From<ReadError>>(
    inputs: &[Input],
    query: &Query,
    mut tell: impl FnMut(&Hit) -> Result<(), E>,
) -> Result<(), E> {
    let progress = Progress::default();
    let mut open: HashMap<String, Record> = HashMap::new();
    for mut file in in_order(inputs, &progress)? {
        let mut lines = file.lines(&progress)?;
        loop {
            let text = lines.next().map_err(|cause| ReadError {
                input: file.input.clone(),
                cause,
            })?;
            let Some(text) = text else { break };
            let candidate = Some(text.bytes).filter(|text| query.may_want(text));
            let Some(record) = candidate.and_then(Record::parse) else {
                continue;
            };
            if !query.wants(&record) {
                continue;
            }
            let id = record.request_id().unwrap_or_default().to_owned();
            if record.is_admitted() {
                open.insert(id, record);
                continue;
            }
            let found = Hit {
                admitted: open.remove(&id),
                ended: Some(record),
            };
            if query.wants_end(&found) {
                tell(&found)?;
            }
        }
    }
    let mut endless: Vec<_> = open.into_values().collect();
    endless.sort_by_key(|record| (record.time(), record.sequence()));
    for record in endless {
        let found = Hit {
            admitted: Some(record),
            ended: None,
        };
        if query.wants_end(&found) {
            tell(&found)?;
        }
    }
    Ok(())
}

/// Gives all records to `tell`, in their order; those of one input as they come.
///
/// # Errors
/// [`ReadError`] where it can't be read, or what `tell` says.
pub fn records<E: From<ReadError>>(
    inputs: &[Input],
    mut tell: impl FnMut(Record) -> Result<(), E>,
) -> Result<(), E> {
    let progress = Progress::default();
    for mut file in in_order(inputs, &progress)? {
        let mut lines = file.lines(&progress)?;
        while let Some(text) = lines.next().map_err(|cause| ReadError {
            input: file.input.clone(),
            cause,
        })? {
            if let Some(record) = Record::parse(text.bytes) {
                tell(record)?;
            }
        }
    }
    Ok(())
}
