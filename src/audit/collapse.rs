//! A flood of equal refusals fills no disk, and drowns nothing: beyond so many a second they
//! share one record, which says how many they were and from when to when.
//!
//! Equal are refusals of the same operation for the same reason to the same caller from the same
//! address for the same email. What else they say and don't have in common, the shared record
//! leaves out. No other record is ever touched, and nobody waits for one that is shared.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    mem,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::ocsf::{Form, Repeats};
use crate::{
    event::{Event, Peer},
    model::CallerName,
    route::Operation,
};

/// In which time equal refusals are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// So many different refusals are counted in it. More can't be a flood of few.
const MOST_KEYS: usize = 65_536;

/// Counts refusals.
pub(super) struct Collapser {
    /// So many of a kind have records of their own; 0: all.
    alone: AtomicU32,
    hasher: RandomState,
    state: Mutex<State>,
}

struct State {
    /// When the second began that is being counted.
    began: Instant,
    seen: HashMap<u64, Seen>,
    /// What is to be written of the seconds before.
    due: Vec<Held>,
    /// Somebody will write what is held of this second.
    promised: bool,
}

#[derive(Default)]
struct Seen {
    count: u32,
    held: Option<Held>,
}

/// Refusals that share a record.
pub(super) struct Held {
    operation: Operation,
    event: Event,
    repeats: Repeats,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has a record of its own.
    Alone,
    /// It shares one, which whoever is told a time must write then.
    Shared { written_at: Option<Instant> },
}

impl Collapser {
    pub(super) fn new(alone: Option<NonZeroU32>) -> Self {
        Self {
            alone: AtomicU32::new(number(alone)),
            hasher: RandomState::new(),
            state: Mutex::new(State {
                began: Instant::now(),
                seen: HashMap::new(),
                due: Vec::new(),
                promised: false,
            }),
        }
    }

    /// Goes by another number from here on. What is held stays so until its second is over.
    pub(super) fn follow(&self, alone: Option<NonZeroU32>) {
        self.alone.store(number(alone), Ordering::Relaxed);
    }

    /// Counts a refusal.
    pub(super) fn take(&self, event: &Event) -> Taken {
        self.take_at(event, Instant::now())
    }

    fn take_at(&self, event: &Event, now: Instant) -> Taken {
        let alone = NonZeroU32::new(self.alone.load(Ordering::Relaxed));
        let (Some(alone), Some(operation)) = (alone, event.operation) else {
            return Taken::Alone;
        };
        let key = self.hasher.hash_one(kind(event, operation));
        let mut state = self.lock();
        if now.saturating_duration_since(state.began) >= WINDOW {
            state.turn();
            state.began = now;
        }
        if state.seen.len() >= MOST_KEYS && !state.seen.contains_key(&key) {
            return Taken::Alone;
        }
        let seen = state.seen.entry(key).or_default();
        if seen.count < alone.get() {
            seen.count = seen.count.saturating_add(1);
            return Taken::Alone;
        }
        match &mut seen.held {
            Some(held) if kind(&held.event, held.operation) == kind(event, operation) => {
                held.add(event);
            }
            // two kinds of one hash
            Some(_) => return Taken::Alone,
            none => *none = Some(Held::new(operation, event)),
        }
        let promised = mem::replace(&mut state.promised, true);
        let end = state.began.checked_add(WINDOW).filter(|_| !promised);
        Taken::Shared { written_at: end }
    }

    /// What is to be written, of seconds that are over by `now`.
    pub(super) fn release(&self, now: Instant) -> Vec<Held> {
        let mut state = self.lock();
        if now.saturating_duration_since(state.began) >= WINDOW {
            state.turn();
            state.began = now;
        }
        mem::take(&mut state.due)
    }

    /// All that is to be written.
    pub(super) fn release_all(&self) -> Vec<Held> {
        let mut state = self.lock();
        state.turn();
        mem::take(&mut state.due)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 0: none.
fn number(alone: Option<NonZeroU32>) -> u32 {
    alone.map_or(0, NonZeroU32::get)
}

impl State {
    /// The second is over.
    fn turn(&mut self) {
        let held = self.seen.drain().filter_map(|(_, seen)| seen.held);
        self.due.extend(held);
        self.promised = false;
    }
}

impl Held {
    fn new(operation: Operation, event: &Event) -> Self {
        Self {
            operation,
            event: event.clone(),
            repeats: Repeats {
                count: 1,
                first: event.end(),
                last: event.end(),
            },
        }
    }

    /// One more. What it doesn't share goes.
    fn add(&mut self, event: &Event) {
        self.repeats.count = self.repeats.count.saturating_add(1);
        self.repeats.first = self.repeats.first.min(event.end());
        self.repeats.last = self.repeats.last.max(event.end());
        let common = &mut self.event;
        keep_common(&mut common.caller_request_id, &event.caller_request_id);
        keep_common(&mut common.tenant, &event.tenant);
        keep_common(&mut common.user, &event.user);
        keep_common(&mut common.login, &event.login);
        keep_common(&mut common.device, &event.device);
        keep_common(&mut common.limit, &event.limit);
        keep_common(&mut common.status, &event.status);
        match (&mut common.peer, event.peer) {
            (Peer::Tcp(common), Peer::Tcp(other)) if common.ip() == other.ip() => {
                if common.port() != other.port() {
                    common.set_port(0);
                }
            }
            // the users' address is the same, the way to here isn't
            (common, other) if *common != other => *common = Peer::Unix,
            (_, _) => {}
        }
    }

    /// Appends its record's body.
    pub(super) fn write(&self, form: &Form, out: &mut Vec<u8>) {
        if self.repeats.count == 1 {
            form.event(&self.event, self.operation, out);
        } else {
            form.repeated(&self.event, self.operation, self.repeats, out);
        }
    }
}

fn keep_common<T: PartialEq>(common: &mut Option<T>, other: &Option<T>) {
    if common != other {
        *common = None;
    }
}

/// What equal refusals have in common.
type Kind<'a> = (
    Operation,
    Option<&'static str>,
    Option<&'a CallerName>,
    Option<IpAddr>,
    Option<&'a str>,
);

fn kind(event: &Event, operation: Operation) -> Kind<'_> {
    let peer = match event.peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Unix => None,
    };
    (
        operation,
        event.reason,
        event.caller.as_ref(),
        event.client.or(peer),
        event.email.as_deref(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        audit::tests::event,
        event::Stage,
        model::{CallerName, RequestId, TenantId},
    };

    fn refusal(number: u64) -> Event {
        let mut refusal = event(Stage::Refused);
        let since_1970 = Duration::from_millis(number.saturating_add(1_700_000_000_000));
        refusal.start = SystemTime::UNIX_EPOCH.checked_add(since_1970).unwrap();
        refusal.duration = Duration::ZERO;
        refusal.request_id = RequestId::new();
        refusal
    }

    fn collapser(alone: u32) -> Collapser {
        Collapser::new(NonZeroU32::new(alone))
    }

    fn written(held: &Held) -> serde_json::Value {
        let form = Form::new();
        let mut body = br#"{"metadata":{"#.to_vec();
        held.write(&form, &mut body);
        body.extend_from_slice(b"}}");
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn so_many_a_second_have_their_own_record_and_the_others_share_one() {
        let (collapser, now) = (collapser(3), Instant::now());
        let take = |number| collapser.take_at(&refusal(number), now);
        let taken: Vec<_> = (0..10).map(take).collect();
        assert_eq!(taken[..3], [Taken::Alone; 3]);
        let Taken::Shared {
            written_at: Some(end),
        } = taken[3]
        else {
            panic!("{taken:?}");
        };
        // the first one makes the promise for all
        assert_eq!(taken[4..], [Taken::Shared { written_at: None }; 6]);
        assert!(collapser.release(now).is_empty());
        let held = collapser.release(end + WINDOW);
        assert_eq!(held.len(), 1);
        let record = written(&held[0]);
        assert_eq!(record["count"], 7);
        assert_eq!(record["start_time"], 1_700_000_000_003_u64);
        assert_eq!(record["end_time"], 1_700_000_000_009_u64);
        assert_eq!(record["time"], record["end_time"]);
        assert_eq!(record["unmapped"]["reason"], "rate-limited");
        assert_eq!(collapser.take_at(&refusal(0), end + WINDOW), Taken::Alone);
    }

    #[test]
    fn refusals_that_differ_in_what_counts_never_share_one() {
        let (collapser, now) = (collapser(1), Instant::now());
        let others: [fn(&mut Event); 5] = [
            |event| event.operation = Some(Operation::LoginVerify),
            |event| event.reason = Some("invalid-body"),
            |event| event.caller = Some(CallerName::new("another")),
            |event| event.client = "203.0.113.8".parse().ok(),
            |event| event.email = Some("email:another".into()),
        ];
        assert_eq!(collapser.take_at(&refusal(0), now), Taken::Alone);
        for change in others {
            let mut other = refusal(0);
            change(&mut other);
            assert_eq!(collapser.take_at(&other, now), Taken::Alone, "{other:?}");
        }
    }

    #[test]
    fn a_shared_record_says_only_what_all_of_them_say() {
        let (collapser, now) = (collapser(1), Instant::now());
        let (mut one, mut two) = (refusal(0), refusal(1));
        one.device = Some("device-1".into());
        (two.tenant, two.device) = (TenantId::parse("tenant-2").ok(), one.device.clone());
        two.peer = Peer::Tcp("127.0.0.1:41235".parse().unwrap());
        for event in [&one, &one, &two] {
            collapser.take_at(event, now);
        }
        let record = written(&collapser.release_all()[0]);
        assert_eq!(record["unmapped"].get("tenant"), None);
        assert_eq!(record["unmapped"]["device"], "device-1");
        assert_eq!(
            record["metadata"]["correlation_uid"],
            one.request_id.to_string()
        );
    }

    #[test]
    fn a_single_one_beyond_looks_as_if_nothing_were() {
        let (collapser, now) = (collapser(1), Instant::now());
        collapser.take_at(&refusal(0), now);
        collapser.take_at(&refusal(1), now);
        assert_eq!(written(&collapser.release_all()[0]).get("count"), None);
    }

    #[test]
    fn nothing_is_lost_when_a_second_turns_before_it_is_released() {
        let (collapser, now) = (collapser(1), Instant::now());
        for second in 0..3_u32 {
            let now = now + WINDOW * second;
            for _ in 0..5 {
                collapser.take_at(&refusal(0), now);
            }
        }
        let counts: Vec<_> = collapser
            .release_all()
            .iter()
            .map(|held| held.repeats.count)
            .collect();
        assert_eq!(counts, [4, 4, 4]);
    }

    #[test]
    fn zero_means_never() {
        let (collapser, now) = (Collapser::new(None), Instant::now());
        assert!((0..1000).all(|number| collapser.take_at(&refusal(number), now) == Taken::Alone));
    }
}
