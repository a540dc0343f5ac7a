//! Downloads the score logs of one validator, and compares them with its votes.

use crate::{
    audit::{
        Run,
        sources::{Sources, is_absent, is_forbidden},
    },
    report::Verdict,
};
use base::{ErrorChain, NeuronId, Window, digest::ScoreLogHead};
use exchange::{BlockState, FetchError};
use scoring::score_log::{ScoreLog, ScoreLogError};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Number of consecutive windows without a log after which the search for one ends.
pub(in crate::audit) const SEARCH: u64 = 16;

/// The contents of a bucket under the key of a score log.
#[derive(Debug)]
pub(super) enum Entry {
    /// A valid log.
    Log(Box<ScoreLog>),
    /// An object that is not a valid log.
    Other(ScoreLogError),
    /// No object: the validator made none, or deleted it.
    Absent(FetchError),
    /// Unknown, since the bucket cannot be read.
    Unread(FetchError),
}

/// The logs of one validator: those of the requested windows, the earlier ones that their replay needs,
/// and the next later one.
#[derive(Debug)]
pub(in crate::audit) struct ValidatorLogs {
    validator: NeuronId,
    entries: BTreeMap<Window, Entry>,
}

/// Downloads logs from the validator's bucket.
struct Reading<'a> {
    run: &'a Run,
    sources: &'a Sources,
    state: &'a BlockState,
    logs: ValidatorLogs,
}

impl ValidatorLogs {
    /// Downloads the logs of these windows, and the other logs that their checks need. Windows from
    /// `decided` on are not decided yet and have no logs.
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
        reading.following(windows.end..decided.min(windows.end.saturating_add(SEARCH))).await;
        reading.preceding(windows.start).await;
        reading.logs
    }

    /// Checks whether the bucket forbids all logs, as it may do for absent ones.
    pub(in crate::audit) fn are_forbidden(&self) -> bool {
        !self.entries.is_empty() && self.entries.values().all(Entry::is_forbidden)
    }

    /// Takes forbidden logs for unread, not for absent.
    pub(in crate::audit) fn doubt_forbidden(&mut self) {
        let doubt = |(window, entry)| match entry {
            Entry::Absent(error) if is_forbidden(&error) => (window, Entry::Unread(error)),
            entry => (window, entry),
        };
        self.entries = std::mem::take(&mut self.entries).into_iter().map(doubt).collect();
    }

    pub(in crate::audit) fn validator(&self) -> NeuronId {
        self.validator
    }

    /// Returns the log of a window, if it is valid.
    pub(in crate::audit) fn log(&self, window: Window) -> Option<&ScoreLog> {
        self.entries.get(&window).and_then(Entry::log)
    }

    /// Returns the first window from `first` to `last` without a valid log, and the reason.
    pub(in crate::audit) fn unreadable(&self, first: Window, last: Window) -> Option<(Window, String)> {
        self.entries.range(first..=last).find_map(|(&window, entry)| match entry {
            Entry::Log(_) => None,
            Entry::Other(error) => Some((window, ErrorChain(error).to_string())),
            Entry::Absent(error) | Entry::Unread(error) => Some((window, ErrorChain(error).to_string())),
        })
    }

    /// Checks whether the bucket has no log of the known windows up to this one.
    pub(in crate::audit) fn has_no_log_until(&self, last: Window) -> bool {
        self.entries.range(..=last).all(|(_, entry)| matches!(entry, Entry::Absent(_)))
    }

    /// Returns the reason why the log of a window cannot be used. Returns `None` if the log is valid or
    /// absent.
    pub(in crate::audit) fn failure(&self, window: Window) -> Option<String> {
        match self.entries.get(&window)? {
            Entry::Log(_) | Entry::Absent(_) => None,
            Entry::Other(error) => Some(ErrorChain(error).to_string()),
            Entry::Unread(error) => Some(ErrorChain(error).to_string()),
        }
    }

    /// Returns the verdict on a window without a valid log.
    pub(in crate::audit) fn defect(&self, window: Window) -> Verdict {
        match self.entries.get(&window) {
            None | Some(Entry::Log(_)) => Verdict::unknown("the score log was not downloaded"),
            Some(Entry::Other(error)) => {
                let stated = format!("the score log of window {window}");
                Verdict::differ("the score log is invalid", stated, ErrorChain(error))
            }
            Some(Entry::Absent(error) | Entry::Unread(error)) => Verdict::unread(error),
        }
    }

    /// Returns all valid logs, in the order of windows.
    pub(super) fn logs(&self) -> impl Iterator<Item = &ScoreLog> {
        self.entries.values().filter_map(Entry::log)
    }

    /// Returns the valid logs up to a window, newest first.
    pub(in crate::audit) fn until(&self, window: Window) -> impl Iterator<Item = &ScoreLog> {
        self.entries.range(..=window).rev().filter_map(|(_, entry)| entry.log())
    }

    /// Returns the valid logs before a window, newest first.
    fn before(&self, window: Window) -> impl Iterator<Item = &ScoreLog> {
        self.until(window).filter(move |log| log.header.window < window)
    }

    /// Checks whether the log that a vote on a window names is published. This is the last log before
    /// the window, or the one before that, if the last log was not closed yet when the validator voted.
    pub(in crate::audit) fn head(&self, window: Window, named: ScoreLogHead) -> Verdict {
        let last: Vec<&ScoreLog> = self.before(window).take(2).collect();
        // A vote names no log until the first log of its validator is closed.
        let none_yet =
            || named == ScoreLogHead::default() && last.iter().all(|log| log.header.previous == named);
        if last.iter().any(|log| log.head() == named) || none_yet() {
            return Verdict::Agree;
        }
        // If the log is invalid, `Item::Log` of its own window also reports this.
        let mut before = self.entries.range(..window).rev().map(|(window, _)| *window);
        if let Some((window, why)) = before.find_map(|window| Some((window, self.failure(window)?))) {
            return Verdict::unknown(format!("the score log of window {window}: {why}"));
        }
        let published = last.first().map_or("no score log before this window".to_owned(), |log| {
            format!("{}, the head of window {}", log.head(), log.header.window)
        });
        Verdict::differ("the vote names a score log that is not the last one published", named, published)
    }

    /// Checks whether the log of a window is published and valid. Returns `None` if the validator made
    /// no log. `later` are the heads that votes on later windows name. `voted` tells whether the
    /// validator voted on the window, `due` whether its log must be published by now.
    pub(super) fn presence(
        &self,
        window: Window,
        later: &[ScoreLogHead],
        voted: bool,
        due: bool,
    ) -> Option<Verdict> {
        let why = match self.entries.get(&window)? {
            Entry::Log(_) => return Some(Verdict::Agree),
            Entry::Other(_) | Entry::Unread(_) => return Some(self.defect(window)),
            Entry::Absent(error) => ErrorChain(error),
        };
        let missing = |stated: String| Some(Verdict::differ("the score log is missing", stated, why));
        let before = self.before(window).next().map_or(ScoreLogHead::default(), ScoreLog::head);
        let next = self.entries.range(window..).find_map(|(_, entry)| entry.log());
        if let Some(next) = next {
            // The next log names the log before it. If that is the last one before this window, the
            // validator made none here.
            let head = next.header.previous;
            let followed = format!("the log of window {} follows head {head}", next.header.window);
            return if head == before { None } else { missing(followed) };
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
    /// Downloads the next log after the requested windows: it names the head of the last of them.
    async fn following(&mut self, windows: Range<u64>) {
        for window in windows.map(Window) {
            if self.fetch(window).await.log().is_some() {
                return;
            }
        }
    }

    /// Downloads the logs before the requested windows, newest first. Stops when one of them has a
    /// snapshot and there are at least three, since votes and weights may be about older logs than the
    /// last one. Also stops after [`SEARCH`] windows without a log.
    async fn preceding(&mut self, first: u64) {
        let mut without = 0;
        let mut logs = 0;
        let mut snapshot = false;
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
            Err(error) if is_absent(&error) => Entry::Absent(error),
            Err(error) => Entry::Unread(error),
        };
        self.logs.entries.entry(window).insert_entry(entry).into_mut()
    }
}

impl Entry {
    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Absent(error) if is_forbidden(error))
    }

    fn log(&self) -> Option<&ScoreLog> {
        match self {
            Self::Log(log) => Some(log),
            Self::Other(_) | Self::Absent(_) | Self::Unread(_) => None,
        }
    }
}
