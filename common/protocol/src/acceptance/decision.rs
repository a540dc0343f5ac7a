//! The decision on a window: what is applied, why not, or what is missing to know.

use super::{
    AcceptanceSpec, MEMORY, Snapshot,
    candidates::{Candidate, candidates},
    votes::{Ballot, expected_stake, turnout},
};
use crate::clock::Heights;
use base::{
    Height, NeuronId, Window,
    digest::{ObjectHash, RunId, State},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a node knows of a window and of those before it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The state at `D_w - 10`.
    pub incentives: Option<&'a Snapshot>,
    /// The state at `D_w`.
    pub claims: Option<&'a Snapshot>,
    /// The state at `M_w`.
    pub votes: Option<&'a Snapshot>,
    /// Who voted in the last [`MEMORY`] windows.
    pub turnouts: &'a BTreeMap<Window, BTreeSet<NeuronId>>,
}

/// What is decided on a window. All who decide, decide this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The window.
    pub window: Window,
    /// What is applied, in the order of hotkeys; or why nothing is.
    pub accepted: Result<Vec<Accepted>, NullWindow>,
    /// The state at the window's start that a quorum named: the one that the accepted set is applied to.
    pub state: Option<State>,
    /// All candidates, in order: a vote's bit `i` is the one at place `i`.
    pub candidates: Vec<Candidate>,
    /// Who voted.
    pub turnout: BTreeSet<NeuronId>,
}

/// A submission that is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    /// Whose it is.
    pub id: NeuronId,
    /// The submission.
    pub object: ObjectHash,
}

/// Why a window has no outer step. It counts all the same, and who voted in it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NullWindow {
    /// Nobody voted.
    #[error("no vote stands")]
    NoVotes,
    /// The voters do not agree on what they have trained so far.
    #[error("no state is named by more than half of the voting stake: the most is {largest} of {voting}")]
    NoMajorityState {
        /// The stake of the state with the most.
        largest: u64,
        /// All stake that voted.
        voting: u64,
    },
    /// Too much of the stake that usually votes did not.
    #[error("{voting} voted, which is not more than half of the {expected} that usually vote")]
    NoQuorum {
        /// The stake that counts.
        voting: u64,
        /// The stake that was expected.
        expected: u64,
    },
    /// Less stake than the run asks for.
    #[error("{voting} of {permitted} permitted stake voted, which is less than the run's floor")]
    BelowFloor {
        /// The stake that counts.
        voting: u64,
        /// The stake of all with a permit.
        permitted: u64,
    },
    /// One voter alone, although others could have voted.
    #[error("one voter alone, where {holders} hold permits")]
    OneVoter {
        /// Hotkeys with stake and permit.
        holders: usize,
    },
    /// No candidate has the votes.
    #[error("no candidate is accepted")]
    NobodyAccepted,
}

/// A part of what is needed to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The incentives that order the candidates.
    Incentives,
    /// The claims.
    Claims,
    /// The votes.
    Votes,
}

/// Why a node cannot know what the others apply. It must not apply anything: it gets what is missing, or resyncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// The state after a block is not at hand: too early, or pruned.
    #[error("window {window}: the state after block {height} ({part:?}) is not known")]
    Missing {
        /// The window.
        window: Window,
        /// What is read there.
        part: Part,
        /// The block.
        height: Height,
    },
    /// A state of another block was given.
    #[error("window {window}: {part:?} must be read after block {expected}, not {found}")]
    WrongBlock {
        /// The window.
        window: Window,
        /// What is read there.
        part: Part,
        /// The block that is due.
        expected: Height,
        /// The block that was given.
        found: Height,
    },
    /// Who voted in an earlier window is not known.
    #[error("window {window}: it is not known who voted in window {earlier}")]
    NoTurnout {
        /// The window.
        window: Window,
        /// The one before it.
        earlier: Window,
    },
}

/// Where a node stands beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has what the stake majority has.
    Agrees,
    /// It has something else: it halts its training and resyncs.
    Diverged {
        /// What the stake majority has.
        majority: State,
    },
    /// The votes were not enough to say.
    Unjudged,
}

impl Part {
    /// The block that it is read after.
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
        let (window, expected, found) = (heights.window, self.height(heights), snapshot.height());
        match found == expected {
            true => Ok(()),
            false => Err(CannotDecide::WrongBlock { window, part: self, expected, found }),
        }
    }

    /// The snapshot, if it is at hand and of the right block.
    fn require<'a>(
        self,
        heights: &Heights,
        given: Option<&'a Snapshot>,
    ) -> Result<&'a Snapshot, CannotDecide> {
        let (window, height) = (heights.window, self.height(heights));
        let snapshot = given.ok_or(CannotDecide::Missing { window, part: self, height })?;
        self.check(heights, snapshot)?;
        Ok(snapshot)
    }
}

impl Decision {
    /// Where a node with this state at the window's start stands.
    #[must_use]
    pub fn standing(&self, ours: State) -> Standing {
        match self.state {
            None => Standing::Unjudged,
            Some(majority) if majority == ours => Standing::Agrees,
            Some(majority) => Standing::Diverged { majority },
        }
    }

    /// What is applied: nothing, in a null window.
    #[must_use]
    pub fn applied(&self) -> &[Accepted] {
        self.accepted.as_deref().unwrap_or_default()
    }
}

/// Decides a window.
///
/// # Errors
/// Names what is missing. Nothing may be applied then.
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
    let expected = match heights.window.0 < MEMORY {
        true => expected_stake(votes, None),
        false => expected_stake(votes, Some(&last_turnouts(heights.window, evidence.turnouts)?)),
    };
    let ballot = Ballot::count(run, heights, votes, candidates.len())
        .and_then(|ballot| ballot.check_quorum(spec, expected, votes).map(|()| ballot));
    let state = ballot.as_ref().ok().map(|ballot| ballot.state);
    let accepted = ballot.and_then(|ballot| accept(spec, &candidates, &ballot));
    let turnout = turnout(run, heights, votes);
    Ok(Decision { window: heights.window, accepted, state, candidates, turnout })
}

/// Who voted in each of the last windows.
fn last_turnouts(
    window: Window,
    turnouts: &BTreeMap<Window, BTreeSet<NeuronId>>,
) -> Result<Vec<&BTreeSet<NeuronId>>, CannotDecide> {
    let last = (window.0 - MEMORY..window.0).map(Window);
    last.map(|earlier| turnouts.get(&earlier).ok_or(CannotDecide::NoTurnout { window, earlier })).collect()
}

/// The candidates that the votes accept, within the limits of the run.
fn accept(
    spec: &AcceptanceSpec,
    candidates: &[Candidate],
    ballot: &Ballot,
) -> Result<Vec<Accepted>, NullWindow> {
    let most = usize::from(spec.gather_peers);
    let good = candidates.iter().enumerate().filter(|(place, _)| ballot.accepts(*place));
    let (newcomers, proven): (Vec<&Candidate>, Vec<&Candidate>) =
        good.map(|(_, candidate)| candidate).partition(|c| c.is_newcomer());
    let any_incentive = candidates.first().is_some_and(|first| !first.is_newcomer());
    let proven = &proven[..proven.len().min(most)];
    let room = most - proven.len();
    let room = if any_incentive { room.min(spec.newcomers_beside(proven.len())) } else { room };
    let mut accepted: Vec<_> = (proven.iter().chain(newcomers.iter().take(room)))
        .map(|candidate| Accepted { id: candidate.id, object: candidate.object })
        .collect();
    accepted.sort_unstable();
    if accepted.is_empty() { Err(NullWindow::NobodyAccepted) } else { Ok(accepted) }
}
