//! One limit: its quotas, what it does, and where it counts.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    Limit, LimitsError,
    gcra::{MOST_QUOTAS, Rate},
    key::Key,
    room::Room,
    table::{Carry, Table, Taken, small_table, table},
};
use crate::{
    config::{self, Mode},
    model::whole_seconds,
};

/// One limit. Clones count together.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) limit: Limit,
    pub(super) mode: Mode,
    /// The shortest period first; empty: the limit is off.
    pub(super) rates: Arc<[Rate]>,
    /// The quotas as `RateLimit-Policy` tells them; `None` where the limit is off.
    pub(super) announced: Option<HeaderValue>,
    pub(super) table: Arc<dyn Table>,
}

impl Policy {
    /// A limit of many keys.
    pub(super) fn new(
        limit: Limit,
        settings: &config::Policy,
        room: &Arc<Room>,
    ) -> Result<Self, LimitsError> {
        let rates = rates(limit, settings)?;
        Ok(Self {
            limit,
            mode: settings.mode,
            table: table(rates.len(), room),
            announced: announced(limit, &rates),
            rates,
        })
    }

    /// A limit of one key.
    pub(super) fn of_one(limit: Limit, settings: &config::Policy) -> Result<Self, LimitsError> {
        let rates = rates(limit, settings)?;
        Ok(Self {
            limit,
            mode: settings.mode,
            announced: announced(limit, &rates),
            rates,
            table: small_table(&Arc::new(Room::new(usize::MAX))),
        })
    }

    /// This limit with other settings, and what it has counted so far.
    ///
    /// Where only numbers of attempts change, both count in the same table. Where periods do, the
    /// counts are copied, each to the quota whose period is nearest; attempts that the old limit
    /// admits between that and its end are not carried over.
    pub(super) fn reload(&self, settings: &config::Policy, now: u64) -> Result<Self, LimitsError> {
        let rates = rates(self.limit, settings)?;
        let table = if periods(&self.rates).eq(periods(&rates)) {
            Arc::clone(&self.table)
        } else {
            self.table.carried_over(&carry(&self.rates, &rates), now)
        };
        Ok(Self {
            limit: self.limit,
            mode: settings.mode,
            announced: announced(self.limit, &rates),
            rates,
            table,
        })
    }

    /// Charges one attempt to `key`.
    ///
    /// # Errors
    /// How long until it would be admitted.
    pub(super) fn charge(&self, key: Key, now: u64) -> Result<Taken, Duration> {
        self.table.charge(key, &self.rates, now)
    }

    pub(super) fn give_back(&self, key: Key, taken: &Taken, now: u64) {
        self.table.give_back(key, taken, &self.rates, now);
    }
}

fn rates(limit: Limit, settings: &config::Policy) -> Result<Arc<[Rate]>, LimitsError> {
    if settings.quotas.len() > MOST_QUOTAS {
        return Err(LimitsError::Quotas(limit));
    }
    let mut rates: Vec<_> = settings.quotas.iter().copied().map(Rate::new).collect();
    rates.sort_by_key(|rate| (rate.quota.per(), rate.quota.attempts()));
    // of two with one period the one with fewer attempts never lets through what the other refuses
    rates.dedup_by_key(|rate| rate.quota.per());
    Ok(rates.into())
}

/// draft-ietf-httpapi-ratelimit-headers: periods in whole seconds, rounded up.
fn announced(limit: Limit, rates: &[Rate]) -> Option<HeaderValue> {
    let each = rates.iter().map(|rate| {
        let (attempts, window) = (rate.quota.attempts(), whole_seconds(rate.quota.per()));
        format!("\"{}\";q={attempts};w={window}", limit.as_str())
    });
    let text = each.collect::<Vec<_>>().join(", ");
    // names and numbers are always a header's value
    HeaderValue::try_from(text)
        .ok()
        .filter(|text| !text.is_empty())
}

fn periods(rates: &[Rate]) -> impl Iterator<Item = Duration> {
    rates.iter().map(|rate| rate.quota.per())
}

/// Each new quota takes the time of the old one whose period is nearest.
fn carry(old: &[Rate], new: &[Rate]) -> Carry {
    let nearest = |period: Duration| {
        periods(old)
            .enumerate()
            .min_by_key(|(_index, other)| other.abs_diff(period))
            .map_or(0, |(index, _period)| index)
    };
    let moves = new
        .iter()
        .map(|rate| (nearest(rate.quota.per()), rate.full));
    Carry {
        moves: moves.collect(),
    }
}
