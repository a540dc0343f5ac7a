//! Opening a node: everything that can be wrong is found here, before anything is trained.

use crate::{
    Config, Events, Journal, Node, NodeError, NodeEvent, NodeMetrics, Run, Tip, bucket, node::Parts, subnet,
    tip::Follow,
};
use base::Netuid;
use chain::{Client, Options, wallet::KeyPair};
use engine::Handle;
use exchange::{BlockState, ChainReader, CommitmentWriter, FetchLimits, Fetcher, OwnBucket, signing_key};
use protocol::{progress::Progress, run_spec::LiveProblem};
use std::{sync::Arc, time::Duration};
use storage::{Floor, Storage};
use telemetry::{Endpoint, Health, Registry, Shutdown, hide};

/// The file that remembers which data was verified.
const VERIFIED: &str = "verified";
/// Over so long the rate of a bucket must not fall below the floor.
const FLOOR_OVER: Duration = Duration::from_secs(10);
/// After so many block times without a block the node says that it is not ready.
const SILENT_BLOCKS: u32 = 5;

impl Node {
    /// Opens a node: first what needs nobody else (folder, run, data, key), then chain, registration and bucket, then the
    /// model.
    ///
    /// # Errors
    /// The first thing that is wrong; [`NodeError::exit`] says how the program ends.
    pub async fn open(config: Config, shutdown: Shutdown) -> Result<Self, NodeError> {
        let stopped = shutdown.clone();
        tokio::select! {
            biased;
            () = stopped.requested() => Err(NodeError::Shutdown),
            opened = open(config, shutdown) => opened,
        }
    }
}

async fn open(config: Config, shutdown: Shutdown) -> Result<Node, NodeError> {
    hide_own(&config);
    let journal = Journal::open(&config.node.folder)?;
    let events = Events::open(&config.node.folder)?;
    let run = open_run(&config).await?;
    check_expectations(&config, &run)?;
    let hotkey = config.wallet.hotkey()?;

    let (registry, health) = (Registry::default(), Health::default());
    let metrics = Arc::new(NodeMetrics::default());
    registry.add(metrics.clone());
    let endpoint = match config.node.metrics {
        Some(address) => Some(Endpoint::open(address, registry.clone(), health.clone()).await?),
        None => None,
    };
    let component = health.component("chain");

    let client = connect(&config, &run).await?;
    let netuid = run.spec.network.netuid;
    let chain_reader = ChainReader::new(client.clone(), netuid);
    let head = client.finalized().await?;
    chain_reader.saw(&head);
    let state = chain_reader.at(head.height).await?;
    hide_announced(&state);
    let live = subnet::read(&client, netuid, &hotkey.hotkey(), &head, &state, &run).await?;
    subnet::check(&run, &live)?;
    let (id, uid) = state.neuron(&hotkey.hotkey()).ok_or_else(|| not_registered(&config, &hotkey, netuid))?;

    let storage = Storage::new(config.bucket.policy);
    registry.add(storage.metrics());
    let bucket = bucket::open(&storage, &config.bucket, run.id, hotkey.hotkey()).await?;
    let announced = config.bucket.announced.clone();
    let commitment_writer = CommitmentWriter::new(client.clone(), netuid, hotkey.clone(), announced);
    commitment_writer.bucket().await?;

    let model = Handle::start(run.spec.model, config.node.compute).await?;
    let follow = Follow {
        chain_reader: chain_reader.clone(),
        metrics: Arc::clone(&metrics),
        component,
        shutdown: shutdown.clone(),
        patience: config.chain.block_time.saturating_mul(SILENT_BLOCKS),
    };
    let node = Node::new(Parts {
        tip: Tip::follow(client, head.height, follow),
        progress: Progress::initial(&run.spec),
        own_bucket: OwnBucket::new(bucket, run.hash),
        fetcher: fetcher(storage, &config),
        key: signing_key(&hotkey),
        hotkey,
        chain_reader,
        commitment_writer,
        model,
        journal,
        events,
        metrics,
        health,
        registry,
        endpoint,
        shutdown,
        id,
        uid,
        run: Arc::new(run),
        config,
    });
    node.events.emit(NodeEvent::Started { role: node.config.role, hotkey: id.hotkey, uid });
    tracing::info!(target: telemetry::target::NODE, role = %node.config.role, hotkey = %id.hotkey, %uid, run = %node.run.hash, block = %head.height, "the node is open");
    Ok(node)
}

/// Files are read on a thread that may wait.
async fn open_run(config: &Config) -> Result<Run, NodeError> {
    let (spec, data) = (config.run.clone(), config.data.clone());
    let verified = config.node.folder.join(VERIFIED);
    let opened = tokio::task::spawn_blocking(move || Run::open(&spec, &data, &verified)).await;
    Ok(opened.map_err(|_| NodeError::Shutdown)??)
}

/// What the operator expects of the chain must be what the run says.
fn check_expectations(config: &Config, run: &Run) -> Result<(), NodeError> {
    let network = &run.spec.network;
    let chain = config.chain.genesis.filter(|found| *found != network.genesis);
    let chain = chain.map(|found| LiveProblem::Chain { expected: network.genesis, found });
    let subnet = config.chain.netuid.filter(|found| *found != network.netuid);
    let subnet = subnet.map(|found| LiveProblem::Subnet { expected: network.netuid, found });
    let problems: Vec<_> = chain.into_iter().chain(subnet).collect();
    if problems.is_empty() { Ok(()) } else { Err(NodeError::Live(problems)) }
}

async fn connect(config: &Config, run: &Run) -> Result<Client, NodeError> {
    let options = Options {
        genesis: Some(run.spec.network.genesis),
        block_time: config.chain.block_time,
        ..Options::new(config.chain.endpoints.iter().cloned())
    };
    Ok(Client::connect(options).await?)
}

fn fetcher(storage: Storage, config: &Config) -> Fetcher {
    let floor = Floor { bytes_per_second: config.fetch.floor, over: FLOOR_OVER };
    Fetcher::new(storage, FetchLimits { time: config.fetch.deadline, floor })
}

pub(crate) fn not_registered(config: &Config, hotkey: &KeyPair, netuid: Netuid) -> NodeError {
    let (hotkey, name) = (hotkey.hotkey(), config.wallet.hotkey.clone());
    NodeError::NotRegistered { hotkey, netuid, program: config.role, name }
}

/// This node's keys are blotted out of every log line, whatever library writes it.
fn hide_own(config: &Config) {
    hide(config.bucket.write.secret.expose());
    if let Some(read) = config.bucket.announced.credentials() {
        hide(read.secret.expose());
    }
}

/// So are the keys that others announce: they are public, and still belong in no log.
pub(crate) fn hide_announced(state: &BlockState) {
    for neuron in &state.metagraph.neurons {
        if let Some(read) = state.bucket(&neuron.hotkey).and_then(|bucket| bucket.credentials()) {
            hide(read.secret.expose());
        }
    }
}
