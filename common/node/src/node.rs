//! The node: what it holds, and how it waits.

use crate::{Config, Events, Journal, NodeError, NodeEvent, NodeMetrics, Run, Tip, open::not_registered};
use base::{
    Height, NeuronId, Uid, Window,
    digest::{ObjectHash, State},
    signature::SigningKey,
};
use bytes::Bytes;
use chain::wallet::KeyPair;
use codec::submission::Submission;
use engine::Handle;
use exchange::{ChainReader, CommitmentWriter, ExchangeError, Fetcher, OwnBucket};
use protocol::progress::Progress;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};
use telemetry::{Component, Endpoint, Health, Registry, Shutdown};
use tokio::time::sleep;

/// The first pause before something is tried again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Bytes of a checkpoint's files, about.
const PART_BYTES: usize = 1 << 30;

/// A miner's or validator's common half: the shared state, and the way to chain and buckets.
///
/// Its parts are public for what miner and validator do beside it, which must not change the model's parameters but for
/// the time between two calls of its methods. None of its methods may be dropped before it is done; they end by
/// themselves when the node is being [stopped](Self::shutdown).
#[derive(Debug)]
pub struct Node {
    /// What the operator says.
    pub config: Config,
    /// The run and its data.
    pub run: Arc<Run>,
    /// The chain.
    pub chain_reader: ChainReader,
    /// The newest finalized block.
    pub tip: Tip,
    /// The way to others' buckets.
    pub fetcher: Fetcher,
    /// The way to the own bucket.
    pub own_bucket: OwnBucket,
    /// The way to the own commitment.
    pub commitment_writer: CommitmentWriter,
    /// The hotkey, for signing transactions.
    pub hotkey: KeyPair,
    /// The hotkey, for signing objects.
    pub key: SigningKey,
    /// Who this node is.
    pub id: NeuronId,
    /// Its uid, as of the last decided window.
    pub uid: Uid,
    /// The model; its parameters are those at the start of [`Self::window`].
    pub model: Handle,
    /// How far the node is.
    pub progress: Progress,
    /// What happened, for programs.
    pub events: Events,
    /// What lives and what is ready.
    pub health: Health,
    /// What is counted.
    pub registry: Registry,
    /// The end, when it is asked for.
    pub shutdown: Shutdown,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<NodeMetrics>,
    /// Ready while the shared state is known.
    pub(crate) component: Component,
    /// Objects that need not be fetched again.
    pub(crate) held: BTreeMap<ObjectHash, Submission<Bytes>>,
    /// States that were offered and are not the majority's.
    pub(crate) rejected: BTreeSet<State>,
    /// BLAKE3 of the manifest of the checkpoint that the state was begun from, if it was.
    pub(crate) taken: Option<[u8; 32]>,
    /// Checkpoints that led to another state than the majority's: a state does not vouch for the last medians.
    pub(crate) distrusted: BTreeSet<[u8; 32]>,
    /// Why the state must be taken from elsewhere, if it must.
    pub(crate) lost: Option<Lost>,
    _endpoint: Option<Endpoint>,
}

/// Why the shared state must be taken from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It is not the majority's.
    Diverged,
    /// It is right, but cannot be carried on: an object or a record is not to be had.
    Stuck,
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) run: Arc<Run>,
    pub(crate) chain_reader: ChainReader,
    pub(crate) tip: Tip,
    pub(crate) fetcher: Fetcher,
    pub(crate) own_bucket: OwnBucket,
    pub(crate) commitment_writer: CommitmentWriter,
    pub(crate) hotkey: KeyPair,
    pub(crate) key: SigningKey,
    pub(crate) id: NeuronId,
    pub(crate) uid: Uid,
    pub(crate) model: Handle,
    pub(crate) progress: Progress,
    pub(crate) events: Events,
    pub(crate) health: Health,
    pub(crate) registry: Registry,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) shutdown: Shutdown,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<NodeMetrics>,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        let component = parts.health.component("state");
        Self {
            config: parts.config,
            run: parts.run,
            chain_reader: parts.chain_reader,
            tip: parts.tip,
            fetcher: parts.fetcher,
            own_bucket: parts.own_bucket,
            commitment_writer: parts.commitment_writer,
            hotkey: parts.hotkey,
            key: parts.key,
            id: parts.id,
            uid: parts.uid,
            model: parts.model,
            progress: parts.progress,
            events: parts.events,
            health: parts.health,
            registry: parts.registry,
            shutdown: parts.shutdown,
            journal: parts.journal,
            metrics: parts.metrics,
            component,
            held: BTreeMap::new(),
            rejected: BTreeSet::new(),
            taken: None,
            distrusted: BTreeSet::new(),
            lost: None,
            _endpoint: parts.endpoint,
        }
    }

    /// The window that comes next: the parameters are those at its start.
    #[must_use]
    pub fn window(&self) -> Window {
        self.progress.window()
    }

    /// What a vote on that window names.
    #[must_use]
    pub fn state(&self) -> State {
        self.progress.state()
    }

    /// The newest finalized block's height, as far as it was heard.
    #[must_use]
    pub fn height(&self) -> Height {
        self.tip.height()
    }

    /// The node's folder. `state-*`, `events.jsonl`, `lock`, `verified` and `checkpoints` in it are taken.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.journal.folder()
    }

    /// Waits until the block of this height is final; the newest one's height then.
    ///
    /// # Errors
    /// The node is being stopped, or the chain cannot be followed any more.
    pub async fn wait_for(&self, height: Height) -> Result<Height, NodeError> {
        self.tip.reached(height).await
    }

    /// Carries something out, unless the node is being stopped first.
    ///
    /// # Errors
    /// It is being stopped.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, NodeError> {
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Err(NodeError::Shutdown),
            done = work => Ok(done),
        }
    }

    /// Asks the chain again and again while that may help.
    ///
    /// # Errors
    /// It does not help, or the node is being stopped.
    pub async fn ask<T>(&self, question: impl AsyncFn() -> Result<T, ExchangeError>) -> Result<T, NodeError> {
        let mut pause = Pause::default();
        loop {
            match self.unless_stopped(question()).await? {
                Err(error) if error.is_retryable() => {
                    tracing::warn!(target: telemetry::target::CHAIN, %error, "asking again");
                    self.pause(&mut pause).await?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Waits a little longer than the last time.
    pub(crate) async fn pause(&self, pause: &mut Pause) -> Result<(), NodeError> {
        self.unless_stopped(sleep(pause.next())).await
    }

    /// Holds an object that is here already, so that [`Self::apply`] does not fetch it again.
    pub fn hold(&mut self, object: Submission<Bytes>) {
        self.held.insert(object.hash(), object);
    }

    /// Looks up who this node is now: uids change, and a hotkey may have lost its own.
    ///
    /// # Errors
    /// The hotkey is not registered any more, or the chain does not tell.
    pub(crate) async fn refresh(&mut self) -> Result<(), NodeError> {
        let newest = self.height();
        let state = self.ask(async || self.chain_reader.at(newest).await).await?;
        crate::open::hide_announced(&state);
        let lost = || not_registered(&self.config, &self.hotkey, self.chain_reader.netuid());
        (self.id, self.uid) = state.neuron(&self.id.hotkey).ok_or_else(lost)?;
        Ok(())
    }

    /// Saves the parameters as a checkpoint and publishes it. The files are deleted here when they are there.
    ///
    /// # Errors
    /// It cannot be saved, or the bucket does not take it.
    pub async fn save_checkpoint(&mut self) -> Result<(), NodeError> {
        let window = self.window();
        let folder = self.folder().join("checkpoints").join(format!("{:010}", window.0));
        let (into, progress) = (folder.clone(), self.progress.clone());
        let saved = self.model.run(move |model| {
            let _ = fs::remove_dir_all(&into); // Left by a process that was killed.
            model.save(&into, &progress, PART_BYTES)
        });
        let manifest = saved.await?;
        let published = self.unless_stopped(self.own_bucket.put_checkpoint(&folder, &manifest)).await;
        let _ = fs::remove_dir_all(&folder); // What stays is deleted before the next one.
        published??;
        self.events.emit(NodeEvent::Checkpoint { window });
        Ok(())
    }
}

/// Pauses that double.
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
