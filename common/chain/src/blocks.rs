//! Finalized blocks, one after another, whatever the connection does.

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
    /// Its number, counted from genesis.
    pub height: Height,
    /// The hash of its header.
    pub hash: BlockHash,
    /// The hash of the block before.
    pub parent: BlockHash,
    /// The time that it carries: what its author's clock said. 0 in the genesis block.
    pub time: UnixMillis,
}

/// Blocks that are read before anybody asks for them.
const READ_AHEAD: usize = 16;
/// How often a block may be missing on a node that has finalized it.
const MAX_MISSING: usize = 3;

/// Why a stream of blocks ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// A node shows a finalized block that does not follow the one that we were shown before.
    #[error(
        "two finalized chains: block {height} ({hash}) follows {parent}, but we were shown {expected} before; \
         the endpoints disagree, or the chain was reset"
    )]
    Forked {
        /// The height of the block that does not fit.
        height: Height,
        /// Its hash.
        hash: BlockHash,
        /// The parent that it names.
        parent: BlockHash,
        /// The block that we were shown before.
        expected: BlockHash,
    },
    /// A block could not be read.
    #[error("block {height}: {source}")]
    Read {
        /// Its height.
        height: Height,
        /// Why.
        source: ReadError,
    },
    /// The program is being stopped.
    #[error("block {height} is not read: the program is being stopped")]
    Stopped {
        /// Its height.
        height: Height,
    },
}

/// Finalized blocks from some height on: heights without a gap, each block the child of the one before.
///
/// A task of its own follows the chain and reads up to 16 blocks ahead. It makes a lost connection again, on the next
/// endpoint if need be, and fetches what was missed meanwhile. A node that shows no block for the options'
/// `stall_blocks` is left for the next. It ends when this is dropped.
pub struct Blocks {
    followed: mpsc::Receiver<Result<Block, BlocksError>>,
    next: Height,
    /// Why there are no more.
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

    /// The height of the block that [`Blocks::next`] will give.
    pub fn next_height(&self) -> Height {
        self.next
    }

    /// The next finalized block.
    ///
    /// It may be dropped at any time, as `select!` does: nothing is lost. It waits through losses of the connection, for
    /// ever; an error means that the stream cannot go on, and stays.
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
    /// The block before `next`, where we know it.
    last: Option<BlockHash>,
    heard: Option<Heard>,
    /// The number of the last session that was of no use.
    useless: u64,
    /// Pauses between nodes that are of no use.
    backoff: Backoff,
}

/// What one node says of its finalized head. It says nothing about another node, which may lag.
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

    /// Sends blocks until one cannot be read, or nobody wants them any more.
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
                // Behind one address there may be nodes that lag: wait until this one has finalized another block.
                Err(error) if error.is_of_a_lagging_node() && missing < MAX_MISSING => {
                    missing += 1;
                    if let Some(heard) = &mut self.heard {
                        heard.newest = None;
                    }
                }
                Err(error) if error.is_of_a_lagging_node() || error.is_retryable() => {
                    warn!(target: "chain", %height, %error, "block not read yet");
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

    /// A node that has finalized the block of this height, and its head.
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

    /// Waits for news of the finalized head, once: a header, a new subscription, or nothing after a loss.
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
            Err(error) => return warn!(target: "chain", %error, "waiting for a connection"),
        };
        let methods = session.methods.clone();
        match connection.request(&session, METHOD, methods.chain_subscribe_finalized_heads()).await {
            Ok(heads) => self.heard = Some(Heard { session, heads, newest: None }),
            Err(error) => {
                warn!(target: "chain", %error, "cannot subscribe to finalized blocks");
                self.leave(&session).await;
            }
        }
    }

    /// Leaves a node that is of no use for the next one, after a pause.
    async fn leave(&mut self, session: &Session) {
        self.heard = None;
        self.useless = session.serial;
        self.client.connection().give_up(session);
        let pause = self.backoff.pause(&mut rand::rng());
        tokio::time::sleep(pause).await;
    }
}

/// The finalized block of this height, which is not above `head`, the finalized head of the session's node.
///
/// Only the node that has finalized a block may say its hash: another may lag, and name a block that is not final. What
/// belongs to a hash any node may say.
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
