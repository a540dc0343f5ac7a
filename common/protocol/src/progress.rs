//! The progress of a node in a run: all that it needs beside the parameters to go on.
//!
//! A journal keeps it, and a checkpoint carries it. The parameters belong to it by their state
//! root. The history and the root make the [`State`] that votes name, so a node that gets it from a
//! stranger can check it. The last norms follow from the accepted sets but are in no hash: wrong
//! ones show in a later state.

use crate::{
    acceptance::AcceptanceSpec,
    history::{History, HistoryError, KEPT_RECORDS, MOST_RECORD_BYTES, WindowRecord},
    model::MOST_LAYERS,
    run_spec::RunSpec,
};
use base::{
    Window,
    digest::{Accumulator, RunHash, State, StateRoot},
    object::{kind, open},
    wire::{Reader, WireError, Writer},
};
use codec::aggregate::StepNorms;

/// The version of the format.
const VERSION: u8 = 3;
/// Most tensors of a model: nine in each layer, embeddings, the last norm and the output.
const MOST_TENSORS: usize = 9 * MOST_LAYERS as usize + 3;
/// Most bytes of a [`Progress`].
pub const MOST_BYTES: usize =
    2 + 32 + 32 + 32 + 8 + 2 + KEPT_RECORDS * MOST_RECORD_BYTES + 1 + 4 + 2 * 8 * MOST_TENSORS;

/// The progress of a node at the start of the window `history.next()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The run.
    pub run: RunHash,
    /// The history of accepted sets until now.
    pub history: History,
    /// The state root of the parameters.
    pub root: StateRoot,
    /// The norms of the last outer step, which the next one needs. `None` before the first.
    pub norms: Option<StepNorms>,
}

/// The reason why bytes are not a valid progress.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// Malformed bytes.
    #[error("the progress is malformed")]
    Wire(#[from] WireError),
    /// Windows that do not follow one another.
    #[error("the progress is inconsistent")]
    History(#[from] HistoryError),
    /// A history without some of the records that a node keeps.
    #[error("the progress up to window {next} has only {records} of the records that a history keeps")]
    Incomplete {
        /// The window that it goes on with.
        next: Window,
        /// The number of its records.
        records: usize,
    },
    /// A progress that begins with window 0, but not with the run's beginning.
    #[error("the progress does not begin like run {0}")]
    Beginning(RunHash),
}

impl Progress {
    /// Creates the progress at the start of a run.
    #[must_use]
    pub fn initial(spec: &RunSpec) -> Self {
        let run = spec.hash();
        Self { run, history: History::new(&run), root: spec.initial.root, norms: None }
    }

    /// Returns the next window. The parameters are those at its start.
    #[must_use]
    pub fn window(&self) -> Window {
        self.history.next()
    }

    /// Returns the state that a vote on that window names.
    #[must_use]
    pub fn state(&self) -> State {
        self.history.state(&self.root)
    }

    /// Returns the state that submissions for that window must be trained from: see [`History::base`].
    #[must_use]
    pub fn base(&self, spec: &AcceptanceSpec) -> State {
        self.history.base(self.state(), spec)
    }

    /// Encodes the canonical bytes.
    ///
    /// # Panics
    /// There are norms of more tensors than any model has.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let records: Vec<&WindowRecord> = self.history.records().collect();
        let count = u16::try_from(records.len()).expect("a history keeps eight records");
        let mut to = Writer::new();
        to.u8(kind::PROGRESS).u8(VERSION).raw(&self.run.0).raw(&self.root.0);
        to.raw(&self.history.before_records().0);
        to.u64(self.window().0 - u64::from(count)).u16(count);
        records.iter().for_each(|record| record.write(&mut to));
        to.u8(self.norms.is_some().into());
        if let Some(norms) = &self.norms {
            norms.write(&mut to);
        }
        to.into_bytes()
    }

    /// Decodes canonical bytes, all of them.
    ///
    /// The content is not trusted: compare [`Self::state`] with the state that a quorum names.
    ///
    /// # Errors
    /// The bytes are malformed, or lack records that a node keeps.
    pub fn read(bytes: &[u8]) -> Result<Self, ProgressError> {
        let mut from = Reader::new(bytes);
        open(&mut from, "the progress", kind::PROGRESS, VERSION)?;
        let run = RunHash(from.array("the run")?);
        let root = StateRoot(from.array("the state root")?);
        let history = read_history(&mut from, &run)?;
        let norms = read_norms(&mut from)?;
        from.finish("the progress")?;
        Ok(Self { run, history, root, norms })
    }
}

fn read_history(from: &mut Reader<'_>, run: &RunHash) -> Result<History, ProgressError> {
    let before = Accumulator(from.array("the accepted sets before the records")?);
    let first = Window(from.u64("the first window")?);
    let what = "the number of records";
    let offset = from.offset();
    let count = from.u16(what)?;
    if usize::from(count) > KEPT_RECORDS {
        let expected = "a history keeps eight records";
        return Err(WireError::Value { what, offset, found: count.into(), expected }.into());
    }
    let records: Vec<_> = (0..count).map(|_| WindowRecord::read(from)).collect::<Result<_, _>>()?;
    let history = History::resume(before, first, records)?;
    if !history.is_complete() {
        return Err(ProgressError::Incomplete { next: history.next(), records: count.into() });
    }
    if first == Window(0) && before != History::new(run).accumulator() {
        Err(ProgressError::Beginning(*run))
    } else {
        Ok(history)
    }
}

fn read_norms(from: &mut Reader<'_>) -> Result<Option<StepNorms>, WireError> {
    let what = "whether norms follow";
    let offset = from.offset();
    match from.u8(what)? {
        0 => Ok(None),
        1 => {
            let what = "the number of norms";
            let offset = from.offset();
            let tensors = from.clone().u32(what)?;
            match tensors as usize {
                count if count <= MOST_TENSORS => StepNorms::read(from, count).map(Some),
                _ => {
                    let expected = "more tensors than any model has";
                    Err(WireError::Value { what, offset, found: tensors.into(), expected })
                }
            }
        }
        found => Err(WireError::Value { what, offset, found: found.into(), expected: "0 or 1" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::Accepted;
    use base::{Height, Hotkey, NeuronId, digest::ObjectHash};
    use proptest::{collection::vec, option, prelude::*};

    const RUN: RunHash = RunHash([9; 32]);

    fn id(name: u8) -> NeuronId {
        NeuronId { hotkey: Hotkey([name; 32]), registered: Height(7) }
    }

    /// Creates the progress after `windows` windows, in each of which one miner was accepted and two voted.
    fn progress(windows: u64, norms: Option<Vec<f64>>) -> Progress {
        let mut history = History::new(&RUN);
        for window in (0..windows).map(Window) {
            let accepted = vec![Accepted { id: id(1), object: ObjectHash([window.0 as u8; 32]) }];
            let (state, voters) = (State([window.0 as u8 + 100; 32]), vec![id(4), id(5)]);
            history.push_record(WindowRecord { window, state, accepted, voters }).unwrap();
        }
        let halves = |norms: &[f64]| norms.iter().map(|norm| norm / 2.0).collect();
        let norms = norms.map(|norms| StepNorms { references: halves(&norms), medians: norms });
        Progress { run: RUN, history, root: StateRoot([3; 32]), norms }
    }

    /// Pins the bytes: journals and checkpoints are made of them.
    #[test]
    fn golden_bytes() {
        let bytes = progress(2, Some(vec![0.5, 2.0])).to_bytes();
        assert_eq!(hex::encode(&bytes), include_str!("../tests/golden/progress.hex").trim());
        assert_eq!(Progress::read(&bytes), Ok(progress(2, Some(vec![0.5, 2.0]))));
    }

    #[test]
    fn it_begins_where_the_run_begins() {
        let start = progress(0, None);
        assert_eq!(start.window(), Window(0));
        assert_eq!(start.state(), History::new(&RUN).state(&StateRoot([3; 32])));
        assert_eq!(Progress::read(&start.to_bytes()), Ok(start));
    }

    #[test]
    fn the_whole_memory_fits_and_goes_on() {
        let far = progress(20, Some(vec![1.0; MOST_TENSORS]));
        let bytes = far.to_bytes();
        let mut read = Progress::read(&bytes).unwrap();
        assert_eq!(read, far);
        assert_eq!((read.window(), read.history.records().count()), (Window(20), 8));
        let state = far.state();
        let record = WindowRecord { window: Window(20), state, accepted: vec![], voters: vec![] };
        let mut far = far;
        far.history.push_record(record.clone()).unwrap();
        read.history.push_record(record).unwrap();
        assert_eq!(read.state(), far.state());
    }

    #[test]
    fn submissions_name_the_state_of_the_window_before_if_training_overlaps_with_the_exchange() {
        let tiny = include_str!("../../../deploy/runs/tiny.toml");
        let waiting = crate::run_spec::RunFile::parse(tiny).unwrap().acceptance;
        let overlapping = AcceptanceSpec { staleness: 1, ..waiting.clone() };
        let first = progress(0, None);
        assert_eq!((first.base(&waiting), first.base(&overlapping)), (first.state(), first.state()));
        let later = progress(2, None);
        assert_eq!((later.base(&waiting), later.base(&overlapping)), (later.state(), State([101; 32])));
    }

    /// Returns the error of reading bytes. Change a progress before it is written, so that its
    /// bytes are canonical.
    fn refused(bytes: &[u8]) -> String {
        base::ErrorChain(&Progress::read(bytes).unwrap_err()).to_string()
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let bytes = progress(9, None).to_bytes();
        let (count, first) = (2 + 32 + 32 + 32 + 8, 2 + 32 + 32 + 32);

        let mut other = bytes.clone();
        other[first] = 2;
        assert!(refused(&other).contains("cannot append window 1"), "{}", refused(&other));

        let mut many = bytes.clone();
        many[count] = 9;
        assert!(refused(&many).contains("a history keeps eight records"), "{}", refused(&many));

        let mut kind = bytes.clone();
        kind[0] = 0xe1;
        assert!(refused(&kind).contains("another kind of object"));

        let mut elsewhere = progress(2, None).to_bytes();
        elsewhere[2 + 32 + 32] ^= 1;
        assert!(refused(&elsewhere).contains("does not begin like run"), "{}", refused(&elsewhere));

        let mut norms = bytes.clone();
        *norms.last_mut().unwrap() = 1;
        norms.extend(u32::MAX.to_le_bytes());
        assert!(refused(&norms).contains("more tensors than any model has"), "{}", refused(&norms));

        let history = History::resume(Accumulator([1; 32]), Window(20), []).unwrap();
        let short = Progress { history, ..progress(0, None) };
        assert!(refused(&short.to_bytes()).contains("up to window 20 has only 0 of the records"));

        let last = History::resume(Accumulator([1; 32]), Window(u64::MAX), []).unwrap();
        let last = Progress { history: last, ..progress(0, None) };
        assert!(Progress::read(&last.to_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn bytes_round_trip_and_every_cut_is_noticed(windows in 0u64..20, norms in option::of(vec(0.0f64..9.0, 0..9))) {
            let progress = progress(windows, norms);
            let bytes = progress.to_bytes();
            prop_assert!(bytes.len() <= MOST_BYTES);
            prop_assert_eq!(Progress::read(&bytes), Ok(progress));
            for cut in 0..bytes.len() {
                prop_assert!(Progress::read(&bytes[..cut]).is_err());
            }
            prop_assert!(Progress::read(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn changed_bytes_are_refused_or_read_as_they_are(at: prop::sample::Index, to: u8) {
            let mut bytes = progress(9, Some(vec![1.5; 3])).to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = Progress::read(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read_as_they_are(mut bytes in vec(0u8..3, 0..600)) {
            for (to, from) in bytes.iter_mut().zip([kind::PROGRESS, VERSION]) {
                *to = from;
            }
            if let Ok(read) = Progress::read(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }
    }
}
