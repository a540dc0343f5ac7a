//! The client of one chain: reads blocks, and opens the state after a block.

use std::{sync::Arc, time::Duration};

use base::{BlockHash, Height};
use chain_metadata::report::Report;
use parity_scale_codec::Encode;
use subxt::{config::substrate::SubstrateHeader, utils::H256};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::{
    Block, Metrics, Options,
    backoff::Backoff,
    blocks::Blocks,
    connection::Connection,
    error::{ConnectError, ReadError, RequestError},
    nonces::Nonces,
    outcome,
    runtime::Runtimes,
    snapshot::ChainSnapshot,
};

/// A client of one chain. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    genesis: BlockHash,
    runtimes: Runtimes,
    options: Arc<Options>,
    nonces: Nonces,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("genesis", &self.inner.genesis).finish_non_exhaustive()
    }
}

/// A block's header.
pub(crate) type Header = SubstrateHeader<H256>;

impl Client {
    /// Connects to the chain: tries each endpoint once, checks the genesis hash and reads the runtime's
    /// metadata. It takes at most the options' [`silence`](Options::silence).
    ///
    /// Afterwards the client reconnects by itself, for as long as it exists.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        options.check()?;
        let options = Arc::new(options);
        let after = options.silence();
        let connected = tokio::time::timeout(after, Self::connect_now(options)).await;
        connected.unwrap_or(Err(ConnectError::Silent { after }))
    }

    /// Connects like [`Client::connect`]. While endpoints only limit requests, or are overloaded, it tries
    /// again after pauses, up to `limit`.
    pub async fn connect_within(options: Options, limit: Duration) -> Result<Self, ConnectError> {
        let end = Instant::now() + limit;
        let mut backoff = Backoff::new(options.first_pause, options.longest_pause);
        loop {
            let connected = timeout_at(end, Self::connect(options.clone())).await;
            let error = match connected.unwrap_or(Err(ConnectError::Silent { after: limit })) {
                Err(error) if error.is_busy() => error,
                other => return other,
            };
            let pause = backoff.pause(&mut rand::rng());
            if Instant::now() + pause >= end {
                return Err(error);
            }
            warn!(target: "chain", error = %base::ErrorChain(&error), ?pause, "connecting again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect_now(options: Arc<Options>) -> Result<Self, ConnectError> {
        let metrics = Arc::new(Metrics::default());
        let (connection, genesis) = Connection::open(options.clone(), metrics.clone()).await?;
        let runtimes = Runtimes::load(&connection, genesis).await?;
        let inner = Inner { connection, genesis, runtimes, options, nonces: Nonces::default(), metrics };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the metrics of this client, so that a registry can include them.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.inner.metrics.clone()
    }

    /// Returns the genesis hash. It identifies the chain.
    pub fn genesis(&self) -> BlockHash {
        self.inner.genesis
    }

    /// Returns the spec version of the newest runtime that this client has seen.
    pub fn spec_version(&self) -> u32 {
        self.inner.runtimes.newest().version.spec
    }

    /// Returns the report on the newest runtime: which of the items that Muster uses it has.
    pub fn report(&self) -> Arc<Report> {
        self.inner.runtimes.newest().report.clone()
    }

    /// Opens the chain's state after a block. Sends no request.
    pub fn at(&self, block: BlockHash) -> ChainSnapshot<'_> {
        ChainSnapshot::new(self, block)
    }

    /// Reads the newest finalized block. Three requests.
    pub async fn finalized(&self) -> Result<Block, ReadError> {
        self.block(self.finalized_hash().await?).await
    }

    /// Reads the hash of the newest finalized block. One request.
    pub async fn finalized_hash(&self) -> Result<BlockHash, ReadError> {
        let head = self
            .connection()
            .read("chain_getFinalizedHead", |node| async move { node.chain_get_finalized_head().await })
            .await?;
        Ok(BlockHash(head.0))
    }

    /// Reads the newest best block, which may still give way to another one. Two requests.
    pub async fn best(&self) -> Result<Block, ReadError> {
        let header = self.best_header().await?;
        self.with_time(&header, header_hash(&header)).await
    }

    pub(crate) async fn best_header(&self) -> Result<Header, ReadError> {
        let method = "chain_getHeader";
        let header =
            self.connection().read(method, |node| async move { node.chain_get_header(None).await }).await?;
        let reason = || "it has no best block".to_string();
        header.ok_or_else(|| RequestError::Unintelligible { method, reason: reason() }.into())
    }

    /// Reads the hash of the block at this height. One request.
    ///
    /// Above the finalized head the answer may change later.
    pub async fn block_hash(&self, height: Height) -> Result<BlockHash, ReadError> {
        let hash = self
            .connection()
            .read("chain_getBlockHash", |node| async move {
                node.chain_get_block_hash(Some(height.0.into())).await
            })
            .await?;
        hash.map(|hash| BlockHash(hash.0)).ok_or(ReadError::NoBlockYet(height))
    }

    /// Reads a block by its hash, with its time. Two requests.
    pub async fn block(&self, hash: BlockHash) -> Result<Block, ReadError> {
        let header = self.header(hash).await?;
        self.with_time(&header, hash).await
    }

    /// Streams finalized blocks from this height on, without a gap and without end.
    pub fn blocks_from(&self, height: Height) -> Blocks {
        Blocks::new(self.clone(), height)
    }

    /// Streams finalized blocks from the next one on, without a gap and without end.
    pub async fn blocks(&self) -> Result<Blocks, ReadError> {
        let head = self.finalized().await?;
        Ok(Blocks::after(self.clone(), &head))
    }

    pub(crate) async fn header(&self, hash: BlockHash) -> Result<Header, ReadError> {
        let header = self
            .connection()
            .read_at(
                "chain_getHeader",
                |node| async move { node.chain_get_header(Some(H256(hash.0))).await },
                Option::is_some,
            )
            .await?;
        let header = header.ok_or(ReadError::UnknownBlock(hash))?;
        match header_hash(&header) {
            found if found == hash => Ok(header),
            found => Err(RequestError::Unintelligible {
                method: "chain_getHeader",
                reason: format!("asked for {hash}, it sent {found}"),
            }
            .into()),
        }
    }

    /// Adds the block's time to a header.
    pub(crate) async fn with_time(&self, header: &Header, hash: BlockHash) -> Result<Block, ReadError> {
        let time = match self.at(hash).time().await {
            // Nodes drop states after a few hundred blocks, but keep the blocks: read the time there. The
            // same helps where a runtime lacks the item.
            Err(error @ (ReadError::Pruned(_) | ReadError::Unusable(_))) => {
                outcome::body(self, hash).await?.time().ok_or(error)?
            }
            time => time?,
        };
        Ok(Block { height: Height(header.number), hash, parent: BlockHash(header.parent_hash.0), time })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    pub(crate) fn runtimes(&self) -> &Runtimes {
        &self.inner.runtimes
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn nonces(&self) -> &Nonces {
        &self.inner.nonces
    }
}

/// Returns a block's hash: the hash of its header's bytes.
pub(crate) fn header_hash(header: &Header) -> BlockHash {
    BlockHash(sp_crypto_hashing::blake2_256(&header.encode()))
}
