//! The history of a run: the chain of accepted sets, and the records of its last windows.
//!
//! `acc_w = H(acc_{w-1}, record of w)`, from `acc = H(run hash)` before the first window. A
//! validator's vote on `w` names `state = H(root_w, acc_{w-1})`: the parameters, and the accepted
//! sets and states that led to them. A node that joins may take the records of the last windows from any
//! source. They are true if they end on the voted state.

mod record;

pub use record::{MOST_RECORD_BYTES, MOST_RECORD_OBJECT_BYTES, MOST_VOTERS, RecordError, WindowRecord};

use crate::acceptance::{AcceptanceSpec, Decision};
use base::{
    Window,
    digest::{Accumulator, RunHash, State, StateRoot},
    wire::Writer,
};
use std::collections::VecDeque;

/// The number of past windows whose records a node keeps. A miner settles its last submissions with
/// them after a restart, and a validator publishes them.
pub const KEPT_RECORDS: usize = 8;

/// The part of a run that a node remembers beside the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    next: Window,
    accumulator: Accumulator,
    /// The accumulator before the first of the records.
    before: Accumulator,
    records: VecDeque<WindowRecord>,
}

/// The reason why a window does not belong at the end of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot append window {found}: the history goes on with window {next}")]
pub struct HistoryError {
    /// The window that is due.
    pub next: Window,
    /// The window that was given.
    pub found: Window,
}

impl History {
    /// Creates the history of a run that has not begun.
    #[must_use]
    pub fn new(run: &RunHash) -> Self {
        Self::since(Accumulator::of(&[&run.0]), Window(0))
    }

    /// Creates a history without records that goes on with window `next`.
    fn since(accumulator: Accumulator, next: Window) -> Self {
        Self { next, accumulator, before: accumulator, records: VecDeque::new() }
    }

    /// Creates a history from a known point: `accumulator` is the one before window `next`, and
    /// `records` follow it.
    ///
    /// The input is not trusted: compare [`Self::state`] with the state that a quorum names.
    ///
    /// # Errors
    /// The records do not follow one another.
    pub fn resume(
        accumulator: Accumulator,
        next: Window,
        records: impl IntoIterator<Item = WindowRecord>,
    ) -> Result<Self, HistoryError> {
        let mut history = Self::since(accumulator, next);
        records.into_iter().try_for_each(|record| history.push_record(record))?;
        Ok(history)
    }

    /// Returns the first window that is not in the history.
    #[must_use]
    pub fn next(&self) -> Window {
        self.next
    }

    /// Returns the chain of accepted sets up to the last window.
    #[must_use]
    pub fn accumulator(&self) -> Accumulator {
        self.accumulator
    }

    /// Returns the chain of accepted sets before the first of [`Self::records`]. With both, a node
    /// can [`Self::resume`].
    #[must_use]
    pub fn before_records(&self) -> Accumulator {
        self.before
    }

    /// Checks whether the records reach back as far as a node keeps them: [`KEPT_RECORDS`] windows, or
    /// to the run's first.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.records.len() as u64 == self.next.0.min(KEPT_RECORDS as u64)
    }

    /// Returns the state that a vote on the next window names, given the parameters at its start.
    #[must_use]
    pub fn state(&self, root: &StateRoot) -> State {
        State::of(&[&root.0, &self.accumulator.0])
    }

    /// Returns the state that submissions for the next window must be trained from, given the state at its
    /// start. With staleness 1 it is the state at the start of the window before. The first window has no
    /// window before it, so it is trained from its own state, too.
    #[must_use]
    pub fn base(&self, state: State, spec: &AcceptanceSpec) -> State {
        match self.records.back() {
            Some(last) if spec.overlaps() => last.state,
            _ => state,
        }
    }

    /// Returns the records of the last windows, oldest first: at most [`KEPT_RECORDS`].
    pub fn records(&self) -> impl Iterator<Item = &WindowRecord> {
        self.records.iter()
    }

    /// Appends a decided window, given the state at its start.
    ///
    /// # Errors
    /// It is not the next one.
    pub fn push(&mut self, decision: &Decision, state: State) -> Result<(), HistoryError> {
        self.push_record(WindowRecord::of(decision, state))
    }

    /// Appends the record of a window, from a decision or from elsewhere. It is not trusted, see
    /// [`Self::resume`].
    ///
    /// # Errors
    /// It is not the next one.
    pub fn push_record(&mut self, record: WindowRecord) -> Result<(), HistoryError> {
        if record.window != self.next {
            return Err(HistoryError { next: self.next, found: record.window });
        }
        let Some(next) = record.window.0.checked_add(1).map(Window) else {
            return Err(HistoryError { next: self.next, found: record.window });
        };
        self.accumulator = after(self.accumulator, &record);
        self.records.push_back(record);
        if self.records.len() > KEPT_RECORDS {
            self.before = self.records.pop_front().map_or(self.before, |oldest| after(self.before, &oldest));
        }
        self.next = next;
        Ok(())
    }
}

/// Returns the chain of accepted sets with one more record.
fn after(accumulator: Accumulator, record: &WindowRecord) -> Accumulator {
    let mut bytes = Writer::new();
    record.write(&mut bytes);
    Accumulator::of(&[&accumulator.0, &bytes.into_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::Accepted;
    use base::{Height, Hotkey, NeuronId, digest::ObjectHash};

    fn id(name: u8) -> NeuronId {
        NeuronId { hotkey: Hotkey([name; 32]), registered: Height(u64::from(name) + 100) }
    }

    fn record(window: u64, accepted: &[u8], voters: &[u8]) -> WindowRecord {
        let accepted = accepted.iter().map(|&name| Accepted { id: id(name), object: ObjectHash([name; 32]) });
        let voters = voters.iter().map(|&name| id(name)).collect();
        let state = State([window as u8; 32]);
        WindowRecord { window: Window(window), state, accepted: accepted.collect(), voters }
    }

    fn ten_windows() -> History {
        let mut history = History::new(&RunHash([9; 32]));
        for window in 0..10 {
            let voters = [40, 41, 42].map(|v| v + u8::try_from(window % 2).unwrap());
            history.push_record(record(window, &[1, 2], &voters)).unwrap();
        }
        history
    }

    #[test]
    fn the_chain_of_accepted_sets_has_known_bytes() {
        assert_eq!(
            History::new(&RunHash([9; 32])).accumulator().to_string(),
            "2d69d3ff40b109bb8d3978cde1ee9091a6e5051818d17876a3a571166a443e35"
        );
        assert_eq!(
            ten_windows().accumulator().to_string(),
            "c35becc083143b2bb3a84936c460c18c3763345c523f855180b626d8bea9241a"
        );
        assert_eq!(
            ten_windows().state(&StateRoot([5; 32])).to_string(),
            "1059907688c01ebc5ed19732a6c13b4e8c2b3ccd14f4adecd4f1a48b0414a620"
        );
    }

    #[test]
    fn eight_windows_are_remembered() {
        let history = ten_windows();
        assert_eq!(history.next(), Window(10));
        let windows: Vec<_> = history.records().map(|record| record.window.0).collect();
        assert_eq!(windows, [2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(history.is_complete());
        let records: Vec<_> = history.records().cloned().collect();
        let resumed = History::resume(history.before_records(), Window(2), records.clone());
        assert_eq!(resumed.as_ref(), Ok(&history));
        let shorter = History::resume(history.before_records(), Window(2), records[..7].to_vec()).unwrap();
        assert!(!shorter.is_complete());
        let beyond = History::resume(Accumulator::default(), Window(u64::MAX), [record(u64::MAX, &[], &[])]);
        assert!(beyond.is_err(), "there is no window after the last number");
    }

    #[test]
    fn windows_follow_one_another() {
        let mut history = ten_windows();
        for window in [9, 11] {
            let error = history.push_record(record(window, &[], &[])).unwrap_err();
            assert_eq!(error, HistoryError { next: Window(10), found: Window(window) });
        }
    }

    #[test]
    fn who_resumes_from_true_records_ends_on_the_same_state() {
        let mut before = History::new(&RunHash([9; 32]));
        before.push_record(record(0, &[1, 2], &[40, 41, 42])).unwrap();
        before.push_record(record(1, &[1, 2], &[41, 42, 43])).unwrap();
        let full = ten_windows();
        let records: Vec<_> = full.records().cloned().collect();
        let resume = |records: Vec<WindowRecord>| History::resume(before.accumulator(), Window(2), records);
        assert_eq!(resume(records.clone()), Ok(full.clone()));
        let tampered = |change: fn(&mut Vec<WindowRecord>)| {
            let mut records = records.clone();
            change(&mut records);
            resume(records).unwrap().state(&StateRoot([5; 32]))
        };
        let truth = full.state(&StateRoot([5; 32]));
        assert_ne!(tampered(|records| records[3].accepted[0].object.0[0] ^= 1), truth);
        assert_ne!(tampered(|records| records[3].accepted[0].id.registered.0 += 1), truth);
        assert_ne!(tampered(|records| records[0].voters.truncate(2)), truth);
        assert_ne!(tampered(|records| records[7].state.0[0] ^= 1), truth);
        assert_ne!(tampered(|records| records.truncate(7)), truth);
    }
}
