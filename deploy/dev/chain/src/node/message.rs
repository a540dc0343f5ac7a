//! What can be asked of the node's thread.

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

/// Where an answer goes.
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// A reply, and where to wait for it.
    pub(crate) fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Answers. Who asked may be gone by then, which is no concern of the chain's.
    pub(crate) fn give(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

/// Where a transaction's statuses go. One that lags by its whole buffer misses some.
pub(crate) type Watcher = mpsc::Sender<Status>;

/// One message, carried out at once except for `Seal`.
pub(crate) enum Message {
    /// Look at the chain.
    Read(Box<dyn FnOnce(&Node) + Send>),
    /// Take a transaction into the pool.
    Submit { extrinsic: Extrinsic, watcher: Option<Watcher>, reply: Reply<Result<Hash, Refusal>> },
    /// Remove transactions from the pool; answers with those that were there.
    Remove { hashes: Vec<Hash>, reply: Reply<Vec<Hash>> },
    /// Seal blocks one after the other.
    Seal(SealJob),
    /// Seal no block by the block time, or again; answers with the height.
    Hold { held: bool, reply: Reply<u32> },
    /// Write raw storage at the start of the next block; answers with its height.
    Write { writes: Vec<StorageWrite>, reply: Reply<u32> },
    /// Copy the chain into a log that another devchain can start from.
    Snapshot { path: PathBuf, reply: Reply<Result<(), LogError>> },
}

/// A number of blocks to seal; answers with the status after the last one.
pub(crate) struct SealJob {
    pub(crate) left: u32,
    pub(crate) pace: Pace,
    pub(crate) reply: Reply<Result<NodeStatus, BlockError>>,
}

/// Which timestamps sealed blocks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Those of blocks that are due now.
    Due,
    /// Each exactly one block time after its parent.
    FastForward,
}

/// Where the chain stands (`dev_status`, less the faults).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The hash of block 0.
    pub genesis: Hash,
    /// The newest block's height.
    pub height: u32,
    /// The newest block's hash.
    pub hash: Hash,
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
