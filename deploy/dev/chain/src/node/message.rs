//! The messages to the node's thread.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Node;
use crate::{
    chain::BlockError,
    log::{LogError, StorageWrite},
    pool::{Refusal, Status},
    store::{Extrinsic, Hash},
};

/// The sender of an answer.
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// Creates a reply and the receiver of its answer.
    pub(crate) fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Sends the answer. Ignores a caller that is gone.
    pub(crate) fn give(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

/// The channel of a transaction's statuses. A watcher whose buffer is full is dropped.
pub(crate) type Watcher = mpsc::Sender<Status>;

/// A message to the node. It is processed at once, except for `Seal`.
pub(crate) enum Message {
    /// Read from the node.
    Read(Box<dyn FnOnce(&Node) + Send>),
    /// Add a transaction to the pool; answers with its hash.
    Submit { extrinsic: Extrinsic, watcher: Option<Watcher>, reply: Reply<Result<Hash, Refusal>> },
    /// Remove transactions from the pool; answers with the hashes of those that were in it.
    Remove { hashes: Vec<Hash>, reply: Reply<Vec<Hash>> },
    /// Seal blocks one after the other; answers with the status after the last one.
    Seal(SealJob, Reply<SealAnswer>),
    /// Stop or resume sealing at the block time; answers with the newest height.
    Hold { held: bool, reply: Reply<u32> },
    /// Stop finality for a number of blocks, 0 to end a stall; answers with the finalized height.
    StallFinality { blocks: u32, reply: Reply<u32> },
    /// Set the lag of finality; answers with the finalized height.
    LagFinality { blocks: u32, reply: Reply<u32> },
    /// Write raw storage at the start of the next block; answers with that block's height.
    Write { writes: Vec<StorageWrite>, reply: Reply<u32> },
    /// Write a log of the chain that another devchain can start from.
    Snapshot { path: PathBuf, reply: Reply<Result<(), LogError>> },
}

/// The answer to a job: the status after its last block.
pub(crate) type SealAnswer = Result<NodeStatus, BlockError>;

/// A number of blocks to seal.
pub(crate) struct SealJob {
    pub(crate) left: u32,
    pub(crate) pace: Pace,
    /// The largest number of blocks that the next one drops. `None` leaves it to the settings.
    pub(crate) drop: Option<u32>,
}

impl SealJob {
    /// Creates a job that seals `left` blocks.
    pub(crate) fn seal(left: u32, pace: Pace) -> Self {
        Self { left, pace, drop: None }
    }

    /// Creates a job that seals one block, which drops up to `count` others.
    pub(crate) fn drop(count: u32) -> Self {
        Self { left: 1, pace: Pace::Due, drop: Some(count) }
    }
}

/// The rule for the timestamps of sealed blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The timestamps of blocks that are due now.
    Due,
    /// Exactly one block time after the parent.
    FastForward,
}

/// The status of the chain and the pool (`dev_status` without the faults).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The hash of block 0.
    pub genesis: Hash,
    /// The newest block's height.
    pub height: u32,
    /// The newest block's hash.
    pub hash: Hash,
    /// The finalized block's height.
    pub finalized: u32,
    /// The newest block's timestamp, in milliseconds since 1970; 0 at genesis.
    pub timestamp_ms: u64,
    /// The block time, in milliseconds.
    pub block_time_ms: u64,
    /// Whether no block is sealed until `dev_newBlock`, `dev_fastForward` or `dev_release`.
    pub held: bool,
    /// Transactions that can go into the next block.
    pub ready: usize,
    /// Transactions that wait for an earlier nonce.
    pub future: usize,
    /// Raw storage writes that wait for the next block.
    pub writes: usize,
}
