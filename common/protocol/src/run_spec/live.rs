//! Checks whether a run fits the subnet as it is now.

use super::RunSpec;
use crate::clock::{Position, WindowSpec};
use base::{BlockHash, Height, Netuid, digest::RunId};
use std::collections::BTreeMap;

/// Size in bytes of the largest announcement that a node writes in each window: a bucket on R2 and a vote.
const VOTE_COST: u64 = 128 + 122;

/// The state of the subnet on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSubnet {
    /// The hash of the chain's first block.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: Netuid,
    /// The finalized block.
    pub height: Height,
    /// The rules that can change while the run runs.
    pub rules: LiveRules,
    /// The number of hotkeys with stake and permit.
    pub permits: usize,
    /// The runs of the last votes of hotkeys with a permit, and the stake behind each run.
    pub runs: Vec<(RunId, u64)>,
}

/// The rules of a subnet that a run depends on, and that its owner may change at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRules {
    /// The number of blocks between epochs, less one.
    pub tempo: u16,
    /// Bytes that a hotkey may write as commitments in an epoch (`Commitments.MaxSpace`).
    pub commitment_space: u64,
    /// The smallest version key of weights that the subnet's owner allows (`WeightsVersionKey`).
    pub version_key: u64,
}

/// The reason why a run does not fit the subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveProblem {
    /// Another chain.
    #[error(
        "the run is on the chain with genesis {expected}, but this one has {found}: connect to the run's chain"
    )]
    Chain {
        /// The run's chain.
        expected: BlockHash,
        /// The connected chain.
        found: BlockHash,
    },
    /// Another subnet.
    #[error("the run is on subnet {expected}, not {found}: set the netuid of the run")]
    Subnet {
        /// The run's subnet.
        expected: Netuid,
        /// The given subnet.
        found: Netuid,
    },
    /// Too little space to write a commitment in each window.
    #[error(
        "windows of {blocks} blocks need {needed} bytes of commitments an epoch (tempo {tempo}), but the chain grants \
         {granted}: use longer windows or a shorter tempo"
    )]
    CommitmentSpace {
        /// The number of blocks of a window.
        blocks: u32,
        /// The bytes that a validator may need.
        needed: u64,
        /// The subnet's tempo.
        tempo: u16,
        /// The bytes that the chain grants.
        granted: u64,
    },
    /// A subnet whose owner has stopped programs and runs of this version.
    #[error(
        "the run's version key is {ours}, and the owner of subnet {netuid} requires {required}: update this program \
         and its run file"
    )]
    VersionKey {
        /// The subnet.
        netuid: Netuid,
        /// The run's version key.
        ours: u64,
        /// The smallest one that the subnet allows.
        required: u64,
    },
    /// A subnet without hotkeys that may vote, so no window would have an outer step.
    #[error("no hotkey of subnet {0} has stake and a permit, so no vote counts: stake to a validator first")]
    NoPermits(Netuid),
    /// A run that is over.
    #[error("the run ended with block {end}; the chain is at {height}")]
    Over {
        /// The last block of the last window.
        end: Height,
        /// The finalized block.
        height: Height,
    },
    /// Another run, which the stake majority trains.
    #[error("this is run {ours}, but {stake} of {voting} voting stake is in run {theirs}: use its run spec")]
    OtherRun {
        /// This run.
        ours: RunId,
        /// The majority's run.
        theirs: RunId,
        /// The stake in the majority's run.
        stake: u64,
        /// All stake that votes.
        voting: u64,
    },
}

/// Returns the bytes of commitments that a validator may need in an epoch. A node writes once in each window,
/// at any block of it. So an epoch of `e` blocks touches at most `(e - 1) / blocks + 2` windows.
#[must_use]
pub fn commitment_bytes(window: &WindowSpec, tempo: u16) -> u64 {
    (u64::from(tempo) / u64::from(window.blocks) + 2) * VOTE_COST
}

impl RunSpec {
    /// Lists all reasons against taking part in this run on the subnet as it is now. The list is
    /// empty if the run fits.
    #[must_use]
    pub fn problems(&self, live: &LiveSubnet) -> Vec<LiveProblem> {
        let found = [
            self.check_chain(live),
            self.check_subnet(live),
            self.check_space(&live.rules),
            self.check_version(&live.rules),
            (live.permits == 0).then_some(LiveProblem::NoPermits(live.netuid)),
            self.check_end(live),
            self.check_majority(live),
        ];
        found.into_iter().flatten().collect()
    }

    /// Lists the reasons in the subnet's rules alone. A node looks for them once a window.
    #[must_use]
    pub fn rule_problems(&self, rules: &LiveRules) -> Vec<LiveProblem> {
        self.check_space(rules).into_iter().chain(self.check_version(rules)).collect()
    }

    fn check_chain(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let expected = self.network.genesis;
        let found = live.genesis;
        (expected != found).then_some(LiveProblem::Chain { expected, found })
    }

    fn check_subnet(&self, live: &LiveSubnet) -> Option<LiveProblem> {
        let expected = self.network.netuid;
        let found = live.netuid;
        (expected != found).then_some(LiveProblem::Subnet { expected, found })
    }

    fn check_version(&self, live: &LiveRules) -> Option<LiveProblem> {
        let (ours, required, netuid) = (self.network.version_key, live.version_key, self.network.netuid);
        (ours < required).then_some(LiveProblem::VersionKey { netuid, ours, required })
    }

    /// Checks the space for commitments.
    fn check_space(&self, live: &LiveRules) -> Option<LiveProblem> {
        let blocks = self.window.blocks;
        let tempo = live.tempo;
        let granted = live.commitment_space;
        let needed = commitment_bytes(&self.window, tempo);
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
        let ours = self.id();
        let voting = behind.values().sum();
        let other = behind.into_iter().find(|&(run, stake)| run != ours && 2 * stake > voting);
        other.map(|(theirs, stake)| LiveProblem::OtherRun { ours, theirs, stake, voting })
    }
}
