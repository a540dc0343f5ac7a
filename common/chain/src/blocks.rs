//! The stream of finalized blocks, without a gap, across broken connections.

use base::{BlockHash, Height, UnixMillis};
use tokio::sync::{mpsc, watch};

use crate::{Client, error::ReadError, follower::Follower};

/// A block of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// The block number, counted from genesis.
    pub height: Height,
    /// The block hash: the hash of the header.
    pub hash: BlockHash,
    /// The hash of the parent block.
    pub parent: BlockHash,
    /// The time that the block carries, by the clock of its author. 0 in the genesis block.
    pub time: UnixMillis,
}

/// Blocks that are read ahead of the consumer.
const READ_AHEAD: usize = 16;

/// The newest blocks that a node told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The best block: its height and its hash. It may still give way to another one.
    pub best: Option<(Height, BlockHash)>,
    /// The height of the newest finalized block.
    pub finalized: Option<Height>,
}

impl Heads {
    /// Returns the number of blocks by which finality lags behind the best block, if both are known.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        Some(self.best?.0.0.saturating_sub(self.finalized?.0))
    }
}

/// An error that ends a stream of blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// A finalized block does not follow the finalized block before it.
    #[error(
        "two finalized chains: block {height} ({hash}) follows {parent}, but the block before was {expected}; \
         the endpoints disagree, or the chain was reset"
    )]
    Forked {
        /// The height of the block that does not fit.
        height: Height,
        /// The hash of that block.
        hash: BlockHash,
        /// The parent that it names.
        parent: BlockHash,
        /// The hash of the block that the stream returned before.
        expected: BlockHash,
    },
    /// A block could not be read.
    #[error("cannot read block {height}")]
    Read {
        /// The height of the block.
        height: Height,
        /// The reason.
        source: ReadError,
    },
    /// No endpoint gave a sign of life for the options' [`silence`](crate::Options::silence).
    #[error("no node of the chain gave a sign of life for {} s while waiting for block {height}", .after.as_secs_f32())]
    Silent {
        /// The height of the next block.
        height: Height,
        /// The time without a sign of life.
        after: std::time::Duration,
    },
    /// The program is being stopped.
    #[error("cannot read block {height}: the program is being stopped")]
    Stopped {
        /// The height of the next block.
        height: Height,
    },
}

/// A stream of finalized blocks from some height on: without a gap, each block the child of the one before.
///
/// A separate task follows the chain and reads up to 16 blocks ahead. After a lost connection it waits
/// for a new one, with the next endpoint if necessary, and fetches the blocks that it missed. It leaves a
/// node that tells no new block for the options' `stall_blocks`. A chain that stands still, and finality that
/// lags behind, do not end the stream. Silence of all endpoints does. The task ends when the stream is
/// dropped.
pub struct Blocks {
    followed: mpsc::Receiver<Result<Block, BlocksError>>,
    heads: watch::Receiver<Heads>,
    next: Height,
    /// The error that ended the stream.
    ended: Option<BlocksError>,
}

impl Blocks {
    pub(crate) fn new(client: Client, next: Height) -> Self {
        Self::follow(Follower::new(client, next, None))
    }

    pub(crate) fn after(client: Client, last: &Block) -> Self {
        Self::follow(Follower::new(client, last.height.next(), Some(last.hash)))
    }

    fn follow(follower: Follower) -> Self {
        let next = follower.next_height();
        let (blocks, followed) = mpsc::channel(READ_AHEAD);
        let (heads_sent, heads) = watch::channel(Heads::default());
        tokio::spawn(follower.run(blocks, heads_sent));
        Self { followed, heads, next, ended: None }
    }

    /// Returns the newest blocks that a node told, for watching.
    pub fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.clone()
    }

    /// Returns the height of the block that [`Blocks::next`] returns next.
    pub fn next_height(&self) -> Height {
        self.next
    }

    /// Waits for the next finalized block and returns it.
    ///
    /// Cancel safe: the future may be dropped at any time, as `select!` does, and no block is lost. It
    /// waits without a limit while nodes refuse connections or limit requests. An error means that the
    /// stream has ended; later calls return the same error.
    pub async fn next(&mut self) -> Result<Block, BlocksError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let followed = self.followed.recv().await.unwrap_or(Err(BlocksError::Stopped { height: self.next }));
        match &followed {
            Ok(block) => self.next = block.height.next(),
            Err(error) => self.ended = Some(error.clone()),
        }
        followed
    }
}
