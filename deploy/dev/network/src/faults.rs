//! Faults on demand.
//!
//! Acts of a dishonest owner are injected from outside the nodes (module `inject`). Each of
//! them must make an assertion fail, and the assertion must name the culprit.
//!
//! Faults of the network strike all nodes alike. The run must bear them: each such fault has an assertion
//! of its own, which must hold. It is a pure state machine in a file of its own: from what is seen after
//! each block it decides what happens to the network.

mod lagging_finality;

pub(crate) use lagging_finality::LaggingFinality;

use crate::{assertions::Assertion, run_record::RunRecord};
use base::{Height, Window};
use protocol::clock::{Clock, ClockError};

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
            _ => 1,
        }
    }
}

/// A fault of the network, with its progress so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Finality lags and stalls, and best blocks are dropped.
    LaggingFinality(LaggingFinality),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Set the lag of finality to this number of blocks.
    Lag(u32),
    /// Stop finality for this number of blocks.
    Stall(u32),
    /// Drop this number of the newest blocks.
    Drop(u32),
}

impl NetworkFault {
    /// Returns the fault of the network that an option names. `None` for the acts of owners.
    ///
    /// # Errors
    /// The run is too short for the fault.
    pub(crate) fn new(fault: Fault, clock: &Clock) -> Result<Option<Self>, ClockError> {
        Ok(match fault {
            Fault::LaggingFinality => Some(Self::LaggingFinality(LaggingFinality::new(clock)?)),
            Fault::FlipBit | Fault::WrongWeights | Fault::EditLog | Fault::SkipVote | Fault::WrongState => {
                None
            }
        })
    }

    /// Decides what happens to the network after a block.
    pub(crate) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        match self {
            Self::LaggingFinality(fault) => fault.after_block(seen),
        }
    }

    /// Returns the windows in which the fault may cost claims and votes.
    pub(crate) fn struck(&self) -> &[Window] {
        match self {
            Self::LaggingFinality(_) => &LaggingFinality::STRUCK,
        }
    }

    /// Checks that the fault came to pass, and that the run bore it.
    pub(crate) fn assertion(&self, record: &RunRecord) -> Assertion {
        match self {
            Self::LaggingFinality(fault) => fault.assertion(record),
        }
    }
}
