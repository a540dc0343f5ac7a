//! Read access to the chain and to the buckets of other nodes.

use crate::{Config, NodeError, Tip, tip::Follow};
use base::{BlockHash, Height};
use chain::{Client, Options};
use exchange::{BlockState, ChainReader, ExchangeError, FetchLimits, Fetcher};
use protocol::run_spec::RunSpec;
use std::{sync::Arc, time::Duration};
use storage::{Floor, Storage};
use telemetry::{Component, Shutdown};
use tokio::time::sleep;

/// The time over which a bucket's mean rate must not fall below the floor.
const FLOOR_OVER: Duration = Duration::from_secs(10);
/// The first pause before another attempt. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The chain, and the buckets of other nodes. It only reads.
///
/// All of its waits end when the node is being stopped.
#[derive(Clone, Debug)]
pub struct Network {
    /// The reader of the chain.
    pub chain_reader: ChainReader,
    /// The newest finalized block.
    pub tip: Tip,
    /// The downloads from the buckets of other nodes.
    pub fetcher: Fetcher,
    /// The request to stop the node.
    pub shutdown: Shutdown,
    /// The time between two blocks, as configured.
    pub block_time: Duration,
}

impl Network {
    /// Connects to the chain of a run. The tip is the newest finalized block and does not move: a
    /// [`Node`](crate::Node) follows the chain, a command that looks once does not.
    ///
    /// An endpoint that limits requests is asked again after pauses, without a limit. `component` is the
    /// health of the connection, which tells the reason meanwhile.
    ///
    /// # Errors
    /// No endpoint of the chain can be reached, the chain cannot be read, or the node is being stopped.
    pub async fn connect(
        config: &Config,
        spec: &RunSpec,
        storage: Storage,
        shutdown: Shutdown,
        component: Option<&Component>,
    ) -> Result<Self, NodeError> {
        let client = connect(config, spec.network.genesis, component, &shutdown).await?;
        let chain_reader = ChainReader::new(client, spec.network.netuid, spec.network.mechanism);
        let tip = Tip::fixed(chain_reader.finalized().await?, shutdown.clone());
        let floor = Floor { bytes_per_second: config.fetch.floor, over: FLOOR_OVER };
        let fetcher = Fetcher::new(storage, FetchLimits { time: config.fetch.deadline, floor });
        let fetcher = fetcher.with_folder(&config.node.folder.join("incoming"));
        let block_time = config.chain.block_time;
        Ok(Self { chain_reader, tip, fetcher, shutdown, block_time })
    }

    /// Follows the chain from the tip on, in a task of its own.
    pub(crate) fn follow(&mut self, follow: Follow) {
        self.tip = Tip::follow(self.tip.height(), follow);
    }

    /// Returns the height of the newest known finalized block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.tip.height()
    }

    /// Waits until the block of this height is final. Returns the height of the newest finalized block then.
    ///
    /// # Errors
    /// The node is being stopped, or the chain can no longer be followed.
    pub async fn wait_for(&self, height: Height) -> Result<Height, NodeError> {
        self.tip.reached(height).await
    }

    /// Waits for some work, unless the node is stopped, or loses the chain, first.
    ///
    /// # Errors
    /// The node is being stopped, or the chain can no longer be followed.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, NodeError> {
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Err(NodeError::Shutdown),
            lost = self.tip.lost() => Err(lost),
            done = work => Ok(done),
        }
    }

    /// Asks the chain, and repeats the question as long as a retry may help. A node whose chain is silent for
    /// too long ends by its [`Tip`]. Before the tip follows the chain, only limits of requests are waited
    /// for, and blocks that are not final yet.
    ///
    /// # Errors
    /// A retry does not help, the chain can no longer be followed, or the node is being stopped.
    pub async fn ask<T>(&self, question: impl AsyncFn() -> Result<T, ExchangeError>) -> Result<T, NodeError> {
        let mut pause = Pause::default();
        loop {
            match self.unless_stopped(question()).await? {
                Err(error) if self.may_ask_again(&error) => {
                    tracing::warn!(target: telemetry::target::CHAIN, error = %base::ErrorChain(&error), "asking again");
                    self.pause(&mut pause).await?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Repeats some work on the chain as long as its nodes limit requests.
    ///
    /// # Errors
    /// The work fails for another reason, or the node is being stopped.
    pub(crate) async fn while_busy<T>(
        &self,
        work: impl AsyncFn() -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let mut pause = Pause::default();
        loop {
            match self.unless_stopped(Box::pin(work())).await? {
                Err(error) if error.is_busy() => {
                    tracing::warn!(target: telemetry::target::CHAIN, error = %base::ErrorChain(&error), "asking again");
                    self.pause(&mut pause).await?;
                }
                done => return done,
            }
        }
    }

    fn may_ask_again(&self, error: &ExchangeError) -> bool {
        match error {
            ExchangeError::Read(read) if !self.tip.is_followed() => read.is_busy(),
            error => error.is_retryable(),
        }
    }

    /// Returns the state after a block.
    ///
    /// # Errors
    /// The chain does not answer, has forgotten the state, or the node is being stopped.
    pub async fn at(&self, height: Height) -> Result<Arc<BlockState>, NodeError> {
        self.ask(async || self.chain_reader.at(height).await).await
    }

    /// Returns the hash of a block.
    ///
    /// # Errors
    /// The chain does not answer, or the node is being stopped.
    pub async fn hash(&self, height: Height) -> Result<BlockHash, NodeError> {
        self.ask(async || self.chain_reader.hash(height).await).await
    }

    /// Returns the state after the newest finalized block.
    ///
    /// # Errors
    /// The chain does not answer, or the node is being stopped.
    pub async fn newest(&self) -> Result<Arc<BlockState>, NodeError> {
        self.at(self.height()).await
    }

    /// Returns the state after a block, or the newest one if the chain's nodes have forgotten it.
    pub(crate) async fn at_or_newest(&self, height: Height) -> Result<Arc<BlockState>, NodeError> {
        match self.at(height).await {
            Err(error) if error.is_pruned() => self.newest().await,
            state => state,
        }
    }

    /// Waits twice as long as the last time.
    pub(crate) async fn pause(&self, pause: &mut Pause) -> Result<(), NodeError> {
        self.unless_stopped(sleep(pause.next())).await
    }
}

/// Connects to the chain. Endpoints that limit requests are asked again until the node is stopped.
async fn connect(
    config: &Config,
    genesis: BlockHash,
    component: Option<&Component>,
    shutdown: &Shutdown,
) -> Result<Client, NodeError> {
    let options = Options {
        genesis: Some(genesis),
        archive: config.chain.archive.clone(),
        block_time: config.chain.block_time,
        ..Options::new(config.chain.endpoints.iter().cloned())
    };
    let mut pause = Pause::default();
    loop {
        let error = match Client::connect(options.clone()).await {
            Err(error) if error.is_busy() => base::ErrorChain(&error).to_string(),
            connected => return Ok(connected?),
        };
        tracing::warn!(target: telemetry::target::CHAIN, error, "connecting again");
        if let Some(component) = component {
            component.not_ready(error);
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return Err(NodeError::Shutdown),
            () = sleep(pause.next()) => {}
        }
    }
}

/// A series of pauses, each twice as long as the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pause {
    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST_PAUSE);
        now
    }
}
