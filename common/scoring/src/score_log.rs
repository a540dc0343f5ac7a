//! The score log: one file per validator and window, from which anybody recomputes its ratings, scores and weights.
//!
//! A log holds every measurement as raw bits and every fact that it was judged by, then what the validator made of them:
//! standings, scores and weights. Each line carries the hash of the one before it, and the validator signs the last.
//! [`ScoreLog::close`] makes one, [`ScoreLog::open`] takes one from outside, [`Replay`] recomputes one after the other
//! and names the first item that comes out differently. The bytes are in `FORMATS.md`.
//!
//! Every few windows a log begins with a snapshot of all standings, so that nobody needs the first log of a run.

mod difference;
mod error;
mod format;
mod lines;
mod replay;

pub use difference::{Difference, weights_difference};
pub use error::{ChainBreak, ReplayError, ScoreLogError};
pub use lines::MOST_LINES;
pub use replay::{Replay, Results};

use crate::{
    gauntlet::{Outcome, Score, ScoringSpec, Standings},
    weights::{Subnet, Weights},
};
use base::{
    BlockHash, NeuronId, Uid, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
    signature::SigningKey,
};
use std::collections::{BTreeMap, BTreeSet};

/// The first byte of a score log.
pub const KIND: u8 = 0xe5;
/// The version of the format, its second byte.
pub const VERSION: u8 = 1;
/// What a signature of a score log is made for.
pub const SIGNATURE_CONTEXT: &str = "muster v1 score log";
/// Most bytes of a score log; a longer object need not be downloaded.
pub const MOST_BYTES: usize =
    format::HEADER_BYTES + MOST_LINES * lines::MOST_LINE_BYTES + lines::TRAILER_BYTES;

/// What the window is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The run.
    pub run: RunHash,
    /// Whose log it is.
    pub validator: NeuronId,
    /// The window that was evaluated.
    pub window: Window,
    /// The shared parameters that updates were tried out on, and how they came about.
    pub state: State,
    /// The finalized block that seeded the evaluations.
    pub seed: BlockHash,
    /// The head of the validator's log before this one; zeros in its first.
    pub previous: ScoreLogHead,
    /// The standings before this window.
    pub standings: StandingsHash,
    /// The loss on data assigned to nobody before any update, in nats; any number if nobody was evaluated.
    pub unassigned_before: f64,
    /// The subnet as it was when the weights were computed.
    pub subnet: Subnet,
}

/// A miner in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinerLine {
    /// Its uid; the last that it had, if it is gone.
    pub uid: Uid,
    /// The object that it claimed; zeros without a claim.
    pub object: ObjectHash,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the validator says came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The standings after the window.
    pub standings: Standings,
    /// The score of each miner that has a standing.
    pub scores: BTreeMap<NeuronId, Score>,
    /// The weights; none if none can be set.
    pub weights: Weights,
}

/// A validator's record of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreLog {
    /// What the window is judged by.
    pub header: Header,
    /// All standings before the window, where the run spec asks for them.
    pub snapshot: Option<Standings>,
    /// What became of each claimant and of each rated miner.
    pub miners: BTreeMap<NeuronId, MinerLine>,
    /// What came out.
    pub stated: Stated,
}

/// Which log a reader asked for.
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
    /// The head: what the validator signs, names in its vote and carries on in its next log.
    #[must_use]
    pub fn head(&self) -> ScoreLogHead {
        let (_, head, _) = self.framed();
        head
    }

    /// The log as an object, signed by the validator.
    ///
    /// # Errors
    /// The key is another's, or the log has too many lines.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, ScoreLogError> {
        let (expected, found) = (self.header.validator.hotkey, key.hotkey());
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

    /// Takes a log from outside: the one that was asked for, whole, unchanged and signed.
    ///
    /// What it states has yet to be replayed.
    ///
    /// # Errors
    /// Says what is wrong: another run, validator or window, a line that was edited, dropped, moved or added, a wrong
    /// signature, or values that no log holds.
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
    /// Who was cut from the window: they come first in the next ([`Turns::after`](crate::gauntlet::Turns::after)).
    #[must_use]
    pub fn cut(&self) -> BTreeSet<NeuronId> {
        let cut = self.miners.iter().filter(|(_, line)| line.outcome == Outcome::Cut);
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

    /// Whether a log with this header carries a snapshot: the first of a validator, and each whose window is a multiple
    /// of `snapshot_every`.
    #[must_use]
    pub fn asks_for_snapshot(&self, spec: &ScoringSpec) -> bool {
        self.previous == ScoreLogHead::default()
            || self.window.0.is_multiple_of(u64::from(spec.snapshot_every.max(1)))
    }
}

#[cfg(test)]
mod tests;
