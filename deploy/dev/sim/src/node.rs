//! A node of the model: its process, its line to the chain, its bucket, and its driver.

use crate::{
    chain::TxId,
    faults::Kind,
    miner::Miner,
    prefetch::Prefetch,
    shared::Shared,
    store::StateId,
    transfers::{End, Tag, TransferId},
    validator::Validator,
};
use base::{Height, NeuronId};

/// A miner or a validator.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NeuronId,
    /// Whether the node does as its program says.
    pub(crate) is_honest: bool,
    /// The attacks of a hostile node: one bit for each [`Kind`].
    pub(crate) tricks: u64,
    pub(crate) role: Role,
    /// Whether the process runs.
    pub(crate) is_up: bool,
    /// Whether the node has left for good.
    pub(crate) has_left: bool,
    /// Counts the starts of the process, so that events of an earlier one are ignored.
    pub(crate) generation: u32,
    /// The factor of the times of a validator's computations.
    pub(crate) slowness: u64,
    /// The time from a block's finality until the node sees it.
    pub(crate) delay: u64,
    /// The end of the last partition.
    pub(crate) cut_until: u64,
    /// The end of the time in which the node's clock is wrong.
    pub(crate) clock_until: u64,
    /// The latest final block that the node has seen.
    pub(crate) seen: u64,
    pub(crate) transfers: Vec<TransferId>,
    /// The state in the journal.
    pub(crate) state: StateId,
    /// The work on the shared state.
    pub(crate) shared: Shared,
    /// The end of the last trouble of its own, in milliseconds; the largest number if it goes on.
    pub(crate) unwell_until: u64,
    /// The checkpoint in its bucket.
    pub(crate) checkpoint: Option<StateId>,
    /// The downloads of the window's candidates.
    pub(crate) prefetch: Option<Box<Prefetch>>,
    /// The largest rate that it has seen on its line, in bytes per second.
    pub(crate) line: u64,
    /// The last given token.
    pub(crate) token: u32,
}

/// The driver of a node.
#[derive(Debug)]
pub(crate) enum Role {
    Miner(Box<Miner>),
    Validator(Box<Validator>),
    /// A hostile validator that runs no program.
    Script,
}

/// A happening that a driver waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// A block is final that the node waited for.
    Wake,
    /// A time has come.
    Timer(u32),
    /// A transfer has ended, after this number of bytes.
    Transfer(Tag, End, u64),
    /// A transaction is final, in this block, or can never be.
    Tx(TxId, Option<Height>),
}

impl Node {
    pub(crate) fn has(&self, trick: Kind) -> bool {
        self.tricks >> (trick as u32) & 1 == 1
    }

    /// Checks whether the node is a founder of the run: a validator, unless it comes as a stranger.
    pub(crate) fn is_founder(&self) -> bool {
        !matches!(self.role, Role::Miner(_)) && !self.has(Kind::Stranger)
    }

    pub(crate) fn is_cut(&self, now: u64) -> bool {
        now < self.cut_until
    }

    /// Returns a token that names a new timer.
    pub(crate) fn next_token(&mut self) -> u32 {
        self.token = self.token.wrapping_add(1);
        self.token
    }

    /// Notes a trouble of its own until a time.
    pub(crate) fn trouble(&mut self, until: u64) {
        self.unwell_until = self.unwell_until.max(until);
    }
}
