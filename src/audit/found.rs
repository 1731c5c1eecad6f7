//! What a start finds: the outputs, and the chain that goes on.

use uuid::Uuid;

use super::{
    OpenError,
    chain::Link,
    keys::Keyring,
    slot::Slot,
    target::{Opened, Rules, Target},
};
use crate::config::{Audit as Config, OnFailure};

/// What the outputs were found to hold.
pub(super) struct Found {
    pub(super) slots: Vec<Slot>,
    /// The chain that goes on, and after which record.
    pub(super) chain: String,
    pub(super) tip: Link,
    /// Where an unfinished last line was moved.
    pub(super) torn: Option<String>,
}

impl Found {
    /// Opens the outputs and looks at what they hold.
    pub(super) fn open(config: &Config, keys: &Keyring) -> Result<Self, OpenError> {
        let mut opened = Vec::new();
        let mut failed = None;
        for output in &config.outputs {
            match Target::open(output, Rules::of(config)) {
                Ok(found) => {
                    if !found.tail.may_hold(keys) {
                        tracing::error!(output = %output.name().display(), "the last audit record was changed after it was written; the chain goes on after it");
                    }
                    opened.push(Some(found));
                }
                Err(cause) => {
                    tracing::error!(output = %output.name().display(), error = %cause, "audit output can't be opened; it is tried again");
                    opened.push(None);
                    let output = output.name().to_owned();
                    failed = Some(OpenError::NoOutput { output, cause });
                }
            }
        }
        if let Some(error) = failed
            && config.on_failure == OnFailure::Deny
            && opened.iter().all(Option::is_none)
        {
            return Err(error);
        }
        Ok(Self::of(opened))
    }

    /// Goes on with the longest chain.
    fn of(opened: Vec<Option<Opened>>) -> Self {
        let last = |found: &Opened| Some((found.tail.last()?, found.chain.clone()));
        let ends = opened.iter().flatten().filter_map(last);
        let longest = ends.max_by_key(|(link, _)| link.sequence);
        let (tip, chain) = longest.unwrap_or((Link::START, None));
        let chain = chain.unwrap_or_else(|| Uuid::now_v7().to_string());
        let mut torn = None;
        let mut slots = Vec::new();
        for found in opened {
            let Some(found) = found else {
                slots.push(Slot::new(None, tip));
                continue;
            };
            torn = torn.or_else(|| found.torn.clone());
            let same = found.chain.as_ref() == Some(&chain);
            let cursor = found.tail.last().filter(|_| same).unwrap_or(tip);
            slots.push(Slot::new(Some(found.for_chain(&chain)), cursor));
        }
        Self {
            slots,
            chain,
            tip,
            torn,
        }
    }
}
