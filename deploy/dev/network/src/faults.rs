//! Faults on demand.
//!
//! Acts of a dishonest owner are injected from outside the nodes (module `inject`). Each of
//! them must make an assertion fail, and the assertion must name the culprit.
//!
//! Faults of the network strike all nodes alike. The run must bear them: each such fault has an assertion
//! of its own, which must hold. It is a pure state machine in a file of its own: from what is seen after
//! each block it decides what happens to the network.

mod clock;
mod lagging_finality;
mod majority_gone;
mod request_limit;
mod silent_chain;
mod slow_bucket;
mod withhold;

pub(crate) use clock::WrongClock;
pub(crate) use lagging_finality::LaggingFinality;
pub(crate) use majority_gone::MajorityGone;
pub(crate) use request_limit::{REQUESTS, RequestLimit};
pub(crate) use silent_chain::SilentChain;
pub(crate) use slow_bucket::SlowBucket;
pub(crate) use withhold::Withhold;

use crate::{
    assertions::{self, Assertion},
    roster::{Participant, Role},
    run_record::RunRecord,
};
use base::{Height, Hotkey, Window, digest::RunId};
use bucket_server::Rule;
use protocol::clock::{Clock, ClockError};
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// Flip a bit of an accepted submission in its miner's bucket.
    FlipBit,
    /// Set other weights than the validator's score log states.
    WrongWeights,
    /// Change a byte of a published score log.
    EditLog,
    /// Withdraw a validator's vote before it counts.
    SkipVote,
    /// Vote for a state that the validator does not have.
    WrongState,
    /// The network: let finality lag and stall for some windows, and drop best blocks with claims.
    LaggingFinality,
    /// The network: answer each read from the bucket of an honest miner very late, from window 1 on.
    SlowBucket,
    /// The network: serve each submission of an honest miner three times, and then withhold it.
    Withhold,
    /// The network: end validators with more than half of the stake in window 3, for good.
    MajorityGone,
    /// The network: let the clocks of a miner's and a validator's bucket be off by an hour for two windows.
    Clock,
    /// The network: let the first of a miner's two chain endpoints go silent in window 2, for good.
    SilentChain,
    /// The network: answer a miner and a validator 12 requests in the time of a block, and refuse more.
    RequestLimit,
}

impl Fault {
    /// Returns whether the fault replaces a vote during the run. The other acts of an owner are injected
    /// after the run.
    pub(crate) fn is_of_votes(self) -> bool {
        matches!(self, Self::SkipVote | Self::WrongState)
    }

    /// Returns the smallest number of windows of a run in which the fault fits.
    pub(crate) fn least_windows(self) -> u32 {
        match self {
            Self::LaggingFinality => LaggingFinality::LEAST_WINDOWS,
            Self::SlowBucket => SlowBucket::LEAST_WINDOWS,
            Self::MajorityGone => MajorityGone::LEAST_WINDOWS,
            Self::Clock => WrongClock::LEAST_WINDOWS,
            Self::SilentChain => SilentChain::LEAST_WINDOWS,
            _ => 1,
        }
    }

    /// Returns the smallest numbers of validators and of honest miners of a run in which the fault fits.
    pub(crate) fn least_nodes(self) -> (u16, u16) {
        match self {
            Self::SlowBucket | Self::Withhold | Self::SilentChain | Self::RequestLimit => (1, 2),
            Self::Clock => (3, 2),
            Self::MajorityGone => (MajorityGone::LEAST_VALIDATORS, 1),
            _ => (1, 1),
        }
    }
}

/// The facts of a run that a [`NetworkFault`] is planned with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The heights of the windows.
    pub(crate) clock: &'a Clock,
    /// The run.
    pub(crate) run: RunId,
    /// The age at which a vote has no weight any more, in blocks.
    pub(crate) electorate_blocks: u32,
    /// All participants.
    pub(crate) participants: &'a [(Participant, Hotkey)],
    /// The time between two blocks.
    pub(crate) block: Duration,
}

impl Setting<'_> {
    /// Returns the name of the last honest miner, which the faults of one miner strike.
    fn last_miner(&self) -> String {
        last(Role::Miner, self.participants.iter().map(|(participant, _)| participant))
    }

    /// Returns the name of the validator with the least stake, which the faults of one validator strike.
    fn last_validator(&self) -> String {
        last(Role::Validator, self.participants.iter().map(|(participant, _)| participant))
    }
}

/// Returns the name of the last participant with a role.
pub(crate) fn last<'a>(role: Role, participants: impl Iterator<Item = &'a Participant>) -> String {
    let with_role = participants.filter(|participant| participant.role == role);
    with_role.last().map_or_else(String::new, |participant| participant.name.clone())
}

/// A fault of the network, with its progress so far.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkFault {
    /// Finality lags and stalls, and best blocks are dropped.
    LaggingFinality(LaggingFinality),
    /// A bucket answers late.
    SlowBucket(SlowBucket),
    /// A bucket withholds submissions.
    Withhold(Withhold),
    /// Most of the stake falls silent.
    MajorityGone(MajorityGone),
    /// The clocks of two buckets are wrong.
    Clock(WrongClock),
    /// An endpoint of the chain goes silent.
    SilentChain(SilentChain),
    /// The chain limits requests.
    RequestLimit(RequestLimit),
}

/// The network after a block, as a [`NetworkFault`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The best block.
    pub(crate) head: Height,
    /// The newest final block.
    pub(crate) finalized: Height,
    /// The window of claims that the best block brought, if it brought any.
    pub(crate) claims: Option<Window>,
}

/// A change of the network that a [`NetworkFault`] demands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Set the lag of finality to this number of blocks.
    Lag(u32),
    /// Stop finality for this number of blocks.
    Stall(u32),
    /// Drop this number of the newest blocks.
    Drop(u32),
    /// Add rules to those of the bucket server.
    Rules(Vec<Rule>),
    /// End the node with this name for good.
    End(String),
    /// Set the clock of the bucket with this name ahead, in seconds.
    Shift(String, i64),
    /// Let the endpoint that stands before the chain go silent.
    Silence,
}

impl NetworkFault {
    /// Returns the fault of the network that an option names. `None` for the acts of owners.
    ///
    /// # Errors
    /// The run is too short for the fault.
    pub(crate) fn new(fault: Fault, setting: &Setting<'_>) -> Result<Option<Self>, ClockError> {
        Ok(match fault {
            Fault::LaggingFinality => Some(Self::LaggingFinality(LaggingFinality::new(setting.clock)?)),
            Fault::SlowBucket => Some(Self::SlowBucket(SlowBucket::new(setting)?)),
            Fault::Withhold => Some(Self::Withhold(Withhold::new(setting))),
            Fault::MajorityGone => Some(Self::MajorityGone(MajorityGone::new(setting)?)),
            Fault::Clock => Some(Self::Clock(WrongClock::new(setting)?)),
            Fault::SilentChain => Some(Self::SilentChain(SilentChain::new(setting)?)),
            Fault::RequestLimit => Some(Self::RequestLimit(RequestLimit::new(setting))),
            Fault::FlipBit | Fault::WrongWeights | Fault::EditLog | Fault::SkipVote | Fault::WrongState => {
                None
            }
        })
    }

    /// Decides what happens to the network after a block.
    pub(crate) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        match self {
            Self::LaggingFinality(fault) => fault.after_block(seen),
            Self::SlowBucket(fault) => fault.after_block(seen),
            Self::Withhold(fault) => fault.after_block(),
            Self::MajorityGone(fault) => fault.after_block(seen),
            Self::Clock(fault) => fault.after_block(seen),
            Self::SilentChain(fault) => fault.after_block(seen),
            Self::RequestLimit(_) => Vec::new(),
        }
    }

    /// Returns the windows in which the fault may cost claims, votes and outer steps.
    pub(crate) fn struck(&self) -> &[Window] {
        match self {
            Self::LaggingFinality(_) => &LaggingFinality::STRUCK,
            Self::MajorityGone(fault) => fault.struck(),
            Self::SlowBucket(_)
            | Self::Withhold(_)
            | Self::Clock(_)
            | Self::SilentChain(_)
            | Self::RequestLimit(_) => &[],
        }
    }

    /// Returns whether the fault may cost this node its claim or vote in a window.
    pub(crate) fn excuses(&self, name: &str, window: Window) -> bool {
        match self {
            Self::LaggingFinality(_) => LaggingFinality::STRUCK.contains(&window),
            Self::MajorityGone(fault) => fault.struck().contains(&window) && self.ends(name),
            Self::Clock(fault) => fault.excuses(name, window),
            Self::SilentChain(fault) => fault.excuses(name, window),
            Self::SlowBucket(_) | Self::Withhold(_) | Self::RequestLimit(_) => false,
        }
    }

    /// Returns whether the fault ends a node.
    pub(crate) fn ends(&self, name: &str) -> bool {
        matches!(self, Self::MajorityGone(fault) if fault.gone().iter().any(|gone| gone == name))
    }

    /// Returns whether the fault costs a miner its pay.
    pub(crate) fn costs_pay(&self, name: &str) -> bool {
        match self {
            Self::SlowBucket(fault) => fault.miner() == name,
            Self::Withhold(fault) => fault.miner() == name,
            Self::Clock(fault) => fault.miner() == name,
            Self::SilentChain(fault) => fault.miner() == name,
            Self::LaggingFinality(_) | Self::MajorityGone(_) | Self::RequestLimit(_) => false,
        }
    }

    /// Checks that the fault came to pass, and that the run bore it.
    pub(crate) fn assertion(&self, record: &RunRecord) -> Assertion {
        match self {
            Self::LaggingFinality(fault) => fault.assertion(record),
            Self::SlowBucket(fault) => fault.assertion(record),
            Self::Withhold(fault) => fault.assertion(record),
            Self::MajorityGone(fault) => fault.assertion(record),
            Self::Clock(fault) => fault.assertion(record),
            Self::SilentChain(fault) => fault.assertion(record),
            Self::RequestLimit(fault) => fault.assertion(record),
        }
    }
}

/// Returns a complaint for each window of the run from `first` on in which the submission of an honest miner
/// other than `except` was not applied.
fn not_applied(record: &RunRecord, first: Window, except: &str) -> Vec<String> {
    let windows = record.run().filter(|window| *window >= first);
    windows
        .flat_map(|window| {
            let accepted = record.windows.get(&window).and_then(|outcome| outcome.accepted.as_ref());
            let Some(Some(applied)) = accepted else {
                return vec![format!("window {window}: no submission was applied")];
            };
            let miners = record.names(|participant| participant.role == Role::Miner);
            let missing = miners.filter(|name| *name != except && !applied.contains(*name));
            missing.map(|name| format!("window {window}: the submission of {name} was not applied")).collect()
        })
        .collect()
}

/// Returns a complaint for each claim and vote of an honest node that does not count. Those that this fault
/// or another one excuses are left out.
fn lost(record: &RunRecord, is_excused: impl Fn(&str, Window) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for window in record.run() {
        let lost = assertions::lost(record, window).into_iter();
        let counted =
            lost.filter(|lost| !is_excused(&lost.node, window) && !record.is_excused(&lost.node, window));
        complaints.extend(counted.map(|lost| format!("window {window}: {lost}")));
    }
    complaints
}

/// Returns the number of windows from `first` on in which the submission of a miner was applied.
fn times_applied(record: &RunRecord, first: Window, miner: &str) -> usize {
    let windows = record.windows.range(first..).map(|(_, outcome)| outcome);
    windows.filter(|outcome| outcome.accepted.iter().flatten().any(|names| names.contains(miner))).count()
}

/// Returns a complaint for each fault that a validator found with an honest miner other than `except`.
fn blamed(record: &RunRecord, except: &str) -> Vec<String> {
    let honest: Vec<&str> = record.names(|participant| participant.role.is_honest_miner()).collect();
    record
        .windows
        .iter()
        .flat_map(|(window, outcome)| outcome.faults.iter().map(move |found| (window, found)))
        .filter(|(_, found)| found.miner != except && honest.contains(&found.miner.as_str()))
        .map(|(window, found)| {
            format!("window {window}: {} found a fault with {}: {}", found.validator, found.miner, found.what)
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::launch::tiny_window;
    use base::Uid;

    /// Returns validators with these stakes, and three miners.
    pub(crate) fn participants(stakes: &[u64]) -> Vec<(Participant, Hotkey)> {
        let validators =
            stakes.iter().enumerate().map(|(n, stake)| (format!("validator-{n}"), Role::Validator, *stake));
        let miners = (0..3).map(|n| (format!("miner-{n}"), Role::Miner, 0));
        let of = |(uid, (name, role, stake)): (u16, (String, Role, u64))| {
            (Participant { name, role, uid: Uid(uid), stake }, Hotkey([uid as u8; 32]))
        };
        (1..).zip(validators.chain(miners)).map(of).collect()
    }

    /// Calls `test` with the setting of a run of eight windows that starts with block 40.
    pub(crate) fn with_setting<T>(
        participants: &[(Participant, Hotkey)],
        test: impl FnOnce(&Setting<'_>) -> T,
    ) -> T {
        let clock = Clock::new(Height(40), tiny_window()).unwrap();
        let block = Duration::from_millis(100);
        test(&Setting { clock: &clock, run: RunId([1; 8]), electorate_blocks: 270, participants, block })
    }

    /// Returns the network after a block.
    pub(super) fn seen(head: u64) -> Seen {
        Seen { head: Height(head), finalized: Height(head.saturating_sub(3)), claims: None }
    }

    /// Returns the record of a run in which all miners' submissions were applied in all windows.
    pub(super) fn good_record(participants: &[(Participant, Hotkey)]) -> RunRecord {
        let mut record = RunRecord { participants: participants.to_vec(), count: 8, ..RunRecord::default() };
        for window in record.run() {
            let miners =
                record.names(|participant| participant.role == Role::Miner).map(String::from).collect();
            record.window(window).accepted = Some(Some(miners));
        }
        for miner in 0..3 {
            record.end.incentives.insert(format!("miner-{miner}"), 1.0 / 3.0);
        }
        record
    }
}
