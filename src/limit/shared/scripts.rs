//! What the shared store is told to do: its scripts, their arguments and answers.
//!
//! Each script is one step for the server, whatever else it is asked meanwhile. Times are the
//! server's, in microseconds.

use std::sync::Arc;

use redis::{RedisError, RedisResult, Script, ScriptInvocation, aio::ConnectionLike};

use crate::limit::gcra::{MOST_QUOTAS, Rate};

/// A call that may be made twice is remembered for so many milliseconds: longer than a cluster's
/// client goes on trying, whose time-out is 2 s.
const REMEMBERED: u64 = 10_000;

/// The scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    charge: Script,
    give_back: Script,
    pause: Script,
    standing: Script,
}

/// One limit's part of a charge.
#[derive(Clone, Debug)]
pub(in crate::limit) struct Ask {
    pub(in crate::limit) name: String,
    /// Where it is told that the key was forgiven, if it can be.
    pub(in crate::limit) generation: Option<String>,
    /// Whether a pause stands in for it.
    pub(in crate::limit) unless_paused: bool,
    pub(in crate::limit) enforce: bool,
    pub(in crate::limit) rates: Arc<[Rate]>,
}

/// The pause that may hold for an attempt.
#[derive(Clone, Debug)]
pub(in crate::limit) struct Pause {
    pub(in crate::limit) name: String,
    pub(in crate::limit) enforce: bool,
}

/// What one limit said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) enum Said {
    /// Nothing: a pause stood in for it.
    Skipped,
    Yes,
    /// No, but it only observes.
    Observed,
    No,
}

/// One limit's part of an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::limit) struct Answer {
    pub(in crate::limit) said: Said,
    /// When it was charged, by the store's clock, in microseconds since 1970.
    pub(in crate::limit) at: u64,
    pub(in crate::limit) life: u64,
    pub(in crate::limit) times: [u64; MOST_QUOTAS],
}

impl Answer {
    pub(super) const SKIPPED: Self = Self {
        said: Said::Skipped,
        at: 0,
        life: 0,
        times: [0; MOST_QUOTAS],
    };
}

/// What became of a charge.
#[derive(Clone, Debug, Default)]
pub(in crate::limit) struct Charged {
    /// How long the pause still lasts, in milliseconds; 0 where there is none.
    pub(in crate::limit) paused: u64,
    /// How long whoever was refused has to wait.
    pub(in crate::limit) wait: u64,
    /// By limit, in their order, up to the one that refused.
    pub(in crate::limit) answers: Vec<Answer>,
}

impl Charged {
    /// Whether one of the limits said no.
    pub(super) fn is_refused(&self) -> bool {
        self.answers.iter().any(|answer| answer.said == Said::No)
    }
}

/// What was taken from one limit.
#[derive(Clone, Debug)]
pub(in crate::limit) struct Receipt {
    pub(in crate::limit) name: String,
    pub(in crate::limit) at: u64,
    pub(in crate::limit) life: u64,
    pub(in crate::limit) times: [u64; MOST_QUOTAS],
    pub(in crate::limit) rates: Arc<[Rate]>,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let common = include_str!("common.lua");
        #[cfg(test)]
        let common = tests::on_a_test_clock(common);
        let with_common = |script| Script::new(&format!("{common}\n{script}"));
        Self {
            charge: with_common(include_str!("charge.lua")),
            give_back: with_common(include_str!("give_back.lua")),
            pause: Script::new(include_str!("pause.lua")),
            standing: with_common(include_str!("standing.lua")),
        }
    }

    /// Charges one attempt to all of `asks`, or to none. `new_life` is a number below 2^52 that no
    /// other charge has.
    pub(super) async fn charge(
        &self,
        connection: &mut impl ConnectionLike,
        pause: Option<&Pause>,
        asks: &[Ask],
        new_life: u64,
    ) -> RedisResult<Charged> {
        let mut call = self.charge.arg(new_life);
        call.arg(match pause {
            None => "",
            Some(pause) if pause.enforce => "enforce",
            Some(_) => "observe",
        });
        if let Some(pause) = pause {
            call.key(&pause.name);
        }
        for ask in asks {
            call.key(&ask.name)
                .arg(if ask.enforce { "enforce" } else { "observe" })
                .arg(u8::from(ask.unless_paused))
                .arg(u8::from(ask.generation.is_some()));
            if let Some(generation) = &ask.generation {
                call.key(generation);
            }
            add_quotas(&mut call, &ask.rates);
        }
        let answer: Vec<u64> = call.invoke_async(connection).await?;
        read_charged(&answer, asks).ok_or_else(garbled)
    }

    /// Takes back what of an attempt still weighs; once for each `id`, a number that no other call
    /// has, as a cluster's client makes a call again whose answer was lost.
    pub(super) async fn give_back(
        &self,
        connection: &mut impl ConnectionLike,
        receipts: &[Receipt],
        id: u64,
    ) -> RedisResult<()> {
        let Some(first) = receipts.first() else {
            return Ok(());
        };
        // the limit's name has it in the same place of a cluster
        let mut call = self.give_back.key(format!("{}:back:{id:x}", first.name));
        call.arg(REMEMBERED).arg(first.at);
        for receipt in receipts {
            call.key(&receipt.name)
                .arg(receipt.life)
                .arg(receipt.rates.len());
            for (rate, time) in receipt.rates.iter().zip(receipt.times) {
                let [period, interval, _full] = micros(rate);
                call.arg(period).arg(interval).arg(time);
            }
        }
        call.invoke_async(connection).await
    }

    /// Now, and the times of one key.
    pub(super) async fn standing(
        &self,
        connection: &mut impl ConnectionLike,
        name: &str,
        rates: &[Rate],
    ) -> RedisResult<(u64, [u64; MOST_QUOTAS])> {
        let mut call = self.standing.key(name);
        add_quotas(&mut call, rates);
        let answer: Vec<u64> = call.invoke_async(connection).await?;
        let (now, times) = answer.split_first().ok_or_else(garbled)?;
        Ok((*now, read_times(times)))
    }

    /// Pauses what `name` stands for, for at least so many milliseconds.
    pub(super) async fn pause(
        &self,
        connection: &mut impl ConnectionLike,
        name: &str,
        millis: u64,
    ) -> RedisResult<()> {
        let mut call = self.pause.key(name);
        call.arg(millis).invoke_async(connection).await
    }
}

fn add_quotas(call: &mut ScriptInvocation<'_>, rates: &[Rate]) {
    call.arg(rates.len());
    for number in rates.iter().flat_map(micros) {
        call.arg(number);
    }
}

/// Period, weight of one attempt, weight of all.
fn micros(rate: &Rate) -> [u64; 3] {
    let period = u64::try_from(rate.quota.per().as_micros()).unwrap_or(u64::MAX);
    // a Lua number holds no more exactly, and no period that can be configured comes near it
    [
        period.min(1 << 52),
        rate.interval / 1_000,
        rate.full / 1_000,
    ]
}

fn read_charged(answer: &[u64], asks: &[Ask]) -> Option<Charged> {
    let [now, paused, wait, rest @ ..] = answer else {
        return None;
    };
    let mut charged = Charged {
        paused: *paused,
        wait: *wait,
        answers: Vec::with_capacity(asks.len()),
    };
    let mut rest = rest;
    for ask in asks {
        let [said, life, more @ ..] = rest else {
            break;
        };
        let (times, more) = more.split_at_checked(ask.rates.len())?;
        rest = more;
        charged.answers.push(Answer {
            said: match said {
                0 => Said::Skipped,
                1 => Said::Yes,
                2 => Said::Observed,
                _refused => Said::No,
            },
            at: *now,
            life: *life,
            times: read_times(times),
        });
    }
    rest.is_empty().then_some(charged)
}

fn read_times(from: &[u64]) -> [u64; MOST_QUOTAS] {
    let mut times = [0; MOST_QUOTAS];
    for (to, from) in times.iter_mut().zip(from) {
        *to = *from;
    }
    times
}

fn garbled() -> RedisError {
    (
        redis::ErrorKind::UnexpectedReturnType,
        "the script's answer can't be read",
    )
        .into()
}

#[cfg(test)]
mod tests {
    /// The server's clock can't be turned, so a test's scripts read the time from a key, where the
    /// test has set one; and keys live on while real time passes and the test's doesn't.
    pub(super) fn on_a_test_clock(common: &str) -> String {
        const TIME: &str = "local time = redis.call('TIME')";
        const TEST: &str = "local time = redis.call('GET', 'test-clock')
            if time then return tonumber(time) end
            time = redis.call('TIME')";
        common
            .replace(TIME, TEST)
            .replace("local SPARE = 1000", "local SPARE = 3600000")
    }
}
