//! Counts the votes on a window, and checks whether they are enough.

use super::{Electorate, NullWindow, Snapshot};
use crate::{announcement::Bits, clock::Heights};
use base::{
    Hotkey, NeuronId,
    digest::{RunId, State},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Returns all hotkeys that voted on a window, for any state and any candidates. It is a pure
/// function of the state at `M_w`.
///
/// These nodes may have the window's objects and its record.
#[must_use]
pub fn turnout(run: RunId, heights: &Heights, votes: &Snapshot) -> BTreeSet<NeuronId> {
    votes.votes(run, heights).map(|(id, ..)| id).collect()
}

/// A state that votes on a window name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedState {
    /// The state at the window's start.
    pub state: State,
    /// The stake of its voters.
    pub stake: u64,
    /// The hotkeys of its voters, in order.
    pub voters: Vec<Hotkey>,
}

/// Returns the states that the votes on a window name, the one with the most stake first. It is a pure
/// function of the state at `M_w`. Only [`decide`](super::decide) tells whether the first one has a quorum.
#[must_use]
pub fn named_states(run: RunId, heights: &Heights, votes: &Snapshot) -> Vec<NamedState> {
    let mut named = BTreeMap::<State, (u64, Vec<Hotkey>)>::new();
    for (id, stake, vote) in votes.votes(run, heights) {
        let (sum, voters) = named.entry(vote.state).or_default();
        *sum += stake;
        voters.push(id.hotkey);
    }
    let mut named: Vec<_> =
        named.into_iter().map(|(state, (stake, voters))| NamedState { state, stake, voters }).collect();
    named.sort_by_key(|named| std::cmp::Reverse(named.stake));
    named
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

    /// Checks whether more than half of the electorate's weight found a candidate good.
    ///
    /// Half of the stake that votes is not enough: where others are absent, hostile voters with a quarter of
    /// the weight could make an object accepted that no honest node holds, and the run would wait for it.
    pub(super) fn accepts(&self, candidate: usize, electorate: &Electorate) -> bool {
        let good: u64 =
            self.votes.iter().filter(|(_, bits)| bits.has(candidate)).map(|(stake, _)| stake).sum();
        2 * electorate.full_weight(good) > electorate.weight()
    }

    /// Checks whether the votes are enough for an outer step. `voters` hotkeys voted, for any state.
    ///
    /// # Errors
    /// The error names what is missing.
    pub(super) fn check_quorum(&self, electorate: &Electorate, voters: usize) -> Result<(), NullWindow> {
        let voting = self.stake();
        let all = electorate.weight();
        if 2 * electorate.full_weight(voting) <= all {
            return Err(NullWindow::NoQuorum { voting, electorate: electorate.as_stake(all) });
        }
        if voters < 2 && electorate.needs_two_voters() {
            let others = electorate.as_stake(electorate.others());
            return Err(NullWindow::OneVoter { others, electorate: electorate.as_stake(all) });
        }
        Ok(())
    }
}
