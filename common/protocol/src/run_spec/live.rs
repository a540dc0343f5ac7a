//! Whether a run fits the subnet as it is now.

use super::RunSpec;
use crate::clock::Position;
use base::{BlockHash, Height, Netuid, digest::RunId};
use std::collections::BTreeMap;

/// Bytes of the largest announcement that a node repeats each window: a bucket on R2 and a vote.
const VOTE_COST: u64 = 128 + 122;

/// What the chain says of the subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSubnet {
    /// The hash of the chain's first block.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: Netuid,
    /// The finalized block.
    pub height: Height,
    /// Blocks between epochs, less one.
    pub tempo: u16,
    /// Bytes that a hotkey may write as commitments in an epoch (`Commitments.MaxSpace`).
    pub commitment_space: u64,
    /// Hotkeys with stake and permit.
    pub permits: usize,
    /// The runs that permitted hotkeys voted for last, and the stake behind each.
    pub runs: Vec<(RunId, u64)>,
}

/// Why a run does not fit the subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveProblem {
    /// It is another chain.
    #[error(
        "the run is on the chain with genesis {expected}, this one has {found}: connect to the run's chain"
    )]
    Chain {
        /// The run's.
        expected: BlockHash,
        /// The one connected to.
        found: BlockHash,
    },
    /// It is another subnet.
    #[error("the run is on subnet {expected}, not {found}: set the netuid of the run")]
    Subnet {
        /// The run's.
        expected: Netuid,
        /// The one asked for.
        found: Netuid,
    },
    /// A node cannot write a commitment each window.
    #[error(
        "windows of {blocks} blocks need {needed} bytes of commitments an epoch (tempo {tempo}), the chain grants \
         {granted}: use longer windows or a shorter tempo"
    )]
    CommitmentSpace {
        /// Blocks of a window.
        blocks: u32,
        /// Bytes that a validator may need.
        needed: u64,
        /// The subnet's tempo.
        tempo: u16,
        /// Bytes that the chain grants.
        granted: u64,
    },
    /// Nobody may vote, so no window would have an outer step.
    #[error("no hotkey of subnet {0} has stake and a permit: nobody could vote; stake to a validator first")]
    NoPermits(Netuid),
    /// The run is over.
    #[error("the run ended with block {end}, the chain is at {height}")]
    Over {
        /// The last block of the last window.
        end: Height,
        /// The finalized block.
        height: Height,
    },
    /// The stake majority trains something else.
    #[error("this is run {ours}, but {stake} of {voting} voting stake is in run {theirs}: use its run spec")]
    OtherRun {
        /// This run.
        ours: RunId,
        /// The majority's.
        theirs: RunId,
        /// The stake in it.
        stake: u64,
        /// All stake that votes.
        voting: u64,
    },
}

impl RunSpec {
    /// Everything that is wrong with taking part in this run on the subnet as it is now. Nothing, if it fits.
    #[must_use]
    pub fn problems(&self, live: &LiveSubnet) -> Vec<LiveProblem> {
        let found = [
            self.check_chain(live),
            self.check_subnet(live),
            self.check_space(live),
            (live.permits == 0).then_some(LiveProblem::NoPermits(live.netuid)),
            self.check_end(live),
            self.check_majority(live),
        ];
        found.into_iter().flatten().collect()
    }

    fn check_chain(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let (expected, found) = (self.network.genesis, live.genesis);
        (expected != found).then_some(LiveProblem::Chain { expected, found })
    }

    fn check_subnet(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let (expected, found) = (self.network.netuid, live.netuid);
        (expected != found).then_some(LiveProblem::Subnet { expected, found })
    }

    /// A node writes once in each window, at any block of it: an epoch of `e` blocks touches at most
    /// `(e - 1) / blocks + 2` windows.
    fn check_space(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let (blocks, tempo, granted) = (self.window.blocks, live.tempo, live.commitment_space);
        let needed = (u64::from(tempo) / u64::from(blocks) + 2) * VOTE_COST;
        (needed > granted).then_some(LiveProblem::CommitmentSpace { blocks, needed, tempo, granted })
    }

    fn check_end(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let clock = self.clock().ok()?;
        let last = clock.heights(clock.last_window()).ok()?;
        let over =
            matches!(clock.position(live.height), Position::After { .. }) && live.height > last.votes_close;
        over.then_some(LiveProblem::Over { end: last.last, height: live.height })
    }

    fn check_majority(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let mut behind = BTreeMap::<RunId, u64>::new();
        for (run, stake) in &live.runs {
            *behind.entry(*run).or_default() += stake;
        }
        let (ours, voting) = (self.id(), behind.values().sum());
        let other = behind.into_iter().find(|&(run, stake)| run != ours && 2 * stake > voting);
        other.map(|(theirs, stake)| LiveProblem::OtherRun { ours, theirs, stake, voting })
    }
}
