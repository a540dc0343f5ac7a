//! The way to a running chain from the same process: all `dev_*` operations as async methods.

use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, watch};

use crate::{
    chain::BlockError,
    faults::{FaultChange, FaultError, FaultStatus, Faults},
    log::{LogError, StorageWrite},
    node::{Message, Node, NodeStatus, Pace, Reply, SealJob},
    pool::{Refusal, Status},
    store::{Block, Extrinsic, Hash},
};

/// How many messages may wait for the chain; who sends more waits as well.
pub(crate) const INBOX: usize = 1024;

/// The most blocks that one call seals.
pub const MAX_BLOCKS: u32 = 100_000;

/// The longest storage key that `set_storage` takes, in bytes.
pub const MAX_KEY: usize = 1024;

/// How many statuses of a transaction may wait for its watcher.
const WATCHED_STATUSES: usize = 16;

/// A chain that could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The chain has been shut down.
    #[error("the chain has stopped")]
    Stopped,
    /// No or too many blocks asked for.
    #[error("{0} blocks asked for; ask for 1 to {MAX_BLOCKS} at a time")]
    BlockCount(u32),
    /// A storage key that cannot be.
    #[error("a storage key of {0} bytes; keys have 1 to {MAX_KEY} bytes")]
    KeyLength(usize),
    /// A block was not sealed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A snapshot was not written.
    #[error("snapshot: {0}")]
    Snapshot(#[from] LogError),
    /// A fault that cannot be set.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

/// A transaction that was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The chain has been shut down.
    #[error("the chain has stopped")]
    Stopped,
    /// The pool or the runtime refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Where the chain stands, with the faults that are on (`dev_status`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChainStatus {
    /// Chain and pool.
    #[serde(flatten)]
    pub node: NodeStatus,
    /// The server's faults.
    pub faults: FaultStatus,
}

/// A handle of a running chain. Clones are handles of the same chain. Once it has stopped, every call says so.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    best: watch::Receiver<u32>,
    faults: Faults,
}

impl Handle {
    pub(crate) fn new(inbox: mpsc::Sender<Message>, best: watch::Receiver<u32>, faults: Faults) -> Self {
        Self { inbox, best, faults }
    }

    /// Seals `count` blocks now, held or not. Their timestamps are those of blocks that are due.
    pub async fn new_block(&self, count: u32) -> Result<NodeStatus, ControlError> {
        self.seal(count, Pace::Due).await
    }

    /// Seals `count` blocks now, each exactly one block time after its parent.
    pub async fn fast_forward(&self, count: u32) -> Result<NodeStatus, ControlError> {
        self.seal(count, Pace::FastForward).await
    }

    /// Seals no block by the block time until [`Handle::release`]. The height at which the chain stands.
    pub async fn hold(&self) -> Result<u32, ControlError> {
        self.ask(|reply| Message::Hold { held: true, reply }).await
    }

    /// Seals blocks by the block time again, the first one a block time from now. The height.
    pub async fn release(&self) -> Result<u32, ControlError> {
        self.ask(|reply| Message::Hold { held: false, reply }).await
    }

    /// Writes raw storage at the start of the next block, whose height it returns.
    ///
    /// The writes are part of that block's state and are kept in the log. Nothing checks that the values decode. If
    /// the runtime cannot make a block with them, they are dropped with that block.
    pub async fn set_storage(&self, writes: Vec<StorageWrite>) -> Result<u32, ControlError> {
        let lengths = writes.iter().map(|write| write.key.len());
        if let Some(length) = lengths.into_iter().find(|length| !(1..=MAX_KEY).contains(length)) {
            return Err(ControlError::KeyLength(length));
        }
        self.ask(|reply| Message::Write { writes, reply }).await
    }

    /// Writes a log of the chain as it stands to `path`, which must not exist; another devchain can start from it.
    pub async fn snapshot(&self, path: &Path) -> Result<(), ControlError> {
        let path = PathBuf::from(path);
        Ok(self.ask(|reply| Message::Snapshot { path, reply }).await??)
    }

    /// Turns faults of the server on or off. Works whatever faults are on.
    pub fn fault(&self, change: FaultChange) -> Result<FaultStatus, ControlError> {
        Ok(self.faults.apply(change)?)
    }

    /// Where the chain stands.
    pub async fn status(&self) -> Result<ChainStatus, ControlError> {
        let node = self.read(Node::status).await?;
        Ok(ChainStatus { node, faults: self.faults.status() })
    }

    /// The block at a height, if it is sealed.
    pub async fn block(&self, height: u32) -> Result<Option<Block>, ControlError> {
        self.read(move |node| node.chain().store().by_height(height).cloned()).await
    }

    /// The newest block's storage at `key`.
    pub async fn storage(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, ControlError> {
        self.read(move |node| node.chain().best_state().storage(&key)).await
    }

    /// The newest height, and each one from now on.
    pub fn heights(&self) -> watch::Receiver<u32> {
        self.best.clone()
    }

    /// Gives a signed extrinsic to the pool; its hash.
    pub async fn submit(&self, extrinsic: Extrinsic) -> Result<Hash, SubmitError> {
        self.give(extrinsic, None).await
    }

    /// Gives a signed extrinsic to the pool, and reports what becomes of it. The channel closes after the last status.
    pub async fn submit_and_watch(
        &self,
        extrinsic: Extrinsic,
    ) -> Result<(Hash, mpsc::Receiver<Status>), SubmitError> {
        let (watcher, statuses) = mpsc::channel(WATCHED_STATUSES);
        Ok((self.give(extrinsic, Some(watcher)).await?, statuses))
    }

    /// The transactions in the pool that the next block could hold, in the order in which it would.
    pub async fn pending(&self) -> Result<Vec<Extrinsic>, ControlError> {
        let ready = self.read(|node| node.pool().ready()).await?;
        Ok(ready.into_iter().map(|transaction| transaction.bytes).collect())
    }

    /// Removes transactions from the pool; those that were there.
    pub async fn remove(&self, hashes: Vec<Hash>) -> Result<Vec<Hash>, ControlError> {
        self.ask(|reply| Message::Remove { hashes, reply }).await
    }

    /// Waits until the chain has stopped.
    pub async fn stopped(&self) {
        self.inbox.closed().await;
    }

    /// Looks at the node on its own thread.
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
        Ok(self.ask(|reply| Message::Seal(SealJob { left: count, pace, reply })).await??)
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
