//! The record of one window: its accepted set and its voters.

use crate::{
    acceptance::{Accepted, Decision},
    announcement::MOST_CANDIDATES,
};
use base::{
    NeuronId, Window,
    digest::{ObjectHash, RunHash, State},
    object::{kind, open},
    wire::{Reader, WireError, Writer},
};

/// Most voters of a window: a limit for the allocations of parsers. The chain has at most 2048 uids
/// on a subnet.
pub const MOST_VOTERS: usize = 4096;

/// The version of the object that holds a record.
const VERSION: u8 = 2;
/// Most bytes of a record.
pub const MOST_RECORD_BYTES: usize =
    8 + 32 + 2 + MOST_CANDIDATES * (NeuronId::BYTES + 32) + 2 + MOST_VOTERS * NeuronId::BYTES;
/// Most bytes of a record as an object: [`WindowRecord::to_bytes`].
pub const MOST_RECORD_OBJECT_BYTES: usize = 2 + 32 + MOST_RECORD_BYTES;

/// The part of a window that a node keeps for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRecord {
    /// The window.
    pub window: Window,
    /// The state at the window's start, which votes on it name. With staleness 1 the next window's
    /// submissions are trained from it.
    pub state: State,
    /// The applied submissions, in the order of hotkeys. The list is empty in a null window.
    pub accepted: Vec<Accepted>,
    /// The voters, in the order of hotkeys.
    pub voters: Vec<NeuronId>,
}

impl WindowRecord {
    /// Creates the record of a decided window. `state` is the state at its start.
    #[must_use]
    pub fn of(decision: &Decision, state: State) -> Self {
        let voters = decision.turnout.iter().copied().collect();
        Self { window: decision.window, state, accepted: decision.applied().to_vec(), voters }
    }

    /// Encodes the record as an object of a run, for nodes that join after the chain's nodes have
    /// pruned the window.
    ///
    /// # Panics
    /// As [`Self::write`].
    #[must_use]
    pub fn to_bytes(&self, run: &RunHash) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(kind::RECORD).u8(VERSION).raw(&run.0);
        self.write(&mut to);
        to.into_bytes()
    }

    /// Decodes the record of a window of a run.
    ///
    /// The record is not trusted. It is true if the history that it is pushed to ends on the state
    /// that votes name.
    ///
    /// # Errors
    /// The object is of another kind, or of another run or window.
    pub fn open(bytes: &[u8], run: &RunHash, window: Window) -> Result<Self, RecordError> {
        let mut from = Reader::new(bytes);
        open(&mut from, "the record of a window", kind::RECORD, VERSION)?;
        let found = RunHash(from.array("the run")?);
        if found != *run {
            return Err(RecordError::Run { expected: *run, found });
        }
        let record = Self::read(&mut from)?;
        from.finish("the record of a window")?;
        if record.window == window {
            Ok(record)
        } else {
            Err(RecordError::Window { expected: window, found: record.window })
        }
    }

    /// Appends window, state, accepted set and voters.
    ///
    /// # Panics
    /// There are more of them than a decision can have.
    pub fn write(&self, to: &mut Writer) {
        let count =
            |list: usize| u16::try_from(list).expect("a decision is bounded by the votes' bits and the uids");
        to.u64(self.window.0).raw(&self.state.0).u16(count(self.accepted.len()));
        for Accepted { id, object } in &self.accepted {
            id.write(to);
            to.raw(&object.0);
        }
        to.u16(count(self.voters.len()));
        self.voters.iter().for_each(|voter| voter.write(to));
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The input ends too early, a list is too long, or a list is not in strictly rising order.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let window = Window(from.u64("the window")?);
        let state = State(from.array("the state at the window's start")?);
        let accepted = read_sorted(from, "the accepted", MOST_CANDIDATES, |from| {
            let id = NeuronId::read(from)?;
            Ok(Accepted { id, object: ObjectHash(from.array("the object's hash")?) })
        })?;
        Ok(Self {
            window,
            state,
            accepted,
            voters: read_sorted(from, "the voters", MOST_VOTERS, NeuronId::read)?,
        })
    }
}

/// The reason why an object is not the expected record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Malformed bytes.
    #[error("the record of a window is malformed")]
    Wire(#[from] WireError),
    /// A record of another run.
    #[error("the record is from run {found}, not {expected}")]
    Run {
        /// The expected run.
        expected: RunHash,
        /// The record's run.
        found: RunHash,
    },
    /// A record of another window.
    #[error("the record is of window {found}, not {expected}")]
    Window {
        /// The expected window.
        expected: Window,
        /// The record's window.
        found: Window,
    },
}

/// Reads a list in strictly rising order.
fn read_sorted<T: Ord>(
    from: &mut Reader<'_>,
    what: &'static str,
    most: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let offset = from.offset();
    let count = usize::from(from.u16(what)?);
    let refuse = |expected| WireError::Value { what, offset, found: count as u64, expected };
    if count > most {
        return Err(refuse("a list of this kind is bounded"));
    }
    let list: Vec<T> = (0..count).map(|_| read(from)).collect::<Result<_, _>>()?;
    if list.is_sorted_by(|a, b| a < b) { Ok(list) } else { Err(refuse("its entries must rise")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};
    use proptest::{
        collection::{btree_set, vec},
        prelude::*,
    };

    fn any_id() -> impl Strategy<Value = NeuronId> {
        (any::<[u8; 32]>(), any::<u64>())
            .prop_map(|(hotkey, block)| NeuronId { hotkey: Hotkey(hotkey), registered: Height(block) })
    }

    proptest! {
        #[test]
        fn records_round_trip_and_every_cut_is_noticed(
            window: u64, state: [u8; 32], ids in btree_set(any_id(), 0..20), voters in btree_set(any_id(), 0..20),
        ) {
            let accepted = ids.into_iter().map(|id| Accepted { id, object: ObjectHash(id.hotkey.0) }).collect();
            let (window, state) = (Window(window), State(state));
            let record = WindowRecord { window, state, accepted, voters: voters.into_iter().collect() };
            let mut writer = Writer::new();
            record.write(&mut writer);
            let bytes = writer.into_bytes();
            prop_assert_eq!(WindowRecord::read(&mut Reader::new(&bytes)), Ok(record));
            for cut in 0..bytes.len() {
                prop_assert!(WindowRecord::read(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_the_same_again(bytes in vec(0u8..3, 0..300)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(record) = WindowRecord::read(&mut reader) {
                let mut writer = Writer::new();
                record.write(&mut writer);
                prop_assert_eq!(&writer.into_bytes()[..], &bytes[..reader.offset()]);
            }
        }
    }

    fn small() -> WindowRecord {
        let id = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(2) };
        WindowRecord {
            window: Window(3),
            state: State([6; 32]),
            accepted: vec![Accepted { id, object: ObjectHash([4; 32]) }],
            voters: vec![NeuronId { hotkey: Hotkey([5; 32]), registered: Height(6) }],
        }
    }

    #[test]
    fn the_object_has_known_bytes() {
        let bytes = small().to_bytes(&RunHash([7; 32]));
        let [run, state, one, four, five] = [7, 6, 1, 4, 5].map(|byte: u8| hex::encode([byte; 32]));
        let expected = format!(
            "e902{run}0300000000000000{state}0100{one}0200000000000000{four}0100{five}0600000000000000"
        );
        assert_eq!(hex::encode(&bytes), expected);
        assert_eq!(WindowRecord::open(&bytes, &RunHash([7; 32]), Window(3)), Ok(small()));
    }

    #[test]
    fn objects_of_other_runs_and_windows_are_refused() {
        let run = RunHash([7; 32]);
        let bytes = small().to_bytes(&run);
        let other = RunHash([8; 32]);
        let error = RecordError::Run { expected: other, found: run };
        assert_eq!(WindowRecord::open(&bytes, &other, Window(3)), Err(error));
        let error = RecordError::Window { expected: Window(4), found: Window(3) };
        assert_eq!(WindowRecord::open(&bytes, &run, Window(4)), Err(error));
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(WindowRecord::open(&longer, &run, Window(3)), Err(RecordError::Wire(_))));
        for cut in 0..bytes.len() {
            assert!(WindowRecord::open(&bytes[..cut], &run, Window(3)).is_err());
        }
    }

    #[test]
    fn the_largest_record_is_as_long_as_stated() {
        let id = |n: usize| {
            let mut hotkey = [0; 32];
            hotkey[..8].copy_from_slice(&(n as u64).to_be_bytes());
            NeuronId { hotkey: Hotkey(hotkey), registered: Height(1) }
        };
        let accepted = (0..MOST_CANDIDATES).map(|n| Accepted { id: id(n), object: ObjectHash([1; 32]) });
        let voters = (0..MOST_VOTERS).map(id).collect();
        let record =
            WindowRecord { window: Window(0), state: State([1; 32]), accepted: accepted.collect(), voters };
        let bytes = record.to_bytes(&RunHash([7; 32]));
        assert_eq!(bytes.len(), MOST_RECORD_OBJECT_BYTES);
        assert_eq!(WindowRecord::open(&bytes, &RunHash([7; 32]), Window(0)), Ok(record));
    }

    #[test]
    fn lists_are_bounded_and_rise() {
        let mut bytes = Writer::new();
        bytes.u64(0).raw(&[0; 32]).u16(65);
        let bytes = bytes.into_bytes();
        let error = WindowRecord::read(&mut Reader::new(&bytes)).unwrap_err().to_string();
        assert_eq!(error, "the accepted at offset 40 is 65: a list of this kind is bounded");
        let twice = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(1) };
        let mut writer = Writer::new();
        let state = State([0; 32]);
        WindowRecord { window: Window(0), state, accepted: vec![], voters: vec![twice, twice] }
            .write(&mut writer);
        let error = WindowRecord::read(&mut Reader::new(&writer.into_bytes())).unwrap_err().to_string();
        assert_eq!(error, "the voters at offset 42 is 2: its entries must rise");
    }
}
