//! The logs of one validator: which there are, and whether they are those that it speaks of elsewhere.

use crate::{
    audit::{
        Run,
        sources::{Sources, is_absent},
    },
    report::Verdict,
};
use base::{NeuronId, Window, digest::ScoreLogHead};
use exchange::{BlockState, FetchError};
use scoring::score_log::{ScoreLog, ScoreLogError};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// How many windows without a log are gone over, in search of one.
const SEARCH: u64 = 16;

/// What a bucket has in the place of a score log.
#[derive(Debug)]
pub(super) enum Entry {
    /// The log.
    Log(Box<ScoreLog>),
    /// Something else.
    Other(ScoreLogError),
    /// Nothing: there was none, or it was taken away.
    Absent(String),
    /// It cannot be seen.
    Unread(String),
}

/// The logs of one validator: of the windows that are asked for, of those before them that it takes to replay them, and
/// of the next after them.
#[derive(Debug)]
pub(in crate::audit) struct ValidatorLogs {
    validator: NeuronId,
    entries: BTreeMap<Window, Entry>,
}

/// Reads logs from the validator's bucket.
struct Reading<'a> {
    run: &'a Run,
    sources: &'a Sources,
    state: &'a BlockState,
    logs: ValidatorLogs,
}

impl ValidatorLogs {
    /// Reads the logs of these windows, and what it takes to judge them. Windows from `decided` on have not been decided:
    /// there are no logs of them.
    pub(in crate::audit) async fn read(
        run: &Run,
        sources: &Sources,
        validator: NeuronId,
        state: &Arc<BlockState>,
        (windows, decided): (Range<u64>, u64),
    ) -> Self {
        let logs = Self { validator, entries: BTreeMap::new() };
        let mut reading = Reading { run, sources, state: sources.of(&validator, state), logs };
        for window in windows.clone() {
            reading.fetch(Window(window)).await;
        }
        reading.on(windows.end..decided.min(windows.end.saturating_add(SEARCH))).await;
        reading.back(windows.start).await;
        reading.logs
    }

    pub(in crate::audit) fn validator(&self) -> NeuronId {
        self.validator
    }

    /// The log of a window, if it is what it should be.
    pub(in crate::audit) fn log(&self, window: Window) -> Option<&ScoreLog> {
        self.entries.get(&window).and_then(Entry::log)
    }

    /// The first window from `first` to `last` whose log is not to be had, and why.
    pub(in crate::audit) fn unreadable(&self, first: Window, last: Window) -> Option<(Window, String)> {
        self.entries.range(first..=last).find_map(|(&window, entry)| match entry {
            Entry::Log(_) => None,
            Entry::Other(error) => Some((window, error.to_string())),
            Entry::Absent(why) | Entry::Unread(why) => Some((window, why.clone())),
        })
    }

    /// Why the log of a window cannot be shown, if there is one.
    pub(in crate::audit) fn hidden(&self, window: Window) -> Option<String> {
        match self.entries.get(&window)? {
            Entry::Log(_) | Entry::Absent(_) => None,
            Entry::Other(error) => Some(error.to_string()),
            Entry::Unread(why) => Some(why.clone()),
        }
    }

    /// All logs, in the order of windows.
    pub(super) fn logs(&self) -> impl Iterator<Item = &ScoreLog> {
        self.entries.values().filter_map(Entry::log)
    }

    /// The logs up to a window, the newest first.
    pub(in crate::audit) fn until(&self, window: Window) -> impl Iterator<Item = &ScoreLog> {
        self.entries.range(..=window).rev().filter_map(|(_, entry)| entry.log())
    }

    /// The logs before a window, the newest first.
    fn before(&self, window: Window) -> impl Iterator<Item = &ScoreLog> {
        self.until(window).filter(move |log| log.header.window < window)
    }

    /// Whether the log that a vote on a window names is published: it is the last one before, or the one before that if
    /// the last was not closed yet.
    pub(super) fn head(&self, window: Window, named: ScoreLogHead) -> Verdict {
        let last: Vec<&ScoreLog> = self.before(window).take(2).collect();
        // The first log of a validator is not closed before it has voted once.
        let none_yet =
            || named == ScoreLogHead::default() && last.iter().all(|log| log.header.previous == named);
        if last.iter().any(|log| log.head() == named) || none_yet() {
            return Verdict::Agree;
        }
        let unread = |(window, entry): (&Window, &Entry)| match entry {
            Entry::Unread(why) => Some(format!("the score log of window {window}: {why}")),
            // That is found where it belongs.
            Entry::Other(error) => Some(format!("the score log of window {window}: {error}")),
            Entry::Log(_) | Entry::Absent(_) => None,
        };
        if let Some(why) = self.entries.range(..window).rev().find_map(unread) {
            return Verdict::unknown(why);
        }
        let published = last.first().map_or("no score log before this window".to_owned(), |log| {
            format!("{}, the head of window {}", log.head(), log.header.window)
        });
        Verdict::differ("the vote names a score log that is not the last one published", named, published)
    }

    /// Whether the log of a window is what it should be; nothing if the validator made none. `later` are the heads that
    /// votes on later windows name.
    pub(super) fn presence(
        &self,
        window: Window,
        later: &[ScoreLogHead],
        voted: bool,
        due: bool,
    ) -> Option<Verdict> {
        let why = match self.entries.get(&window)? {
            Entry::Log(_) => return Some(Verdict::Agree),
            Entry::Other(error) => {
                let stated = format!("the score log of window {window}");
                return Some(Verdict::differ("the score log is not what was signed", stated, error));
            }
            Entry::Unread(why) => return Some(Verdict::unknown(why)),
            Entry::Absent(why) => why,
        };
        let missing = |stated: String| Some(Verdict::differ("the score log is missing", stated, why));
        let before = self.before(window).next().map_or(ScoreLogHead::default(), ScoreLog::head);
        let next = self.entries.range(window..).find_map(|(_, entry)| entry.log());
        if let Some(next) = next {
            // If it carries on the one before this window, none was made of this window.
            let head = next.header.previous;
            let carried_on = format!("the log of window {} carries on head {head}", next.header.window);
            return if head == before { None } else { missing(carried_on) };
        }
        let is_unknown = |head: &&ScoreLogHead| {
            **head != ScoreLogHead::default() && self.logs().all(|log| log.head() != **head)
        };
        match later.iter().find(is_unknown) {
            Some(head) => missing(format!("a later vote names head {head}")),
            None if voted && due => missing("the validator voted on the window".to_owned()),
            None if voted => Some(Verdict::unknown(format!("{why}; it may not be published yet"))),
            None => None,
        }
    }
}

impl Reading<'_> {
    /// The next log after the windows that are asked for: it names the head of the last of them.
    async fn on(&mut self, windows: Range<u64>) {
        for window in windows.map(Window) {
            if self.fetch(window).await.log().is_some() {
                return;
            }
        }
    }

    /// The logs before those that are asked for, back to one with a snapshot; and on to the next, for votes and weights
    /// may be about one of the last two.
    async fn back(&mut self, first: u64) {
        let (mut without, mut logs, mut snapshot) = (0, 0, false);
        for window in (0..first).rev().map(Window) {
            match self.fetch(window).await.log() {
                Some(log) => (without, logs, snapshot) = (0, logs + 1, snapshot || log.snapshot.is_some()),
                None => without += 1,
            }
            if snapshot && logs > 2 || without == SEARCH {
                return;
            }
        }
    }

    async fn fetch(&mut self, window: Window) -> &Entry {
        let validator = self.logs.validator;
        let fetched = self.sources.fetcher.score_log(self.state, &validator, &self.run.hash, window).await;
        let entry = match fetched {
            Ok(log) => Entry::Log(Box::new(log)),
            Err(FetchError::ScoreLog { source, .. }) => Entry::Other(source),
            Err(error) if is_absent(&error) => Entry::Absent(error.to_string()),
            Err(error) => Entry::Unread(error.to_string()),
        };
        self.logs.entries.entry(window).insert_entry(entry).into_mut()
    }
}

impl Entry {
    fn log(&self) -> Option<&ScoreLog> {
        match self {
            Self::Log(log) => Some(log),
            Self::Other(_) | Self::Absent(_) | Self::Unread(_) => None,
        }
    }
}
