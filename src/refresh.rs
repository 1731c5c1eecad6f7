//! A value that is good for a while: held, fetched anew in time, and never fetched twice at once.
//! What is fetched, how long it is good and what is logged is left to `credential` and `jwks`.
//!
//! One task has the [`Writer`]: it fetches, publishes what came of it, waits for the [`Cause`] of
//! the next fetch, and so on for ever. A failure takes nothing away: what is held stays, and the
//! fetch is tried again after pauses that grow. Requests have [`Reader`]s: they take the value of
//! the moment, wait for one that they can use, or force a fetch, which is granted every so often.
//! What is read from files is looked at again and again: [`until_news`].
//!
//! # Why a watch channel
//!
//! It is at once the cell (taking a value is a reference count), the wake-up (a request waits for
//! one that it can use) and the reason why any number of waiting requests cause one fetch: they
//! can only wait. No mutex, no herd, one writer.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::model::{Deadline, later, share};

/// How often, at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// What the pauses after failures grow to while a value is held.
    pub(crate) last_retry: Duration,
    /// Between two fetches that are forced.
    pub(crate) forced: Duration,
}

/// The first pause before a failed fetch is tried again. Each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest such pause while there is no value at all, since requests wait for it.
const LAST_RETRY_WITHOUT: Duration = Duration::from_secs(5);

/// Between two looks at files. Kubernetes takes up to a minute to bring a new one.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// What the writer publishes. Values and errors are cloned, so both are to be cheap to clone.
#[derive(Debug)]
pub(crate) struct State<V, E> {
    /// What the last successful fetch brought.
    pub(crate) held: Option<V>,
    /// Why the last fetch failed; `None` if it didn't.
    pub(crate) trouble: Option<E>,
    /// Fetches that brought a value.
    pub(crate) renewed: u64,
    /// Fetches that didn't.
    pub(crate) failed: u64,
    /// A fetch is under way, or is the next that the writer's task does.
    fetching: bool,
    /// When the next fetch is due.
    due: Instant,
    /// Before this, none is forced.
    forced_again: Instant,
}

impl<V, E> State<V, E> {
    /// Fetches that have ended, one way or the other.
    pub(crate) const fn ended(&self) -> u64 {
        self.renewed.saturating_add(self.failed)
    }

    /// Until the next fetch is due.
    pub(crate) fn retry_after(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }
}

/// The task's side. Dropping it ends the supply.
#[derive(Debug)]
pub(crate) struct Writer<V, E> {
    pace: Pace,
    state: watch::Sender<State<V, E>>,
    wanted: watch::Receiver<u64>,
    /// Failures since the last success.
    failures: u32,
}

/// The requests' side. Cloning is two reference counts; clones work from any thread's runtime.
#[derive(Clone, Debug)]
pub(crate) struct Reader<V, E> {
    state: watch::Receiver<State<V, E>>,
    /// Asks for one fetch more than had ended.
    wanted: watch::Sender<u64>,
}

/// Why it is time for the next fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What is fetched has changed.
    Changed,
    /// It is due, by the value's life or after a failure's pause.
    Due,
    /// A reader asked for it.
    Forced,
}

/// Reads files again and again until there is news in them: in their text, not their time, since
/// a mounted file changes by a symlink that is put in the place of another. One that can't be read
/// is the next fetch's trouble.
pub(crate) async fn until_news<T, E, F>(read: impl Fn() -> F, is_news: impl Fn(&T) -> bool)
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        sleep(LOOK).await;
        if read().await.is_ok_and(|found| is_news(&found)) {
            return;
        }
    }
}

/// The two sides. The first fetch is due at once.
pub(crate) fn channel<V, E>(pace: Pace) -> (Writer<V, E>, Reader<V, E>) {
    let now = Instant::now();
    let state = watch::Sender::new(State {
        held: None,
        trouble: None,
        renewed: 0,
        failed: 0,
        fetching: true,
        due: now,
        forced_again: now,
    });
    let wanted = watch::Sender::new(0);
    let reader = Reader {
        state: state.subscribe(),
        wanted: wanted.clone(),
    };
    let writer = Writer {
        pace,
        state,
        wanted: wanted.subscribe(),
        failures: 0,
    };
    (writer, reader)
}

impl<V, E> Writer<V, E> {
    /// What was published last.
    pub(crate) fn state(&self) -> watch::Ref<'_, State<V, E>> {
        self.state.borrow()
    }

    /// Goes on with what another holds, until a fetch brings something newer.
    pub(crate) fn go_on_from(&self, other: &Reader<V, E>)
    where
        V: Clone,
    {
        let other = other.state();
        self.state.send_modify(|state| {
            state.held.clone_from(&other.held);
            state.renewed = other.renewed;
            state.failed = other.failed;
        });
    }

    /// Publishes what a fetch brought. The next one is due then.
    pub(crate) fn hold(&mut self, value: V, due: Instant) {
        self.failures = 0;
        self.state.send_modify(|state| {
            state.fetching = false;
            state.held = Some(value);
            state.trouble = None;
            state.renewed = state.renewed.saturating_add(1);
            state.due = due;
        });
    }

    /// Publishes that a fetch failed. What is held stays as it is.
    pub(crate) fn fail(&mut self, error: E) {
        let held = self.state().held.is_some();
        let last = if held {
            self.pace.last_retry
        } else {
            LAST_RETRY_WITHOUT
        };
        let pause = last.min(FIRST_RETRY.saturating_mul(1 << self.failures.min(8)));
        self.failures = self.failures.saturating_add(1);
        self.state.send_modify(|state| {
            state.fetching = false;
            state.trouble = Some(error);
            state.failed = state.failed.saturating_add(1);
            state.due = later(Instant::now(), share(pause, 0.9, 1.1));
        });
    }

    /// Waits until the next fetch is due, is forced, or `changed` ends.
    pub(crate) async fn next(&mut self, changed: impl Future<Output = ()>) -> Cause {
        let due = self.state().due;
        let ended = self.state().ended();
        let cause = tokio::select! {
            () = sleep_until(due) => Cause::Due,
            () = changed => Cause::Changed,
            Ok(_) = self.wanted.wait_for(|wanted| *wanted > ended) => Cause::Forced,
        };
        self.state.send_modify(|state| {
            // both in one, or who asks in between would be told that no fetch is to come
            state.fetching = true;
            if cause == Cause::Forced {
                state.forced_again = later(Instant::now(), self.pace.forced);
            }
        });
        cause
    }
}

impl<V, E> Reader<V, E> {
    /// How things stand.
    pub(crate) fn state(&self) -> watch::Ref<'_, State<V, E>> {
        self.state.borrow()
    }

    /// What `found` finds in the state, as soon as it does; `None` once the writer is gone.
    pub(crate) async fn wait<T>(&self, found: impl Fn(&State<V, E>) -> Option<T>) -> Option<T> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| found(state).is_some()).await.ok()?;
        found(&state)
    }

    /// What `found` finds in the state, now or by the deadline.
    pub(crate) async fn find<T>(
        &self,
        deadline: Deadline,
        found: impl Fn(&State<V, E>) -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = found(&self.state()) {
            return Some(found);
        }
        deadline.run(self.wait(found)).await.ok().flatten()
    }

    /// What `found` finds once more fetches than `ended` have, if that is by the deadline.
    pub(crate) async fn after<T>(
        &self,
        ended: u64,
        deadline: Deadline,
        found: impl Fn(&State<V, E>) -> Option<T>,
    ) -> Option<T> {
        let found = |state: &State<V, E>| (state.ended() > ended).then(|| found(state));
        self.find(deadline, found).await.flatten()
    }

    /// Forces a fetch, for a reason that was seen in `now`. Says whether one is to come: it is if
    /// one is under way, and it isn't if one was forced just before.
    ///
    /// A wish is void once another fetch has ended. So whatever its reader saw in `now`, be it that
    /// its value is the newest or that there is no trouble, is still so when the wish is granted,
    /// and the writer need not look again.
    pub(crate) fn force(&self, now: &State<V, E>) -> bool {
        let may_be_forced = !now.fetching && Instant::now() >= now.forced_again;
        if may_be_forced {
            let next = now.ended().saturating_add(1);
            self.wanted.send_modify(|most| *most = next.max(*most));
        }
        may_be_forced || now.fetching
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const PACE: Pace = Pace {
        last_retry: Duration::from_secs(60),
        forced: Duration::from_secs(30),
    };

    fn hold(writer: &mut Writer<u32, u32>, value: u32) {
        writer.hold(value, later(Instant::now(), HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_while_a_forced_fetch_begins_is_told_that_one_is_to_come() {
        let (mut writer, reader) = channel(PACE);
        hold(&mut writer, 1);
        assert!(reader.force(&reader.state()));
        assert_eq!(writer.next(pending()).await, Cause::Forced);
        assert!(reader.force(&reader.state()));
        hold(&mut writer, 2);
        assert!(!reader.force(&reader.state()), "30 s are not over");
        let forced = Instant::now();
        assert_eq!(writer.next(pending()).await, Cause::Due);
        assert_eq!(forced.elapsed().as_secs(), HOUR.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_ends_in_between_is_the_one_that_was_asked_for() {
        let (mut writer, reader) = channel(PACE);
        hold(&mut writer, 1);
        assert_eq!(writer.next(async {}).await, Cause::Changed);
        hold(&mut writer, 2);
        let seen = reader.state();
        assert!(reader.force(&seen));
        drop(seen);
        writer.fail(0);
        assert_eq!(writer.next(pending()).await, Cause::Due);
    }

    #[tokio::test(start_paused = true)]
    async fn without_readers_fetches_go_on() {
        let (mut writer, reader) = channel(PACE);
        drop(reader);
        hold(&mut writer, 1);
        assert_eq!(writer.next(pending()).await, Cause::Due);
    }
}
