//! Follows the chains line by line.

use super::{
    Chain, Expected, Report,
    damage::{Bad, Damage},
    doubt::{Doubt, Search, number_of},
};
use crate::audit::{
    chain::{self, DIGITS, Line, Link, Remains},
    keys::Keyring,
    read::{Input, Text},
};

/// So many bad lines in a row say enough.
const MOST_DOUBTS: usize = 64;

pub(super) struct Verifier<'a> {
    keys: &'a Keyring,
    expected: Option<&'a Expected>,
    /// The expected record was there.
    met: bool,
    chains: Vec<Chain>,
    /// Which of them the last record was of.
    current: usize,
    foreign: u64,
    /// What is being read.
    input: Input,
    /// Nothing good has come of it yet.
    fresh: bool,
    /// The hashes of the headers so far.
    headers: Vec<[u8; DIGITS]>,
    doubts: Vec<Doubt>,
    /// Something is missing; it is looked for in what comes after.
    search: Option<Search>,
    bad: Option<Bad>,
}

impl<'a> Verifier<'a> {
    pub(super) const fn new(keys: &'a Keyring, expected: Option<&'a Expected>) -> Self {
        Self {
            keys,
            expected,
            met: expected.is_none(),
            chains: Vec::new(),
            current: 0,
            foreign: 0,
            input: Input::Stdin,
            fresh: true,
            headers: Vec::new(),
            doubts: Vec::new(),
            search: None,
            bad: None,
        }
    }

    /// What comes next is of this input.
    pub(super) fn begin(&mut self, input: &Input) {
        if self.search.as_ref().is_some_and(Search::ends_with_input) {
            self.bad = self.search.take().map(Search::in_vain);
        }
        self.pass_over_set_aside();
        self.input = input.clone();
        self.fresh = true;
    }

    /// Nothing that comes could change what is known.
    pub(super) const fn is_decided(&self) -> bool {
        self.bad.is_some()
    }

    /// Takes the next line.
    pub(super) fn line(&mut self, text: &Text<'_>) {
        if self.is_decided() {
            return;
        }
        let line = Line::parse(text.bytes);
        if let Some(search) = &self.search {
            let holds = |line: &Line<'_>| matches!(self.judge(line), Verdict::Good);
            let found = line.filter(|line| search.is_for(line, text.bytes) && holds(line));
            if found.is_some() {
                let search = self.search.take();
                self.bad = search.map(|search| search.found(&self.input, text.number));
            }
            return;
        }
        if let Some(line) = line.filter(|line| line.seal.is_some()) {
            self.ours(&line, text);
        } else if let Some(remains) = Remains::of(text.bytes) {
            let bad = self.bad(
                Damage::Changed,
                None,
                text,
                "it is no whole record any more",
            );
            self.doubt(Doubt::remains(bad, text, remains));
        } else {
            self.foreign = self.foreign.saturating_add(1);
        }
    }

    /// A compressed input can't be read on.
    pub(super) fn cut(&mut self, error: &std::io::Error) {
        let damage = if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Damage::CutOff
        } else {
            Damage::Changed
        };
        self.decide(Bad {
            damage,
            input: Some(self.input.clone()),
            line: 0,
            sequence: None,
            time: None,
            detail: format!("it can't be unpacked any further: {error}"),
        });
    }

    /// What was found.
    pub(super) fn report(mut self, inputs: Vec<Input>) -> Report {
        if let Some(search) = self.search.take() {
            self.bad = Some(search.in_vain());
        }
        self.pass_over_set_aside();
        if self.bad.is_none() && !self.doubts.is_empty() {
            self.bad = Some(self.doubts.swap_remove(0).alone());
        }
        if self.bad.is_none()
            && !self.met
            && let Some(expected) = self.expected
        {
            self.bad = Some(expected.missing(&self.chains, inputs.last()));
        }
        Report {
            inputs,
            chains: self.chains,
            foreign: self.foreign,
            bad: self.bad,
        }
    }

    /// A file that holds nothing but an unfinished line is what a start set aside.
    fn pass_over_set_aside(&mut self) {
        if self.fresh {
            let before = self.doubts.len();
            self.doubts.retain(|doubt| !doubt.is_torn(&self.input));
            let torn = before.saturating_sub(self.doubts.len());
            let torn = u64::try_from(torn).unwrap_or_default();
            self.foreign = self.foreign.saturating_add(torn);
        }
    }

    fn ours(&mut self, line: &Line<'_>, text: &Text<'_>) {
        match self.judge(line) {
            Verdict::Good => {
                if line.header {
                    self.header(line, text);
                } else {
                    self.record(line, text);
                }
                self.fresh = false;
            }
            Verdict::OtherKey => {
                let id = line.seal.map_or("", |seal| seal.key_id).escape_debug();
                let detail = format!(
                    "it was written with the key {id}, which isn't among those given: name its file with --key-file"
                );
                self.decide(self.bad(Damage::WrongKey, Some(line), text, detail));
            }
            Verdict::Bad => {
                let detail = "its hash is that of other bytes";
                let bad = self.bad(Damage::Changed, Some(line), text, detail);
                let needed = line.header || self.is_first_of_a_file(text);
                self.doubt(Doubt::line(bad, needed));
            }
        }
    }

    fn judge(&self, line: &Line<'_>) -> Verdict {
        let Some(seal) = line.seal else {
            return Verdict::Bad;
        };
        let mut known = self.keys.with_id(seal.key_id).peekable();
        if known.peek().is_some() && known.any(|keys| seal.holds(keys)) {
            return Verdict::Good;
        }
        let mut ids = self.keys.iter().map(|keys| keys.id.as_str());
        if ids.any(|id| id == seal.key_id) || self.keys.iter().any(|keys| seal.was_of(keys)) {
            return Verdict::Bad;
        }
        Verdict::OtherKey
    }

    /// Whether it stands where a file of ours has its header. A log driver cuts its files
    /// anywhere, and whoever uses a pipe may too.
    fn is_first_of_a_file(&self, text: &Text<'_>) -> bool {
        self.fresh && !text.wrapped && self.input != Input::Stdin
    }

    /// A header whose hash holds.
    fn header(&mut self, line: &Line<'_>, text: &Text<'_>) {
        let (place, missed) = (line.before(), chain::missed_of(text.bytes));
        let output = chain::output_of(text.bytes);
        let name = chain::chain_of(text.bytes);
        let hash = line.seal.map_or(Link::START.hash, |seal| seal.hash);
        let named = |chain: &Chain| chain.name.is_some() && chain.name.as_deref() == name;
        // a log driver's file may have begun without saying which chain it is
        let unnamed = |chain: &Chain| chain.name.is_none() && chain.link == place;
        let known = self.chains.iter().position(named);
        let index = known.or_else(|| self.chains.iter().position(unnamed));
        if self.headers.contains(&hash) {
            let detail = "it is a copy of an earlier header";
            return self.decide(self.bad(Damage::Inserted, Some(line), text, detail));
        }
        let Some((index, chain)) =
            index.and_then(|index| Some((index, self.chains.get_mut(index)?)))
        else {
            if self.doubts.is_empty() {
                self.current = self.chains.len();
                let mut chain = Chain::after(place, name);
                chain.output = output.map(str::to_owned);
                self.chains.push(chain);
                self.headers.push(hash);
            } else {
                self.decide_doubts();
            }
            return self.meet(place);
        };
        // SECURITY: what another output missed says nothing of what is missing here
        if missed > 0
            && let (Some(own), Some(other)) = (&chain.output, output)
            && own != other
        {
            let detail = format!("this header is of the output {other}, and the log of {own}");
            return self.decide(self.bad(Damage::Inserted, Some(line), text, detail));
        }
        let next = chain.link.sequence.saturating_add(missed);
        if next == place.sequence && (missed > 0 || chain.link == place) {
            chain.name = name.map(str::to_owned);
            chain.output = chain.output.take().or_else(|| output.map(str::to_owned));
            chain.missed = chain.missed.saturating_add(missed);
            chain.link = place;
            self.current = index;
            self.headers.push(hash);
        } else if next > place.sequence {
            let detail = format!("this header belongs after record {}", place.sequence);
            self.decide(self.bad(Damage::Moved, Some(line), text, detail));
        } else {
            let (after, first) = (chain.link, next.saturating_add(1));
            self.missing(after, (first, place.sequence), line, text);
        }
    }

    /// A record whose hash holds.
    fn record(&mut self, line: &Line<'_>, text: &Text<'_>) {
        let place = line.before();
        if self.is_first_of_a_file(text) {
            let detail = "the file's header is gone, which stood before it";
            let bad = self.bad(Damage::Removed, Some(line), text, detail);
            return self.search(Search::header(place, bad));
        }
        let continues = |chain: &Chain| chain.link == place;
        let current = self.chains.get(self.current);
        let index = if current.is_some_and(continues) {
            Some(self.current)
        } else {
            // several instances' lines may come mixed
            self.chains.iter().position(continues)
        };
        if let Some(index) = index {
            self.current = index;
            if self.cleared_by(text.bytes) {
                self.accept(line, text);
            }
            return;
        }
        let Some(after) = current.map(|chain| chain.link) else {
            // a log from its middle on
            self.chains.push(Chain::after(place, None));
            if self.doubts.is_empty() {
                self.meet(place);
                self.accept(line, text);
            } else {
                self.decide_doubts();
            }
            return;
        };
        if line.sequence <= after.sequence {
            let detail = "it is a copy of an earlier record, or of one of another log";
            return self.decide(self.bad(Damage::Inserted, Some(line), text, detail));
        }
        let first = after.sequence.saturating_add(1);
        self.missing(after, (first, place.sequence), line, text);
    }

    fn accept(&mut self, line: &Line<'_>, text: &Text<'_>) {
        let link = line.link();
        if let Some(chain) = self.chains.get_mut(self.current) {
            chain.accept(link, chain::time_of(text.bytes));
        }
        self.meet(link);
    }

    /// The chain has come by this place.
    fn meet(&mut self, link: Link) {
        self.met |= self
            .expected
            .is_some_and(|expected| expected.link() == link);
    }

    /// The records `first` to `last` should stand before this line.
    fn missing(
        &mut self,
        after: Link,
        (first, last): (u64, u64),
        line: &Line<'_>,
        text: &Text<'_>,
    ) {
        let (damage, place) = if self.fresh {
            (
                Damage::CutOff,
                "at the end of the file before, or with a file between",
            )
        } else {
            (Damage::Removed, "before it")
        };
        let detail = match last.checked_sub(first) {
            None => format!("record {last}, which it follows, is another than the one before it"),
            Some(0) => format!("record {first} is gone {place}"),
            Some(_) => format!("records {first} to {last} are gone {place}"),
        };
        self.search(Search::record(
            after,
            self.bad(damage, Some(line), text, detail),
        ));
    }

    fn search(&mut self, search: Search) {
        if self.doubts.is_empty() {
            self.search = Some(search);
        } else {
            self.decide_doubts();
        }
    }

    fn doubt(&mut self, mut doubt: Doubt) {
        doubt.needed |= self.fresh && self.chains.is_empty();
        self.doubts.push(doubt);
        if self.doubts.len() > MOST_DOUBTS {
            self.decide_doubts();
        }
    }

    /// Whether a record that continues the chain clears every doubt before it.
    fn cleared_by(&mut self, record: &[u8]) -> bool {
        let bad = self.doubts.drain(..).find_map(|doubt| doubt.before(record));
        self.bad = self.bad.take().or(bad);
        self.bad.is_none()
    }

    fn decide_doubts(&mut self) {
        if !self.doubts.is_empty() {
            self.bad = Some(self.doubts.swap_remove(0).alone());
        }
    }

    /// A doubt before it comes first.
    fn decide(&mut self, bad: Bad) {
        self.decide_doubts();
        self.bad = self.bad.take().or(Some(bad));
    }

    fn bad(
        &self,
        damage: Damage,
        line: Option<&Line<'_>>,
        text: &Text<'_>,
        detail: impl Into<String>,
    ) -> Bad {
        Bad {
            damage,
            input: Some(self.input.clone()),
            line: text.number,
            sequence: line
                .map(|line| line.sequence)
                .or_else(|| number_of(text.bytes)),
            time: chain::time_of(text.bytes).and_then(super::time),
            detail: detail.into(),
        }
    }
}

/// Whether a line is as it was written.
enum Verdict {
    Bad,
    Good,
    OtherKey,
}
