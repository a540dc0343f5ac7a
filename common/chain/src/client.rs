//! The client: what may be asked of the chain, and of one of its blocks.

use std::sync::Arc;

use base::{BlockHash, Height};
use chain_metadata::report::Report;
use parity_scale_codec::Encode;
use subxt::{config::substrate::SubstrateHeader, utils::H256};

use crate::{
    Block, Options,
    blocks::Blocks,
    connection::Connection,
    error::{ConnectError, ReadError, RequestError},
    nonces::Nonces,
    outcome,
    runtime::Runtimes,
    snapshot::Snapshot,
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
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("genesis", &self.inner.genesis).finish_non_exhaustive()
    }
}

/// A block's header.
pub(crate) type Header = SubstrateHeader<H256>;

impl Client {
    /// Connects: tries each endpoint once, checks the genesis hash, and reads what the runtime can do.
    ///
    /// Afterwards the client reconnects by itself, for as long as it exists.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        options.check()?;
        let options = Arc::new(options);
        let (connection, genesis) = Connection::open(options.clone()).await?;
        let runtimes = Runtimes::load(&connection, genesis).await?;
        let inner = Inner { connection, genesis, runtimes, options, nonces: Nonces::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The hash of the chain's first block: which chain this is.
    pub fn genesis(&self) -> BlockHash {
        self.inner.genesis
    }

    /// The spec version of the newest runtime that this client has met.
    pub fn spec_version(&self) -> u32 {
        self.inner.runtimes.newest().version.spec
    }

    /// What the newest runtime has of what Muster uses.
    pub fn report(&self) -> Arc<Report> {
        self.inner.runtimes.newest().report.clone()
    }

    /// The chain's state after a block. Nothing is sent yet.
    pub fn at(&self, block: BlockHash) -> Snapshot<'_> {
        Snapshot::new(self, block)
    }

    /// The newest finalized block. Three requests.
    pub async fn finalized(&self) -> Result<Block, ReadError> {
        self.block(self.finalized_hash().await?).await
    }

    /// The hash of the newest finalized block. One request.
    pub async fn finalized_hash(&self) -> Result<BlockHash, ReadError> {
        let head = self
            .connection()
            .read("chain_getFinalizedHead", |node| async move { node.chain_get_finalized_head().await })
            .await?;
        Ok(BlockHash(head.0))
    }

    /// The hash of the block of this height. One request.
    ///
    /// Above the finalized head a node may change its mind about it.
    pub async fn block_hash(&self, height: Height) -> Result<BlockHash, ReadError> {
        let hash = self
            .connection()
            .read("chain_getBlockHash", |node| async move {
                node.chain_get_block_hash(Some(height.0.into())).await
            })
            .await?;
        hash.map(|hash| BlockHash(hash.0)).ok_or(ReadError::NoBlockYet(height))
    }

    /// A block by its hash, with its time. Two requests.
    pub async fn block(&self, hash: BlockHash) -> Result<Block, ReadError> {
        let header = self.header(hash).await?;
        self.with_time(&header, hash).await
    }

    /// Finalized blocks from this height on, without a gap, for ever.
    pub fn blocks_from(&self, height: Height) -> Blocks {
        Blocks::new(self.clone(), height)
    }

    /// Finalized blocks from the next one on, without a gap, for ever.
    pub async fn blocks(&self) -> Result<Blocks, ReadError> {
        let head = self.finalized().await?;
        Ok(Blocks::after(self.clone(), &head))
    }

    pub(crate) async fn header(&self, hash: BlockHash) -> Result<Header, ReadError> {
        let header = self
            .connection()
            .read("chain_getHeader", |node| async move { node.chain_get_header(Some(H256(hash.0))).await })
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

    /// Adds to a header the time that its block carries.
    pub(crate) async fn with_time(&self, header: &Header, hash: BlockHash) -> Result<Block, ReadError> {
        let time = match self.at(hash).time().await {
            // Nodes drop states after some hundred blocks, but keep the blocks: who comes back late reads it there.
            Err(pruned @ ReadError::Pruned(_)) => outcome::body(self, hash).await?.time().ok_or(pruned)?,
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

/// A block's hash: that of its header's bytes.
pub(crate) fn header_hash(header: &Header) -> BlockHash {
    BlockHash(sp_crypto_hashing::blake2_256(&header.encode()))
}
