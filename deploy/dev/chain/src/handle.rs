//! The handle of a running chain in the same process: all `dev_*` operations as async methods.

use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, watch};

use crate::{
    chain::BlockError,
    faults::{FaultChange, FaultError, FaultStatus, Faults},
    finality::MAX_DROP,
    heads::Following,
    log::{LogError, StorageWrite},
    node::{Message, Node, NodeStatus, Pace, Reply, SealJob},
    pool::{Refusal, Status},
    state::CallError,
    store::{Block, Extrinsic, Hash},
    upgrade::{self, UpgradeError},
};

/// The capacity of the chain's inbox, in messages. A sender waits while it is full.
pub(crate) const INBOX: usize = 1024;

/// The maximum number of blocks that one call seals.
pub const MAX_BLOCKS: u32 = 100_000;

/// The longest storage key that `set_storage` accepts, in bytes.
pub const MAX_KEY: usize = 1024;

/// The number of statuses of a transaction that are buffered for its watcher.
const WATCHED_STATUSES: usize = 16;

/// A control operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The chain has been shut down.
    #[error("the chain has stopped")]
    Stopped,
    /// The number of blocks is zero or too large.
    #[error("cannot seal {0} blocks; ask for 1 to {MAX_BLOCKS} at a time")]
    BlockCount(u32),
    /// The number of blocks to drop is zero or too large.
    #[error("cannot drop {0} blocks; ask for 1 to {MAX_DROP} at a time")]
    DropCount(u32),
    /// A storage key is empty or too long.
    #[error("invalid storage key of {0} bytes; keys have 1 to {MAX_KEY} bytes")]
    KeyLength(usize),
    /// A block was not sealed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A snapshot was not written.
    #[error("cannot write the snapshot")]
    Snapshot(#[from] LogError),
    /// A fault was not set.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The runtime was not upgraded.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// A call of the runtime failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A transaction that was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The chain has been shut down.
    #[error("the chain has stopped")]
    Stopped,
    /// The pool or the runtime refused the transaction.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The status of the chain and its active faults (`dev_status`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChainStatus {
    /// The status of the chain and the pool.
    #[serde(flatten)]
    pub node: NodeStatus,
    /// The active faults of the server.
    pub faults: FaultStatus,
}

/// A handle that controls a running chain. Clones control the same chain. After the chain has stopped,
/// the async calls fail with `Stopped`.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    following: Following,
    faults: Faults,
}

impl Handle {
    pub(crate) fn new(inbox: mpsc::Sender<Message>, following: Following, faults: Faults) -> Self {
        Self { inbox, following, faults }
    }

    /// Seals `count` blocks now, held or not. They get the timestamps of blocks that are due.
    pub async fn new_block(&self, count: u32) -> Result<NodeStatus, ControlError> {
        self.seal(count, Pace::Due).await
    }

    /// Seals `count` blocks now, each exactly one block time after its parent.
    pub async fn fast_forward(&self, count: u32) -> Result<NodeStatus, ControlError> {
        self.seal(count, Pace::FastForward).await
    }

    /// Stops sealing at the block time until [`Handle::release`]. Returns the newest height.
    pub async fn hold(&self) -> Result<u32, ControlError> {
        self.ask(|reply| Message::Hold { held: true, reply }).await
    }

    /// Resumes sealing at the block time; the first block follows one block time from now. Returns the
    /// newest height.
    pub async fn release(&self) -> Result<u32, ControlError> {
        self.ask(|reply| Message::Hold { held: false, reply }).await
    }

    /// Stops finality while the next `blocks` blocks are sealed; with the block after them it catches up
    /// at once. 0 ends such a stall. Returns the finalized height.
    pub async fn stall_finality(&self, blocks: u32) -> Result<u32, ControlError> {
        self.ask(|reply| Message::StallFinality { blocks, reply }).await
    }

    /// Sets the smallest number of blocks between the finalized and the best block, from the next block
    /// on. Finality never goes back: with a larger lag it stands still until the best block is far enough
    /// ahead. Returns the finalized height.
    pub async fn lag_finality(&self, blocks: u32) -> Result<u32, ControlError> {
        self.ask(|reply| Message::LagFinality { blocks, reply }).await
    }

    /// Drops the newest blocks, up to `count` of them and none that is final, for another branch.
    ///
    /// The branch has as many blocks without transactions, with the same timestamps and raw storage
    /// writes. One more block makes it the longer and so the best one: the height rises by 1. The
    /// transactions of the dropped blocks go back to the pool. Fails if all blocks are final.
    pub async fn drop_blocks(&self, count: u32) -> Result<NodeStatus, ControlError> {
        if !(1..=MAX_DROP).contains(&count) {
            return Err(ControlError::DropCount(count));
        }
        self.run(SealJob::drop(count)).await
    }

    /// Writes raw storage at the start of the next block. Returns the height of that block.
    ///
    /// The writes are part of that block's state and are kept in the log. The values are not checked;
    /// they may be undecodable. If the runtime cannot build a block with them, they are dropped
    /// together with that block.
    pub async fn set_storage(&self, writes: Vec<StorageWrite>) -> Result<u32, ControlError> {
        let lengths = writes.iter().map(|write| write.key.len());
        if let Some(length) = lengths.into_iter().find(|length| !(1..=MAX_KEY).contains(length)) {
            return Err(ControlError::KeyLength(length));
        }
        self.ask(|reply| Message::Write { writes, reply }).await
    }

    /// Upgrades the runtime with the next block, as far as clients see it: another spec version, and this
    /// metadata instead of the runtime's own. Returns the height of that block.
    ///
    /// Transactions that were signed for the older version are refused from then on. Items that the
    /// metadata lacks still work for clients that know them.
    pub async fn upgrade(&self, spec_version: u32, metadata: Option<Vec<u8>>) -> Result<u32, ControlError> {
        let present = self.read(|node| node.chain().version(node.chain().store().best())).await??;
        let writes = upgrade::writes(present.spec_version, spec_version, metadata)?;
        self.ask(|reply| Message::Write { writes, reply }).await
    }

    /// Writes a log of the chain as it is now to `path`, which must not exist. Another devchain can
    /// start from it.
    pub async fn snapshot(&self, path: &Path) -> Result<(), ControlError> {
        let path = PathBuf::from(path);
        Ok(self.ask(|reply| Message::Snapshot { path, reply }).await??)
    }

    /// Turns faults of the server on or off. Works even while faults are active.
    pub fn fault(&self, change: FaultChange) -> Result<FaultStatus, ControlError> {
        Ok(self.faults.apply(change)?)
    }

    /// Returns the status of the chain.
    pub async fn status(&self) -> Result<ChainStatus, ControlError> {
        let node = self.read(Node::status).await?;
        Ok(ChainStatus { node, faults: self.faults.status() })
    }

    /// Returns the best chain's block at a height, if it is sealed.
    pub async fn block(&self, height: u32) -> Result<Option<Block>, ControlError> {
        self.read(move |node| node.chain().store().by_height(height).cloned()).await
    }

    /// Reads the newest block's storage at `key`.
    pub async fn storage(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, ControlError> {
        self.read(move |node| node.chain().best_state().storage(&key)).await
    }

    /// Returns a channel that holds the newest height and receives each later one.
    pub fn heights(&self) -> watch::Receiver<u32> {
        self.following.best.clone()
    }

    /// Returns a channel that holds the finalized height and receives each later one. A height may be
    /// left out.
    pub fn finalized_heights(&self) -> watch::Receiver<u32> {
        self.following.finalized.clone()
    }

    /// Returns a channel that holds the number of the newest import and receives later ones.
    pub(crate) fn imports(&self) -> watch::Receiver<u32> {
        self.following.imported.clone()
    }

    /// Submits a signed extrinsic to the pool. Returns its hash.
    pub async fn submit(&self, extrinsic: Extrinsic) -> Result<Hash, SubmitError> {
        self.give(extrinsic, None).await
    }

    /// Submits a signed extrinsic to the pool. Returns its hash and a channel of its statuses, which
    /// closes after the last one.
    pub async fn submit_and_watch(
        &self,
        extrinsic: Extrinsic,
    ) -> Result<(Hash, mpsc::Receiver<Status>), SubmitError> {
        let (watcher, statuses) = mpsc::channel(WATCHED_STATUSES);
        Ok((self.give(extrinsic, Some(watcher)).await?, statuses))
    }

    /// Returns the transactions that are ready for the next block, in the order in which it would
    /// include them.
    pub async fn pending(&self) -> Result<Vec<Extrinsic>, ControlError> {
        let ready = self.read(|node| node.pool().ready()).await?;
        Ok(ready.into_iter().map(|transaction| transaction.bytes).collect())
    }

    /// Removes transactions from the pool. Returns the hashes of those that were in it.
    pub async fn remove(&self, hashes: Vec<Hash>) -> Result<Vec<Hash>, ControlError> {
        self.ask(|reply| Message::Remove { hashes, reply }).await
    }

    /// Waits until the chain has stopped.
    pub async fn stopped(&self) {
        self.inbox.closed().await;
    }

    /// Reads from the node, on its own thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        self.ask(|reply| Message::Read(Box::new(move |node| reply.give(look(node))))).await
    }

    async fn seal(&self, count: u32, pace: Pace) -> Result<NodeStatus, ControlError> {
        if !(1..=MAX_BLOCKS).contains(&count) {
            return Err(ControlError::BlockCount(count));
        }
        self.run(SealJob::seal(count, pace)).await
    }

    async fn run(&self, job: SealJob) -> Result<NodeStatus, ControlError> {
        Ok(self.ask(|reply| Message::Seal(job, reply)).await??)
    }

    async fn give(
        &self,
        extrinsic: Extrinsic,
        watcher: Option<mpsc::Sender<Status>>,
    ) -> Result<Hash, SubmitError> {
        let answer = self.ask(|reply| Message::Submit { extrinsic, watcher, reply }).await;
        Ok(answer.map_err(|_| SubmitError::Stopped)??)
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, ControlError> {
        let (reply, answer) = Reply::new();
        self.inbox.send(message(reply)).await.map_err(|_| ControlError::Stopped)?;
        answer.await.map_err(|_| ControlError::Stopped)
    }
}
