//! In which order files belong: by what stands in them, not by how they are named.

use std::io::{self, BufRead, Cursor};

use super::{Input, Lines, Progress, ReadError, source::Source};
use crate::audit::{
    chain::{Line, chain_of, time_of},
    rotated::compressed_form,
};

/// So many lines are looked at for the first of ours.
const FARTHEST: usize = 100_000;

/// A file in its place.
pub(in super::super) struct File {
    pub(in super::super) input: Input,
    /// What can be read only once is open already.
    open: Option<Source>,
    first: Option<First>,
}

/// What a file's first line of ours says.
struct First {
    /// `None` where it is no header: then a log driver began the file.
    chain: Option<String>,
    sequence: u64,
    time: u64,
}

impl File {
    /// Opens it.
    pub(in super::super) fn lines(&mut self, read: &Progress) -> Result<Lines, ReadError> {
        let source = match self.open.take() {
            Some(source) => Ok(source),
            None => Source::open(&self.input, read),
        };
        source.map(Lines::of).map_err(|cause| ReadError {
            input: self.input.clone(),
            cause,
        })
    }

    /// Looks at what it begins with.
    fn look(&mut self, read: &Progress) -> Result<(), ReadError> {
        let looked = match self.input {
            // it is opened again, and counted then
            Input::File(_) => Source::open(&self.input, &Progress::default()).map(First::find),
            Input::Stdin => self.look_ahead(read),
        };
        self.first = looked.map_err(|cause| ReadError {
            input: self.input.clone(),
            cause,
        })?;
        Ok(())
    }

    fn look_ahead(&mut self, read: &Progress) -> io::Result<Option<First>> {
        let mut source = Source::open(&self.input, read)?;
        let start = source.reader.fill_buf()?.to_vec();
        self.open = Some(source);
        Ok(First::find(Source {
            reader: Box::new(Cursor::new(start)),
            compressed: false,
        }))
    }
}

impl First {
    /// The first line of ours. What can't be read is told by whoever reads it all.
    fn find(source: Source) -> Option<Self> {
        let mut lines = Lines::of(source);
        for _ in 0..FARTHEST {
            let text = lines.next().ok()??;
            if let Some(line) = Line::parse(text.bytes) {
                return Some(Self {
                    chain: chain_of(text.bytes)
                        .filter(|_| line.header)
                        .map(str::to_owned),
                    sequence: line.sequence,
                    time: time_of(text.bytes).unwrap_or_default(),
                });
            }
        }
        None
    }
}

/// Puts inputs in order: the chains by when they began, in each the records by number. Where a
/// file doesn't say its chain and there are several, all go by time. A rotated
/// file beside its own compressed form is about to be deleted, and is left out.
pub(in super::super) fn in_order(
    inputs: &[Input],
    read: &Progress,
) -> Result<Vec<File>, ReadError> {
    let unseen = |input: &Input| File {
        input: input.clone(),
        open: None,
        first: None,
    };
    let packed = |input: &Input| match input {
        Input::File(path) => compressed_form(path)
            .is_some_and(|compressed| inputs.contains(&Input::File(compressed))),
        Input::Stdin => false,
    };
    let whole = inputs.iter().filter(|input| !packed(input));
    let mut files: Vec<_> = whole.map(unseen).collect();
    if files.len() > 1 {
        for file in &mut files {
            file.look(read)?;
        }
        let chains = chains(&files);
        files.sort_by_cached_key(|file| file.place(&chains));
    }
    Ok(files)
}

/// The chains that headers name, with when each began.
fn chains(files: &[File]) -> Vec<(String, u64)> {
    let mut chains: Vec<(String, u64)> = Vec::new();
    for first in files.iter().filter_map(|file| file.first.as_ref()) {
        let Some(name) = &first.chain else { continue };
        match chains.iter_mut().find(|(known, _)| known == name) {
            Some((_, began)) => *began = first.time.min(*began),
            None => chains.push((name.clone(), first.time)),
        }
    }
    let unnamed = |file: &File| {
        file.first
            .as_ref()
            .is_some_and(|first| first.chain.is_none())
    };
    if chains.len() > 1 && files.iter().any(unnamed) {
        chains.clear();
    }
    chains
}

impl File {
    /// What it is sorted by: its chain's beginning, its number, its time. Without known
    /// chains: its time.
    fn place(&self, chains: &[(String, u64)]) -> (u64, u64, u64) {
        let Some(first) = &self.first else {
            return (u64::MAX, 0, 0);
        };
        let own = chains
            .iter()
            .find(|(name, _)| first.chain.as_ref() == Some(name));
        match own.or_else(|| chains.first()) {
            Some((_, began)) => (*began, first.sequence, first.time),
            None => (first.time, first.sequence, 0),
        }
    }
}
