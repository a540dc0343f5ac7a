//! Counts the votes on a window, and checks whether they are enough.

use super::{AcceptanceSpec, NullWindow, REGULAR, Snapshot};
use crate::{announcement::Bits, clock::Heights};
use base::{
    Millionths, NeuronId,
    digest::{RunId, State},
};
use std::collections::{BTreeMap, BTreeSet};

/// Returns all hotkeys that voted on a window, for any state and any candidates. It is a pure
/// function of the state at `M_w`.
///
/// The result is kept for [`MEMORY`](super::MEMORY) windows. It shows which stake is missing when
/// it does not vote.
#[must_use]
pub fn turnout(run: RunId, heights: &Heights, votes: &Snapshot) -> BTreeSet<NeuronId> {
    votes.votes(run, heights).map(|(id, ..)| id).collect()
}

/// The votes that count. All of them name the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// The state that they name.
    pub(super) state: State,
    /// The stake of each vote, and the candidates that it found good.
    votes: Vec<(u64, Bits)>,
}

impl Ballot {
    /// Counts the votes.
    ///
    /// # Errors
    /// There is no vote, or no state has more than half of the voting stake.
    pub(super) fn count(
        run: RunId,
        heights: &Heights,
        votes: &Snapshot,
        candidates: usize,
    ) -> Result<Self, NullWindow> {
        let votes: Vec<_> =
            votes.votes(run, heights).filter(|(.., vote)| vote.good.is_within(candidates)).collect();
        let voting: u64 = votes.iter().map(|(_, stake, _)| stake).sum();
        let mut states = BTreeMap::<State, u64>::new();
        for (_, stake, vote) in &votes {
            *states.entry(vote.state).or_default() += stake;
        }
        let Some((&state, &largest)) = states.iter().max_by_key(|(_, stake)| **stake) else {
            return Err(NullWindow::NoVotes);
        };
        if 2 * largest <= voting {
            return Err(NullWindow::NoMajorityState { largest, voting });
        }
        let counted = votes.iter().filter(|(.., vote)| vote.state == state);
        Ok(Self { state, votes: counted.map(|&(_, stake, vote)| (stake, vote.good)).collect() })
    }

    /// Returns the stake that votes.
    pub(super) fn stake(&self) -> u64 {
        self.votes.iter().map(|(stake, _)| stake).sum()
    }

    /// Checks whether more than half of it found a candidate good.
    pub(super) fn accepts(&self, candidate: usize) -> bool {
        let good: u64 =
            self.votes.iter().filter(|(_, bits)| bits.has(candidate)).map(|(stake, _)| stake).sum();
        2 * good > self.stake()
    }

    /// Checks whether the votes are enough for an outer step.
    ///
    /// # Errors
    /// The error names what is missing.
    pub(super) fn check_quorum(
        &self,
        spec: &AcceptanceSpec,
        expected: u64,
        votes: &Snapshot,
    ) -> Result<(), NullWindow> {
        let voting = self.stake();
        if 2 * voting <= expected {
            return Err(NullWindow::NoQuorum { voting, expected });
        }
        let permitted: u64 = votes.participants().map(super::Participant::voice).sum();
        let share = |stake: u64, of: i64| u128::from(stake) * u128::from(of.unsigned_abs());
        if share(voting, Millionths::ONE.0) < share(permitted, spec.vote_floor.0) {
            return Err(NullWindow::BelowFloor { voting, permitted });
        }
        let holders = votes.participants().filter(|participant| participant.voice() > 0).count();
        if self.votes.len() < holders.min(2) {
            return Err(NullWindow::OneVoter { holders });
        }
        Ok(())
    }
}

/// Returns the stake that is expected to vote: that of all hotkeys with a permit, or of the regular
/// voters.
pub(super) fn expected_stake(votes: &Snapshot, turnouts: Option<&[&BTreeSet<NeuronId>]>) -> u64 {
    let is_regular = |id: &NeuronId| {
        turnouts.is_none_or(|turnouts| turnouts.iter().filter(|t| t.contains(id)).count() >= REGULAR)
    };
    let regular = votes.participants().filter(|participant| is_regular(&participant.neuron.id));
    regular.map(super::Participant::voice).sum()
}
