//! The chain, block by block, and the windows that it decides.

use crate::{BlockState, ExchangeError};
use base::{BlockHash, Height, Netuid, NeuronId, Window};
use chain::{Block, Client, error::ReadError};
use protocol::{
    acceptance::{Decision, Evidence, decide},
    assignment::Assignments,
    clock::Heights,
    history::History,
    run_spec::RunSpec,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// States that are remembered. A window needs four (assignment, incentives, claims, votes) and its seed.
const STATES: usize = 24;
/// Hashes of finalized blocks that are remembered: at 12 s a block those of 13 hours.
const HASHES: usize = 4096;

/// The chain as all nodes of a subnet read it. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    netuid: Netuid,
    memory: Arc<Mutex<Memory>>,
}

/// What was read already. All of it is final, so none of it changes.
#[derive(Debug, Default)]
struct Memory {
    finalized: Height,
    hashes: BTreeMap<Height, BlockHash>,
    /// The last ones that were asked for, the newest at the end.
    states: VecDeque<Arc<BlockState>>,
}

/// The states that decide a window.
#[derive(Clone, Debug)]
pub struct WindowEvidence {
    /// The window's heights.
    pub heights: Heights,
    /// At `D_w - 10`: the incentives that order the candidates.
    pub incentives: Arc<BlockState>,
    /// At `D_w`: the claims.
    pub claims: Arc<BlockState>,
    /// At `M_w`: the votes.
    pub votes: Arc<BlockState>,
}

impl WindowEvidence {
    /// As [`decide`] reads it. `turnouts`: who voted in the last windows.
    #[must_use]
    pub fn evidence<'a>(&'a self, turnouts: &'a BTreeMap<Window, BTreeSet<NeuronId>>) -> Evidence<'a> {
        Evidence {
            incentives: Some(&self.incentives.snapshot),
            claims: Some(&self.claims.snapshot),
            votes: Some(&self.votes.snapshot),
            turnouts,
        }
    }
}

impl Ledger {
    /// Of a subnet.
    #[must_use]
    pub fn new(client: Client, netuid: Netuid) -> Self {
        Self { client, netuid, memory: Arc::default() }
    }

    /// The chain's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The subnet.
    #[must_use]
    pub fn netuid(&self) -> Netuid {
        self.netuid
    }

    /// Notes a block that [`chain::Blocks`] showed to be final, so that nobody has to ask for it again.
    pub fn saw(&self, block: &Block) {
        self.with_memory(|memory| memory.note(block.height, block.hash));
    }

    /// The height of the newest finalized block. Three requests.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn finalized(&self) -> Result<Height, ReadError> {
        let block = self.client.finalized().await?;
        self.saw(&block);
        Ok(block.height)
    }

    /// The hash of a finalized block.
    ///
    /// # Errors
    /// It is not final, or the chain cannot be read.
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

    /// The state after a finalized block. Five requests, or none if it was read lately.
    ///
    /// # Errors
    /// The block is not final, its state is gone, or the chain cannot be read.
    pub async fn at(&self, height: Height) -> Result<Arc<BlockState>, ExchangeError> {
        if let Some(state) = self.with_memory(|memory| memory.recall(height)) {
            return Ok(state);
        }
        let hash = self.hash(height).await?;
        let at = self.client.at(hash);
        let (metagraph, commitments) =
            futures::try_join!(at.metagraph(self.netuid), at.commitments(self.netuid))?;
        let state = Arc::new(BlockState::new(height, hash, metagraph, commitments)?);
        self.with_memory(|memory| memory.keep(Arc::clone(&state)));
        Ok(state)
    }

    /// The states that decide a window.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub async fn evidence(&self, heights: &Heights) -> Result<WindowEvidence, ExchangeError> {
        let votes = self.at(heights.votes_close).await?; // The newest: if it is not final, nothing else is asked for.
        let incentives = self.at(heights.incentives).await?;
        let claims = self.at(heights.claims_close).await?;
        Ok(WindowEvidence { heights: *heights, incentives, claims, votes })
    }

    /// What all nodes decide on a window; `history` goes up to it.
    ///
    /// # Errors
    /// As [`Self::at`]; or the run has no such window, or the history does not reach it.
    pub async fn decide(
        &self,
        spec: &RunSpec,
        history: &History,
        window: Window,
    ) -> Result<Decision, ExchangeError> {
        let heights = spec.clock()?.heights(window)?;
        let evidence = self.evidence(&heights).await?;
        let evidence = evidence.evidence(history.turnouts());
        Ok(decide(spec.id(), &spec.acceptance, &heights, &evidence)?)
    }

    /// Who trains on what in a window, of a dataset with so many blocks to train on.
    ///
    /// # Errors
    /// As [`Self::at`]; or the run has no such window, or the dataset is too small.
    pub async fn assignments(
        &self,
        spec: &RunSpec,
        window: Window,
        training_blocks: u64,
    ) -> Result<Assignments, ExchangeError> {
        let seed = self.at(spec.clock()?.heights(window)?.assignment_seed).await?;
        let (neurons, samples) = (seed.neurons_by_uid(), spec.train.samples());
        Ok(Assignments::new(&spec.hash(), window, seed.hash, neurons, samples, training_blocks)?)
    }

    /// Memory is whole at any time, so that a panic elsewhere does not spoil it.
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
