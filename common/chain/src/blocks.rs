//! The stream of finalized blocks, without a gap, across broken connections.

use base::{BlockHash, Height, UnixMillis};
use subxt_rpcs::client::RpcSubscription;
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use crate::{
    Client,
    backoff::Backoff,
    client::{Header, header_hash},
    connection::Session,
    error::ReadError,
};

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
/// Times that a block may be missing on a node that has finalized it.
const MAX_MISSING: usize = 3;

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
/// node that finalizes no block for the options' `stall_blocks`. The task ends when the stream is
/// dropped.
pub struct Blocks {
    followed: mpsc::Receiver<Result<Block, BlocksError>>,
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
        let next = follower.next;
        let (blocks, followed) = mpsc::channel(READ_AHEAD);
        tokio::spawn(follower.run(blocks));
        Self { followed, next, ended: None }
    }

    /// Returns the height of the block that [`Blocks::next`] returns next.
    pub fn next_height(&self) -> Height {
        self.next
    }

    /// Waits for the next finalized block and returns it.
    ///
    /// Cancel safe: the future may be dropped at any time, as `select!` does, and no block is lost. It
    /// waits without a limit while the connection is lost. An error means that the stream has ended;
    /// later calls return the same error.
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

/// Follows the chain for one [`Blocks`].
struct Follower {
    client: Client,
    next: Height,
    /// The hash of the block before `next`, if known.
    last: Option<BlockHash>,
    heard: Option<Heard>,
    /// The number of the last session that was useless.
    useless: u64,
    /// The pauses between useless nodes.
    backoff: Backoff,
}

/// The finalized head of one node. Another node may lag behind it.
struct Heard {
    session: Session,
    heads: RpcSubscription<Header>,
    newest: Option<Header>,
}

impl Follower {
    fn new(client: Client, next: Height, last: Option<BlockHash>) -> Self {
        let backoff = Backoff::new(client.options().first_pause, client.options().longest_pause);
        Self { client, next, last, heard: None, useless: 0, backoff }
    }

    /// Sends blocks until one cannot be read or the receiver is dropped.
    async fn run(mut self, blocks: mpsc::Sender<Result<Block, BlocksError>>) {
        loop {
            let next = tokio::select! {
                biased;
                () = blocks.closed() => return,
                next = self.next() => next,
            };
            let ended = next.is_err();
            if blocks.send(next).await.is_err() || ended {
                return;
            }
        }
    }

    async fn next(&mut self) -> Result<Block, BlocksError> {
        let height = self.next;
        let mut missing = 0;
        loop {
            let (session, head) = self.node_with(height).await;
            match fetch(&self.client, &session, &head, height).await {
                Ok(block) => return self.accept(block),
                // One address may stand for several nodes, and some may lag. Wait for another block.
                Err(error) if error.is_of_a_lagging_node() && missing < MAX_MISSING => {
                    missing += 1;
                    if let Some(heard) = &mut self.heard {
                        heard.newest = None;
                    }
                }
                Err(error) if error.is_of_a_lagging_node() || error.is_retryable() => {
                    warn!(target: "chain", %height, error = %base::ErrorChain(&error), "cannot read the block yet");
                    missing = 0;
                    self.leave(&session).await;
                }
                Err(source) => return Err(BlocksError::Read { height, source }),
            }
        }
    }

    fn accept(&mut self, block: Block) -> Result<Block, BlocksError> {
        if let Some(expected) = self.last.filter(|last| *last != block.parent) {
            let Block { height, hash, parent, .. } = block;
            return Err(BlocksError::Forked { height, hash, parent, expected });
        }
        self.last = Some(block.hash);
        self.next = block.height.next();
        self.backoff.reset();
        Ok(block)
    }

    /// Waits for a node that has finalized the block at this height. Returns its session and its
    /// finalized head.
    async fn node_with(&mut self, height: Height) -> (Session, Header) {
        loop {
            if let Some(Heard { session, newest: Some(head), .. }) = &self.heard
                && head.number >= height.0
            {
                return (session.clone(), head.clone());
            }
            self.hear().await;
        }
    }

    /// Waits for one event of the finalized head: a header, a new subscription, or a loss.
    async fn hear(&mut self) {
        let patience = self.client.options().stall_after();
        let Some(heard) = &mut self.heard else {
            return self.subscribe().await;
        };
        match timeout(patience, heard.heads.next()).await {
            Ok(Some(Ok(header))) => return heard.newest = Some(header),
            Ok(Some(Err(_)) | None) => {}
            Err(_) => {
                warn!(target: "chain", next = %self.next, after_s = patience.as_secs_f32(), "no finalized block");
            }
        }
        let session = heard.session.clone();
        self.leave(&session).await;
    }

    async fn subscribe(&mut self) {
        const METHOD: &str = "chain_subscribeFinalizedHeads";
        let connection = self.client.connection();
        let session = match connection.session_after(self.useless).await {
            Ok(session) => session,
            Err(error) => {
                return warn!(target: "chain", error = %base::ErrorChain(&error), "waiting for a connection");
            }
        };
        let methods = session.methods.clone();
        match connection.request(&session, METHOD, methods.chain_subscribe_finalized_heads()).await {
            Ok(heads) => self.heard = Some(Heard { session, heads, newest: None }),
            Err(error) => {
                warn!(target: "chain", error = %base::ErrorChain(&error), "cannot subscribe to finalized blocks");
                self.leave(&session).await;
            }
        }
    }

    /// Leaves a useless node for the next one, and pauses.
    async fn leave(&mut self, session: &Session) {
        self.heard = None;
        self.useless = session.serial;
        self.client.connection().give_up(session);
        let pause = self.backoff.pause(&mut rand::rng());
        tokio::time::sleep(pause).await;
    }
}

/// Reads the finalized block at this height. `head` is the finalized head of the session's node, and
/// `height` is not above it.
///
/// The hash must come from a node that has finalized the block: another node may lag and name a block
/// that is not final. Once the hash is known, any node may send the block.
async fn fetch(
    client: &Client,
    session: &Session,
    head: &Header,
    height: Height,
) -> Result<Block, ReadError> {
    if head.number == height.0 {
        return client.with_time(head, header_hash(head)).await;
    }
    let asked = session.methods.chain_get_block_hash(Some(height.0.into()));
    let hash = client.connection().request(session, "chain_getBlockHash", asked).await?;
    let hash = hash.map(|hash| BlockHash(hash.0)).ok_or(ReadError::NoBlockYet(height))?;
    let header = client.header(hash).await?;
    client.with_time(&header, hash).await
}
