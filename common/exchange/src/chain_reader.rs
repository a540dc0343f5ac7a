//! Reads the chain block by block, and decides windows from it.

use crate::{BlockState, ExchangeError};
use base::{BlockHash, Height, Mechanism, Netuid, Window};
use chain::{Block, ChainSnapshot, Client, error::ReadError};
use protocol::{
    acceptance::{Decision, Evidence, decide},
    assignment::Assignments,
    clock::Heights,
    run_spec::RunSpec,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// The number of states in the cache. A window needs four (assignment, incentives, claims, votes) and
/// its seed.
const STATES: usize = 24;
/// The number of finalized block hashes in the cache: 13 hours at 12 s per block.
const HASHES: usize = 4096;

/// The chain as all nodes of a subnet read it. Clones share one cache.
#[derive(Clone, Debug)]
pub struct ChainReader {
    client: Client,
    netuid: Netuid,
    mechanism: Mechanism,
    memory: Arc<Mutex<Memory>>,
}

/// The cache of previous reads. All of it is finalized, so it never changes.
#[derive(Debug, Default)]
struct Memory {
    finalized: Height,
    hashes: BTreeMap<Height, BlockHash>,
    /// The most recently used states, the newest at the end.
    states: VecDeque<Arc<BlockState>>,
}

/// The states that decide a window.
#[derive(Clone, Debug)]
pub struct WindowEvidence {
    /// The window's heights.
    pub heights: Heights,
    /// The state at `D_w - 10`: the incentives that order the candidates.
    pub incentives: Arc<BlockState>,
    /// The state at `D_w`: the claims.
    pub claims: Arc<BlockState>,
    /// The state at `M_w`: the votes.
    pub votes: Arc<BlockState>,
}

impl WindowEvidence {
    /// Returns the evidence for [`decide`].
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            incentives: Some(&self.incentives.snapshot),
            claims: Some(&self.claims.snapshot),
            votes: Some(&self.votes.snapshot),
        }
    }
}

impl ChainReader {
    /// Creates a chain reader for a mechanism of a subnet.
    #[must_use]
    pub fn new(client: Client, netuid: Netuid, mechanism: Mechanism) -> Self {
        Self { client, netuid, mechanism, memory: Arc::default() }
    }

    /// Returns the chain's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the subnet.
    #[must_use]
    pub fn netuid(&self) -> Netuid {
        self.netuid
    }

    /// Returns the mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Returns the state after a block, for reads of the mechanism.
    #[must_use]
    pub fn snapshot(&self, block: BlockHash) -> ChainSnapshot<'_> {
        self.client.at(block).of(self.mechanism)
    }

    /// Stores a finalized block from [`chain::Blocks`] in the cache, so that it is not requested again.
    pub fn saw(&self, block: &Block) {
        self.with_memory(|memory| memory.note(block.height, block.hash));
    }

    /// Reads the height of the newest finalized block, with three requests.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn finalized(&self) -> Result<Height, ReadError> {
        let block = self.client.finalized().await?;
        self.saw(&block);
        Ok(block.height)
    }

    /// Returns the hash of a finalized block.
    ///
    /// # Errors
    /// The block is not finalized, or the chain cannot be read.
    pub async fn hash(&self, height: Height) -> Result<BlockHash, ExchangeError> {
        if let Some(hash) = self.with_memory(|memory| memory.hashes.get(&height).copied()) {
            return Ok(hash);
        }
        self.require_final(height).await?;
        let hash = self.client.block_hash(height).await?;
        self.with_memory(|memory| memory.note(height, hash));
        Ok(hash)
    }

    async fn require_final(&self, height: Height) -> Result<(), ExchangeError> {
        if height <= self.with_memory(|memory| memory.finalized) {
            return Ok(());
        }
        match self.finalized().await? {
            finalized if height <= finalized => Ok(()),
            finalized => Err(ExchangeError::NotFinal { height, finalized }),
        }
    }

    /// Returns the state after a finalized block. It takes four requests, or none if the state is in
    /// the cache.
    ///
    /// # Errors
    /// The block is not finalized, its state is pruned, or the chain cannot be read.
    pub async fn at(&self, height: Height) -> Result<Arc<BlockState>, ExchangeError> {
        if let Some(state) = self.with_memory(|memory| memory.recall(height)) {
            return Ok(state);
        }
        let hash = self.hash(height).await?;
        let at = self.snapshot(hash);
        let metagraph = at.metagraph(self.netuid).await?;
        let commitments = at.commitments_of(self.netuid, &metagraph.hotkeys()).await?;
        let state = Arc::new(BlockState::new(height, hash, metagraph, &commitments)?);
        self.with_memory(|memory| memory.keep(Arc::clone(&state)));
        Ok(state)
    }

    /// Reads the states that decide a window.
    ///
    /// # Errors
    /// The errors of [`Self::at`].
    pub async fn evidence(&self, heights: &Heights) -> Result<WindowEvidence, ExchangeError> {
        let votes = self.at(heights.votes_close).await?; // The newest first: unless it is final, stop.
        let incentives = self.at(heights.incentives).await?;
        let claims = self.at(heights.claims_close).await?;
        Ok(WindowEvidence { heights: *heights, incentives, claims, votes })
    }

    /// Decides a window with the result that all nodes get.
    ///
    /// # Errors
    /// The errors of [`Self::at`], or the run has no such window.
    pub async fn decide(&self, spec: &RunSpec, window: Window) -> Result<Decision, ExchangeError> {
        let heights = spec.clock()?.heights(window)?;
        let evidence = self.evidence(&heights).await?;
        Ok(decide(spec.id(), &spec.acceptance, &heights, &evidence.evidence())?)
    }

    /// Returns the assignments of a window: each neuron's share of a dataset with `training_blocks`
    /// training blocks.
    ///
    /// # Errors
    /// The errors of [`Self::at`], or the run has no such window, or the dataset is too small.
    pub async fn assignments(
        &self,
        spec: &RunSpec,
        window: Window,
        training_blocks: u64,
    ) -> Result<Assignments, ExchangeError> {
        let seed = self.at(spec.clock()?.heights(window)?.assignment_seed).await?;
        let neurons = seed.neurons_by_uid();
        let samples = spec.train.samples();
        Ok(Assignments::new(&spec.hash(), window, seed.hash, neurons, samples, training_blocks)?)
    }

    /// Calls a function with the cache. The cache is consistent at any time, so a panic of another
    /// thread does not damage it.
    fn with_memory<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    fn note(&mut self, height: Height, hash: BlockHash) {
        self.finalized = self.finalized.max(height);
        self.hashes.insert(height, hash);
        if self.hashes.len() > HASHES {
            self.hashes.pop_first();
        }
    }

    fn recall(&mut self, height: Height) -> Option<Arc<BlockState>> {
        let place = self.states.iter().position(|state| state.height == height)?;
        let state = self.states.remove(place)?;
        self.states.push_back(Arc::clone(&state));
        Some(state)
    }

    fn keep(&mut self, state: Arc<BlockState>) {
        self.states.retain(|other| other.height != state.height);
        self.states.push_back(state);
        if self.states.len() > STATES {
            self.states.pop_front();
        }
    }
}
