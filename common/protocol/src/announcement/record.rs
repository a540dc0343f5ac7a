//! Claims and votes: the on-chain records of a neuron about a window.

use super::{FieldError, Possession, VERSION, kind, open};
use base::{
    Window,
    digest::{ObjectHash, RunId, ScoreLogHead, State},
    wire::{Reader, WireError, Writer},
};
use std::fmt;

/// Most candidates of a window: the number of bits in a vote.
pub const MOST_CANDIDATES: usize = 64;

/// The content of field 1 of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A miner's claim.
    Claim(Claim),
    /// A validator's vote.
    Vote(Vote),
}

/// A miner's record of the submission that it uploads for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The trained window.
    pub window: Window,
    /// The submission's hash. It is downloaded under this name, and no other object counts.
    pub object: ObjectHash,
}

/// A validator's record of the candidates of a window that it found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The run.
    pub run: RunId,
    /// The window of the candidates.
    pub window: Window,
    /// The good candidates: they match their claims, are valid, were trained from the right state
    /// and did not raise the loss.
    pub good: Bits,
    /// The validator's state: the shared parameters at the window's start and all accepted sets before.
    pub state: State,
    /// The head of the validator's last score log.
    pub score_log: ScoreLogHead,
    /// The proof that the validator held the parameters at the window's start.
    pub possession: Possession,
}

/// A set of candidates: bit `i` stands for candidate `i`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bits(pub u64);

impl Bits {
    /// Creates the set of these candidates.
    ///
    /// # Panics
    /// A candidate is 64 or more. There are at most [`MOST_CANDIDATES`].
    #[must_use]
    pub fn of(candidates: impl IntoIterator<Item = usize>) -> Self {
        Self(candidates.into_iter().fold(0, |bits, candidate| {
            assert!(candidate < MOST_CANDIDATES, "there are at most {MOST_CANDIDATES} candidates");
            bits | 1 << candidate
        }))
    }

    /// Checks whether a candidate is in the set.
    #[must_use]
    pub fn has(self, candidate: usize) -> bool {
        candidate < MOST_CANDIDATES && self.0 >> candidate & 1 == 1
    }

    /// Checks whether all members are among the first `candidates`.
    #[must_use]
    pub fn is_within(self, candidates: usize) -> bool {
        candidates >= MOST_CANDIDATES || self.0 >> candidates == 0
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..MOST_CANDIDATES).filter(|&candidate| self.has(candidate))).finish()
    }
}

impl Record {
    /// Returns the run that it is about.
    #[must_use]
    pub fn run(&self) -> RunId {
        match self {
            Self::Claim(claim) => claim.run,
            Self::Vote(vote) => vote.run,
        }
    }

    /// Encodes the field's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::new();
        match self {
            Self::Claim(claim) => {
                to.u8(kind::CLAIM).u8(VERSION).raw(&claim.run.0).u64(claim.window.0).raw(&claim.object.0);
            }
            Self::Vote(vote) => {
                to.u8(kind::VOTE).u8(VERSION).raw(&vote.run.0).u64(vote.window.0).u64(vote.good.0);
                to.raw(&vote.state.0).raw(&vote.score_log.0).raw(&vote.possession.0);
            }
        }
        to.into_bytes()
    }

    /// Decodes a field's bytes, all of them.
    ///
    /// # Errors
    /// The bytes are not a claim or vote of this version.
    pub fn read(bytes: &[u8]) -> Result<Self, FieldError> {
        let (found, mut from) = open(bytes, &[kind::CLAIM, kind::VOTE])?;
        if found == kind::CLAIM {
            let claim = Claim::read(&mut from)?;
            from.finish("the claim")?;
            return Ok(Self::Claim(claim));
        }
        let vote = Vote::read(&mut from)?;
        from.finish("the vote")?;
        Ok(Self::Vote(vote))
    }
}

impl Claim {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let run = RunId(from.array("the run id")?);
        let window = Window(from.u64("the window")?);
        Ok(Self { run, window, object: ObjectHash(from.array("the object's hash")?) })
    }
}

impl Vote {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            run: RunId(from.array("the run id")?),
            window: Window(from.u64("the window")?),
            good: Bits(from.u64("the candidates")?),
            state: State(from.array("the state")?),
            score_log: ScoreLogHead(from.array("the score log's head")?),
            possession: Possession(from.array("the possession")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_name_candidates() {
        let bits = Bits::of([0, 3, 63]);
        assert_eq!(format!("{bits:?}"), "{0, 3, 63}");
        assert!(bits.has(63) && !bits.has(1) && !bits.has(64));
        assert!(bits.is_within(64) && !bits.is_within(63));
        assert!(Bits::of([4]).is_within(5) && !Bits::of([4]).is_within(4));
        assert!(Bits(0).is_within(0) && Bits(u64::MAX).is_within(64));
    }
}
