//! Follows the heads of the chain for a stream of blocks, from node to node.

use base::{BlockHash, Height};
use subxt_rpcs::client::RpcSubscription;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{
    Block, BlocksError, Client, Heads,
    backoff::Backoff,
    client::{Header, header_hash},
    connection::{REFUSALS, Session},
    contact::{Contact, all_silent},
    error::{ReadError, RequestError},
};

/// Times that a block may be missing on a node that has finalized it.
const MAX_MISSING: usize = 3;

/// Follows the chain for one [`Blocks`](crate::Blocks).
pub(crate) struct Follower {
    client: Client,
    next: Height,
    /// The hash of the block before `next`, if known.
    last: Option<BlockHash>,
    heard: Option<Heard>,
    /// The newest blocks of all nodes.
    heads: Heads,
    /// The signs of life: blocks, new heads where no block is due, and answers of nodes whose chain stands
    /// still.
    alive: Contact,
    /// The number of the last session that was useless.
    useless: u64,
    /// The refusals of the node, one after the other.
    refusals: usize,
    /// The pauses between useless nodes.
    backoff: Backoff,
}

/// The heads of one node. Another node may lag behind it.
struct Heard {
    session: Session,
    finalized: RpcSubscription<Header>,
    best: RpcSubscription<Header>,
    newest: Option<Header>,
    /// The time of the last finalized head, or of the last check that there is no newer one.
    finalized_at: Instant,
}

/// An event of a node's heads.
enum Head {
    Finalized(Header),
    Best(Header),
    /// The subscriptions ended.
    Ended,
    /// No event came in time.
    Stalled,
}

impl Heard {
    /// Waits for the next event.
    async fn event(&mut self, patience: std::time::Duration) -> Head {
        let next = async {
            tokio::select! {
                biased;
                head = self.finalized.next() => head.map(|head| head.map(Head::Finalized)),
                head = self.best.next() => head.map(|head| head.map(Head::Best)),
            }
        };
        match timeout(patience, next).await {
            Ok(Some(Ok(head))) => head,
            Ok(Some(Err(_)) | None) => Head::Ended,
            Err(_) => Head::Stalled,
        }
    }
}

impl Follower {
    pub(crate) fn new(client: Client, next: Height, last: Option<BlockHash>) -> Self {
        let backoff = Backoff::new(client.options().first_pause, client.options().longest_pause);
        Self {
            client,
            next,
            last,
            heard: None,
            heads: Heads::default(),
            alive: Contact::new(),
            useless: 0,
            refusals: 0,
            backoff,
        }
    }

    pub(crate) fn next_height(&self) -> Height {
        self.next
    }

    /// Sends blocks until one cannot be read, no endpoint gives a sign of life, or the receiver is dropped.
    pub(crate) async fn run(
        mut self,
        blocks: mpsc::Sender<Result<Block, BlocksError>>,
        heads: watch::Sender<Heads>,
    ) {
        let alive = self.alive.clone();
        let refusals = self.client.connection().refusals.clone();
        let after = self.client.options().silence();
        let contacts = [&alive, &refusals];
        loop {
            let height = self.next;
            let next = tokio::select! {
                biased;
                () = blocks.closed() => return,
                next = self.next(&heads) => next,
                () = all_silent(&contacts, after) => Err(BlocksError::Silent { height, after }),
            };
            let ended = next.is_err();
            if blocks.send(next).await.is_err() || ended {
                return;
            }
            alive.note(); // The wait for a slow reader is no silence.
        }
    }

    async fn next(&mut self, heads: &watch::Sender<Heads>) -> Result<Block, BlocksError> {
        let height = self.next;
        let mut missing = 0;
        loop {
            let (session, head) = self.node_with(height, heads).await;
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
                    self.after_failure(&session, &error).await;
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
        self.refusals = 0;
        self.backoff.reset();
        Ok(block)
    }

    /// Waits for a node that has finalized the block at this height. Returns its session and its
    /// finalized head.
    async fn node_with(&mut self, height: Height, heads: &watch::Sender<Heads>) -> (Session, Header) {
        loop {
            if let Some(Heard { session, newest: Some(head), .. }) = &self.heard
                && head.number >= height.0
            {
                return (session.clone(), head.clone());
            }
            self.hear(heads).await;
        }
    }

    /// Waits for one event of the heads: a header, a new subscription, or a loss.
    async fn hear(&mut self, heads: &watch::Sender<Heads>) {
        let patience = self.client.options().stall_after();
        let Some(heard) = &mut self.heard else {
            return self.subscribe().await;
        };
        match heard.event(patience).await {
            Head::Finalized(header) => {
                heard.finalized_at = Instant::now();
                self.heads.finalized = self.heads.finalized.max(Some(Height(header.number)));
                heard.newest = Some(header);
                self.told(heads);
            }
            Head::Best(header) => {
                self.heads.best = Some((Height(header.number), header_hash(&header)));
                let finality_stands = heard.finalized_at.elapsed() > patience;
                self.told(heads);
                if finality_stands {
                    self.check_finality().await;
                }
            }
            Head::Ended => self.leave("the subscription ended").await,
            Head::Stalled => {
                warn!(target: "chain", next = %self.next, after_s = patience.as_secs_f32(), "no new block");
                // Where the chain stands still, only another endpoint could know more.
                if !self.stands_still().await || self.client.options().endpoints.len() > 1 {
                    self.leave("it tells no new block").await;
                }
            }
        }
    }

    /// Tells the new heads. They are a sign of life, unless a finalized block is waited for that no node
    /// sends.
    fn told(&self, heads: &watch::Sender<Heads>) {
        let newest = self.heard.as_ref().and_then(|heard| heard.newest.as_ref());
        if newest.is_none_or(|newest| newest.number < self.next.0) {
            self.alive.note();
        }
        heads.send_replace(self.heads);
    }

    /// Asks a node that told no block whether its chain stands still. If so, the node is not silent.
    async fn stands_still(&mut self) -> bool {
        const METHOD: &str = "chain_getHeader";
        let Some(Heard { session, .. }) = &self.heard else { return false };
        let asked = session.methods.chain_get_header(None);
        let limit = self.client.options().connect_timeout;
        match self.client.connection().request_within(session, METHOD, asked, limit).await {
            Ok(Some(header)) => {
                let known = self.heads.best.map(|(height, _)| height);
                let stands = known.is_some_and(|known| header.number <= known.0);
                if stands {
                    self.alive.note();
                }
                stands
            }
            Ok(None) => false,
            Err(error) => {
                self.note_refusal(&error);
                error.is_busy()
            }
        }
    }

    /// Leaves a node that tells new blocks, but not that older ones are final now.
    async fn check_finality(&mut self) {
        const METHOD: &str = "chain_getFinalizedHead";
        let Some(heard) = &mut self.heard else { return };
        heard.finalized_at = Instant::now();
        let asked = heard.session.methods.chain_get_finalized_head();
        let answer = self.client.connection().request(&heard.session, METHOD, asked).await;
        let known = heard.newest.as_ref().map(header_hash);
        if let Ok(found) = answer
            && Some(BlockHash(found.0)) != known
        {
            self.leave("it does not tell which blocks are final").await;
        }
    }

    /// Notes that a node refused a request: it is not silent.
    fn note_refusal(&self, error: &RequestError) {
        if matches!(error, RequestError::Refused { .. }) {
            self.alive.note();
        }
    }

    async fn subscribe(&mut self) {
        let session = match self.client.connection().session_after(self.useless).await {
            Ok(session) => session,
            Err(error) => {
                return warn!(target: "chain", error = %base::ErrorChain(&error), "waiting for a connection");
            }
        };
        match self.subscribe_on(&session).await {
            Ok(heard) => self.heard = Some(heard),
            Err(error) => {
                warn!(target: "chain", error = %base::ErrorChain(&error), "cannot subscribe to blocks");
                self.after_failure(&session, &error.into()).await;
            }
        }
    }

    async fn subscribe_on(&mut self, session: &Session) -> Result<Heard, RequestError> {
        const FINALIZED: &str = "chain_subscribeFinalizedHeads";
        const BEST: &str = "chain_subscribeNewHeads";
        let connection = self.client.connection();
        let asked = session.methods.chain_subscribe_finalized_heads();
        let finalized = connection.request(session, FINALIZED, asked).await?;
        let asked = session.methods.chain_subscribe_new_heads();
        let best = connection.request(session, BEST, asked).await?;
        let finalized_at = Instant::now();
        Ok(Heard { session: session.clone(), finalized, best, newest: None, finalized_at })
    }

    /// Pauses after a failed request. Leaves a node that does not answer, and one that refuses again and
    /// again, unless it is the only one and limits requests.
    async fn after_failure(&mut self, session: &Session, error: &ReadError) {
        let is_refusal = matches!(error, ReadError::Request(RequestError::Refused { .. }));
        if is_refusal {
            self.alive.note();
        }
        self.refusals = if is_refusal { self.refusals + 1 } else { 0 };
        let is_only_one = self.client.options().endpoints.len() == 1;
        if is_refusal && (self.refusals < REFUSALS || (is_only_one && error.is_busy())) {
            // A node that limits requests is asked again at its pace.
            if !error.is_busy() {
                self.pause().await;
            }
        } else {
            let reason = base::ErrorChain(error).to_string();
            self.leave_session(session, &reason).await;
        }
    }

    /// Leaves the node for the next one, and pauses.
    async fn leave(&mut self, reason: &str) {
        if let Some(session) = self.heard.as_ref().map(|heard| heard.session.clone()) {
            self.leave_session(&session, reason).await;
        }
    }

    async fn leave_session(&mut self, session: &Session, reason: &str) {
        (self.heard, self.refusals) = (None, 0);
        self.useless = session.serial;
        self.client.connection().give_up(session, reason);
        self.pause().await;
    }

    async fn pause(&mut self) {
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
