//! The score log: one file per validator and window, from which any reader can recompute ratings,
//! scores and weights.
//!
//! A log holds the inputs: each measurement as raw bits, and all facts that the judgement uses. Then it
//! holds the validator's results: standings, scores and weights. Each line holds the hash of the line
//! before it, and the validator signs the last hash. `FORMATS.md` describes the bytes.
//!
//! * [`ScoreLog::close`] creates a log.
//! * [`ScoreLog::open`] checks and decodes a log from outside.
//! * [`Replay`] recomputes one log after the other, and names the first item that differs.
//!
//! Every few windows a log begins with a snapshot of all standings. So a replay can begin there,
//! without the first log of the run. A validator that joins adopts the standings after another validator's
//! log, which any reader can replay. Its first log says whose ([`adoptable`]).

mod adoption;
mod copies;
mod difference;
mod error;
mod findings;
mod format;
mod lines;
mod replay;

pub use adoption::{NotAdoptable, Voted, adoptable};
pub use copies::{OwnMeasurements, own_measurements};
pub use difference::{Difference, weights_difference};
pub use error::{ChainBreak, ReplayError, ScoreLogError};
pub use findings::{Findings, Registrations};
pub use lines::MOST_LINES;
pub use replay::{Replay, Results};

use crate::{
    gauntlet::{Outcome, ScoringSpec, Standings},
    pay::Score,
    uniqueness::Baselines,
    weights::{Subnet, Weights},
};
use base::{
    BlockHash, Height, Hotkey, NeuronId, Uid, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
    signature::SigningKey,
};
use std::collections::{BTreeMap, BTreeSet};

/// The first byte of a score log.
pub const KIND: u8 = 0xe5;
/// The version of the format, its second byte.
pub const VERSION: u8 = 3;
/// The context of a score log's signature.
pub const SIGNATURE_CONTEXT: &str = "muster v1 score log";
/// Maximum number of bytes of a score log. A longer object need not be downloaded.
pub const MOST_BYTES: usize =
    format::HEADER_BYTES + MOST_LINES * lines::MOST_LINE_BYTES + lines::TRAILER_BYTES;

/// The facts by which a window is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The run.
    pub run: RunHash,
    /// The validator that wrote the log.
    pub validator: NeuronId,
    /// The window that was evaluated.
    pub window: Window,
    /// The state on which updates were tried: the shared parameters and the history that led to them.
    pub state: State,
    /// Hash of the finalized block that seeded the evaluations.
    pub seed: BlockHash,
    /// The head of the validator's previous log; zeros in its first log.
    pub previous: ScoreLogHead,
    /// The hash of the standings before this window.
    pub standings: StandingsHash,
    /// The log whose standings this log begins from, if it is the first one of its validator and does not
    /// begin without standings.
    pub adopted: Option<Adopted>,
    /// The mean loss of the common unassigned sequences before any update, in nats, for readers. Any number
    /// if no miner was evaluated.
    pub unassigned_before: f64,
    /// The usual overlaps of updates, from which their uniqueness was computed.
    pub baselines: Baselines,
    /// The subnet's rules when the weights were computed.
    pub subnet: Subnet,
}

/// A log whose standings another validator begins from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The validator that wrote it.
    pub validator: Hotkey,
    /// Its window.
    pub window: Window,
    /// Its head.
    pub head: ScoreLogHead,
}

/// A miner in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinerLine {
    /// Its uid, or its last uid if its hotkey is not registered.
    pub uid: Uid,
    /// The block of the registration with which it made its claim. Without a claim, that of its registration
    /// after the block that seeded the evaluations, or of its last one.
    pub registered: Height,
    /// The hash of the object that it claimed; zeros without a claim.
    pub object: ObjectHash,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The results that the validator states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The standings after the window.
    pub standings: Standings,
    /// The score of each miner that has a standing.
    pub scores: BTreeMap<Hotkey, Score>,
    /// The weights; empty if no weights can be set.
    pub weights: Weights,
}

impl MinerLine {
    /// Returns the registration of the line's miner.
    #[must_use]
    pub fn neuron(&self, hotkey: Hotkey) -> NeuronId {
        NeuronId { hotkey, registered: self.registered }
    }
}

/// A validator's record of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreLog {
    /// The facts by which the window is judged.
    pub header: Header,
    /// All standings before the window, in the windows for which the run spec asks for a snapshot.
    pub snapshot: Option<Standings>,
    /// The line of each claimant and each miner with a standing.
    pub miners: BTreeMap<Hotkey, MinerLine>,
    /// The stated results.
    pub stated: Stated,
}

/// The log that a reader asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The run.
    pub run: RunHash,
    /// The validator.
    pub validator: NeuronId,
    /// The window.
    pub window: Window,
}

impl ScoreLog {
    /// Returns the uids with a weight whose miner has lost the uid to another one. `seats` is the hotkey at
    /// each uid. The weight of such a uid would pay the wrong miner.
    #[must_use]
    pub fn lost_seats(&self, seats: &[Hotkey]) -> BTreeSet<Uid> {
        let mut named: BTreeMap<Uid, BTreeSet<Hotkey>> = BTreeMap::new();
        for (hotkey, line) in &self.miners {
            named.entry(line.uid).or_default().insert(*hotkey);
        }
        let is_lost = |(uid, weight): (&Uid, &u16)| {
            // A uid without a line is not a miner's: it burns weight, or fills the row up.
            let miners = named.get(uid).filter(|_| *weight > 0)?;
            let seat = seats.get(usize::from(uid.0));
            seat.is_none_or(|seat| !miners.contains(seat)).then_some(*uid)
        };
        self.stated.weights.iter().filter_map(is_lost).collect()
    }

    /// Returns the head: the hash that the validator signs, names in its vote, and puts into its next log.
    #[must_use]
    pub fn head(&self) -> ScoreLogHead {
        let (_, head, _) = self.framed();
        head
    }

    /// Encodes the log as an object that the validator signs.
    ///
    /// # Errors
    /// The key belongs to another hotkey, or the log has too many lines.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, ScoreLogError> {
        let expected = self.header.validator.hotkey;
        let found = key.hotkey();
        if expected != found {
            return Err(ScoreLogError::WrongHotkey { expected, found });
        }
        let (mut writer, head, count) = self.framed();
        if count as usize > MOST_LINES {
            return Err(ScoreLogError::TooManyLines);
        }
        writer.u32(count).raw(&head.0).raw(&key.sign(SIGNATURE_CONTEXT, &head.0).0);
        Ok(writer.into_bytes())
    }

    /// Decodes a log from outside. Checks that it is the expected log, complete, unchanged and signed.
    ///
    /// Does not check the stated results: [`Replay`] does.
    ///
    /// # Errors
    /// Names the defect: another run, validator or window; a line that was edited, dropped, moved or
    /// added; a wrong signature; or values that no log may hold.
    pub fn open(bytes: &[u8], expected: &Expected) -> Result<Self, ScoreLogError> {
        if bytes.len() > MOST_BYTES {
            return Err(ScoreLogError::TooLarge { length: bytes.len() });
        }
        let header = format::read_header(bytes)?;
        header.0.check(expected)?;
        let framed = lines::read(bytes, format::HEADER_BYTES)?;
        framed.signature.verify(expected.validator.hotkey, SIGNATURE_CONTEXT, &framed.head.0)?;
        Self::from_lines(header, &framed.lines)
    }
}

impl ScoreLog {
    /// Returns the miners that were cut from the window. They come first in the next one
    /// ([`EvaluationPriority::after`](crate::gauntlet::EvaluationPriority::after)).
    #[must_use]
    pub fn cut(&self) -> BTreeSet<Hotkey> {
        let cut = self.miners.iter().filter(|(_, line)| line.outcome == Outcome::Skipped);
        cut.map(|(&miner, _)| miner).collect()
    }
}

impl Header {
    fn check(&self, expected: &Expected) -> Result<(), ScoreLogError> {
        let (run, validator, window) = (expected.run, expected.validator, expected.window);
        if self.run != run {
            return Err(ScoreLogError::WrongRun { expected: run, found: self.run });
        }
        if self.validator.hotkey != validator.hotkey {
            let found = self.validator.hotkey;
            return Err(ScoreLogError::WrongHotkey { expected: validator.hotkey, found });
        }
        if self.validator.registered != validator.registered {
            let found = self.validator.registered;
            return Err(ScoreLogError::WrongRegistration { expected: validator.registered, found });
        }
        if self.window != window {
            return Err(ScoreLogError::WrongWindow { expected: window, found: self.window });
        }
        Ok(())
    }

    /// Returns whether a log with this header must carry a snapshot: the first log of a validator, and
    /// each log whose window is a multiple of `snapshot_every`.
    #[must_use]
    pub fn asks_for_snapshot(&self, spec: &ScoringSpec) -> bool {
        self.previous == ScoreLogHead::default()
            || self.window.0.is_multiple_of(u64::from(spec.snapshot_every.max(1)))
    }
}

#[cfg(test)]
mod tests;
