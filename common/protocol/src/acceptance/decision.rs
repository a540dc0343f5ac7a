//! Decides a window: the accepted set, the reason for a null window, or the missing evidence.

use super::{
    AcceptanceSpec, Electorate, Snapshot,
    candidates::{Candidate, candidates},
    votes::{Ballot, turnout},
};
use crate::clock::Heights;
use base::{
    Height, NeuronId, Window,
    digest::{ObjectHash, RunId, State},
};
use std::collections::BTreeSet;

/// The evidence of a node about a window.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The state at `D_w - 10`.
    pub incentives: Option<&'a Snapshot>,
    /// The state at `D_w`.
    pub claims: Option<&'a Snapshot>,
    /// The state at `M_w`.
    pub votes: Option<&'a Snapshot>,
}

/// The decision on a window. All nodes that can decide reach the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The window.
    pub window: Window,
    /// The submissions to apply, in the order of hotkeys, or the reason for a null window.
    pub accepted: Result<Vec<Accepted>, NullWindow>,
    /// The state at the window's start that a quorum named. The accepted set is applied to it.
    pub state: Option<State>,
    /// All candidates, in order. Bit `i` of a vote stands for the candidate at place `i`.
    pub candidates: Vec<Candidate>,
    /// The hotkeys that voted, for any state.
    pub turnout: BTreeSet<NeuronId>,
    /// The electorate at `M_w`. It is empty in a decision that was taken from a record.
    pub electorate: Electorate,
}

/// A submission to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    /// The neuron that made it.
    pub id: NeuronId,
    /// The hash of the submission.
    pub object: ObjectHash,
}

/// The reason why a window has no outer step. The window still counts, and its voters stay in the
/// electorate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NullWindow {
    /// No vote stands.
    #[error("no valid vote")]
    NoVotes,
    /// No state has more than half of the voting stake: the voters do not agree on the model.
    #[error("no state has more than half of the voting stake: the largest has {largest} of {voting}")]
    NoMajorityState {
        /// The stake of the state with the most.
        largest: u64,
        /// All stake that voted.
        voting: u64,
    },
    /// The votes have too little of the electorate's weight.
    #[error(
        "no quorum: the voting stake {voting} is not more than half of the electorate's weight {electorate}"
    )]
    NoQuorum {
        /// The counted stake. It is its weight, since these votes have age 0.
        voting: u64,
        /// The weight of the electorate, in stake of age 0, rounded down.
        electorate: u64,
    },
    /// Only one hotkey voted, although others with a tenth of the electorate's weight voted in the last day.
    #[error(
        "only one hotkey voted, but others with {others} of the electorate's weight {electorate} voted lately"
    )]
    OneVoter {
        /// The weight of the members that voted in the last seventh of `electorate_blocks`, without the
        /// largest, in stake of age 0, rounded down.
        others: u64,
        /// The weight of the electorate, in the same unit.
        electorate: u64,
    },
    /// No candidate has enough votes.
    #[error("no candidate is accepted")]
    NothingAccepted,
}

/// A part of the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The incentives that order the candidates.
    Incentives,
    /// The claims.
    Claims,
    /// The votes.
    Votes,
}

/// The reason why a node cannot know what the others apply.
///
/// It must not apply anything. It gets the missing part, or resyncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// The state after a block is missing: it is too early, or the state was pruned.
    #[error("window {window}: the state after block {height} ({part:?}) is missing")]
    Missing {
        /// The window.
        window: Window,
        /// The part that is read there.
        part: Part,
        /// The block.
        height: Height,
    },
    /// A state of another block was given.
    #[error("window {window}: {part:?} must be read after block {expected}, not {found}")]
    WrongBlock {
        /// The window.
        window: Window,
        /// The part that is read there.
        part: Part,
        /// The block that is needed.
        expected: Height,
        /// The block that was given.
        found: Height,
    },
}

/// The standing of a node beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The node has the state of the stake majority.
    Agrees,
    /// The node has another state: it halts its training and resyncs.
    Diverged {
        /// The state of the stake majority.
        majority: State,
    },
    /// The votes are too few to tell.
    Unjudged,
}

impl Part {
    /// Returns the block after which this part is read.
    #[must_use]
    pub fn height(self, heights: &Heights) -> Height {
        match self {
            Self::Incentives => heights.incentives,
            Self::Claims => heights.claims_close,
            Self::Votes => heights.votes_close,
        }
    }

    /// Checks that a snapshot is of the right block.
    pub(super) fn check(self, heights: &Heights, snapshot: &Snapshot) -> Result<(), CannotDecide> {
        let window = heights.window;
        let expected = self.height(heights);
        let found = snapshot.height();
        if found == expected {
            Ok(())
        } else {
            Err(CannotDecide::WrongBlock { window, part: self, expected, found })
        }
    }

    /// Returns the snapshot if it is present and of the right block.
    fn require<'a>(
        self,
        heights: &Heights,
        given: Option<&'a Snapshot>,
    ) -> Result<&'a Snapshot, CannotDecide> {
        let window = heights.window;
        let height = self.height(heights);
        let snapshot = given.ok_or(CannotDecide::Missing { window, part: self, height })?;
        self.check(heights, snapshot)?;
        Ok(snapshot)
    }
}

impl Decision {
    /// Returns the standing of a node that has the state `ours` at the window's start.
    #[must_use]
    pub fn standing(&self, ours: State) -> Agreement {
        match self.state {
            None => Agreement::Unjudged,
            Some(majority) if majority == ours => Agreement::Agrees,
            Some(majority) => Agreement::Diverged { majority },
        }
    }

    /// Returns the weight of all hotkeys that voted, in the unit of [`Member::weight`](super::Member).
    #[must_use]
    pub fn turnout_weight(&self) -> u128 {
        self.electorate.weight_of(&self.turnout)
    }

    /// Returns the submissions to apply. In a null window the list is empty.
    #[must_use]
    pub fn applied(&self) -> &[Accepted] {
        self.accepted.as_deref().unwrap_or_default()
    }
}

/// Decides a window.
///
/// # Errors
/// A part of the evidence is missing. The error names it. Nothing may be applied then.
pub fn decide(
    run: RunId,
    spec: &AcceptanceSpec,
    heights: &Heights,
    evidence: &Evidence<'_>,
) -> Result<Decision, CannotDecide> {
    let incentives = Part::Incentives.require(heights, evidence.incentives)?;
    let claims = Part::Claims.require(heights, evidence.claims)?;
    let votes = Part::Votes.require(heights, evidence.votes)?;
    let candidates = candidates(run, spec, heights, incentives, claims)?;
    let electorate = Electorate::new(run, spec, heights, votes);
    let turnout = turnout(run, heights, votes);
    let ballot = Ballot::count(run, heights, votes, candidates.len())
        .and_then(|ballot| ballot.check_quorum(&electorate, turnout.len()).map(|()| ballot));
    let state = ballot.as_ref().ok().map(|ballot| ballot.state);
    let accepted = ballot.and_then(|ballot| {
        let is_good = |place| ballot.accepts(place, &electorate);
        accept(spec, &candidates, is_good)
    });
    Ok(Decision { window: heights.window, accepted, state, candidates, turnout, electorate })
}

/// Returns the candidates at good places, within the limits of the run.
fn accept(
    spec: &AcceptanceSpec,
    candidates: &[Candidate],
    is_good: impl Fn(usize) -> bool,
) -> Result<Vec<Accepted>, NullWindow> {
    let accepted = choose(spec, candidates, is_good);
    if accepted.is_empty() { Err(NullWindow::NothingAccepted) } else { Ok(accepted) }
}

/// Returns the good candidates within the limits of the run: at most `gather_peers`, of which at most
/// `newcomer_share` are newcomers. `good` says whether the candidate at a place is good.
pub fn choose(
    spec: &AcceptanceSpec,
    candidates: &[Candidate],
    good: impl Fn(usize) -> bool,
) -> Vec<Accepted> {
    let most = usize::from(spec.gather_peers);
    let good = candidates.iter().enumerate().filter(|(place, _)| good(*place));
    let (newcomers, proven): (Vec<&Candidate>, Vec<&Candidate>) =
        good.map(|(_, candidate)| candidate).partition(|c| c.is_newcomer());
    let any_incentive = candidates.first().is_some_and(|first| !first.is_newcomer());
    let proven = &proven[..proven.len().min(most)];
    let room = most - proven.len();
    let room = if any_incentive { room.min(spec.newcomer_places()) } else { room };
    let mut accepted: Vec<_> = (proven.iter().chain(newcomers.iter().take(room)))
        .map(|candidate| Accepted { id: candidate.id, object: candidate.object })
        .collect();
    accepted.sort_unstable();
    accepted
}
