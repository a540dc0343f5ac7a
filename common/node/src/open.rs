//! Opens a node: all checks happen here, before any training.

use crate::{
    Config, Events, Identity, Journal, Network, Node, NodeError, NodeEvent, Observability, Registration, Run,
    SharedState, bucket, files, own_clock::OwnClock, prefetch::Line, requests::Requests, subnet, tip::Follow,
};
use chain::wallet::KeyPair;
use exchange::{BlockState, CommitmentWriter, OwnBucket, signing_key};
use protocol::{downloads::required_rate, run_spec::LiveProblem};
use std::sync::Arc;
use storage::Storage;
use telemetry::{Shutdown, hide};

/// The number of block times without a block after which the node is not ready.
const SILENT_BLOCKS: u32 = 5;

impl Node {
    /// Opens a node: first its own folder, run, data and key, then chain, registration and bucket, then
    /// the model.
    ///
    /// # Errors
    /// The first check that fails. [`NodeError::exit`] is the exit code of the program.
    pub async fn open(config: Config, shutdown: Shutdown) -> Result<Self, NodeError> {
        let stopped = shutdown.clone();
        tokio::select! {
            biased;
            () = stopped.requested() => Err(NodeError::Shutdown),
            opened = Box::pin(open(&config, shutdown)) => opened, // The futures are nested deeply.
        }
    }
}

async fn open(config: &Config, shutdown: Shutdown) -> Result<Node, NodeError> {
    hide_own(config);
    let journal = Journal::open(&config.node.folder)?;
    let events = Events::open(&config.node.folder)?;
    let run = Arc::new(Run::load(config).await?);
    check_expectations(config, &run)?;
    let hotkey = config.wallet.hotkey()?;

    let (observability, component) = Observability::open(&config.node, events).await?;
    let storage = Storage::new(config.bucket.policy);
    observability.registry.add(storage.metrics());
    let mut network =
        Network::connect(config, &run.spec, storage.clone(), shutdown, Some(&component)).await?;
    // The journal's lock excludes other processes.
    network.fetcher.clear_folder().map_err(files::at(&config.node.folder))?;
    observability.registry.add(network.chain_reader.client().metrics());
    let state = network.at(network.height()).await?;
    hide_announced(&state);
    let client = network.chain_reader.client();
    let live = network.while_busy(async || subnet::read(client, &hotkey.hotkey(), &state, &run).await);
    subnet::check(&run, &live.await?)?;
    let identity = identify(config, hotkey, &network, &state, (&storage, &run)).await?;

    let own_clock = Arc::new(OwnClock {
        client: network.chain_reader.client().clone(),
        bucket: identity.own_bucket.bucket().clone(),
        block_time: config.chain.block_time,
        metrics: Arc::clone(&observability.metrics),
        component: observability.health.component("clock"),
        running: tokio::sync::Mutex::default(),
    });
    tokio::spawn(Arc::clone(&own_clock).check());
    let rules = Arc::new(subnet::RulesWatch {
        client: network.chain_reader.client().clone(),
        hotkey: identity.neuron.hotkey,
        run: Arc::clone(&run),
        component: observability.health.component("subnet"),
    });
    let requests = Requests::new(run.clock, network.chain_reader.client().metrics(), storage.metrics());
    let metrics = Arc::clone(&observability.metrics);
    let shared = SharedState::start(run, config.node.compute, &config.node.folder).await?;
    let shared = shared.with_journal(journal, metrics);
    shared.discard_checkpoints();
    network.follow(Follow {
        chain_reader: network.chain_reader.clone(),
        metrics: Arc::clone(&observability.metrics),
        component,
        shutdown: network.shutdown.clone(),
        patience: config.chain.block_time.saturating_mul(SILENT_BLOCKS),
        own_clock: Arc::clone(&own_clock),
        rules,
        requests,
    });
    let floor = floor(config, shared.run());
    let node = Node { identity, network, shared, observability, line: Line::default(), floor, own_clock };
    report(&node, config, &state);
    Ok(node)
}

/// Returns the download speed below which a candidate's submission cannot arrive between `D_w` and `K_w`, or
/// the configured one if that is higher.
fn floor(config: &Config, run: &Run) -> u64 {
    let spec = run.clock.spec();
    let blocks = u64::from(spec.keys_close.saturating_sub(spec.claims_close));
    let required = required_rate(run.layout.most_bytes(), blocks, config.chain.block_time);
    required.max(config.fetch.floor)
}

fn report(node: &Node, config: &Config, state: &BlockState) {
    let role = config.role;
    let hotkey = node.identity.neuron.hotkey;
    let uid = node.identity.uid;
    node.observability.events.emit(NodeEvent::Started { role, hotkey, uid });
    let run = node.shared.run().hash;
    tracing::info!(target: telemetry::target::NODE, %role, %hotkey, %uid, %run, block = %state.height, "the node is open");
}

/// Looks up the neuron, tests the bucket and announces it.
async fn identify(
    config: &Config,
    hotkey: KeyPair,
    network: &Network,
    state: &BlockState,
    (storage, run): (&Storage, &Run),
) -> Result<Identity, NodeError> {
    let registration = Registration::new(hotkey.hotkey(), network, config);
    let (neuron, uid) = registration.find(state)?;
    let bucket = bucket::open(storage, &config.bucket, run.id, hotkey.hotkey()).await?;
    let (client, netuid) = (network.chain_reader.client().clone(), network.chain_reader.netuid());
    let announced = config.bucket.announced.clone();
    let commitment_writer = CommitmentWriter::new(client, netuid, hotkey.clone(), announced);
    network.while_busy(async || Ok(commitment_writer.bucket().await?)).await?;
    let own_bucket = OwnBucket::new(bucket, run.hash);
    let key = signing_key(&hotkey);
    Ok(Identity { hotkey, key, neuron, uid, own_bucket, commitment_writer, registration })
}

/// Checks that the chain and the subnet that the operator expects are the run's.
fn check_expectations(config: &Config, run: &Run) -> Result<(), NodeError> {
    let network = &run.spec.network;
    let chain = config.chain.genesis.filter(|found| *found != network.genesis);
    let chain = chain.map(|found| LiveProblem::Chain { expected: network.genesis, found });
    let subnet = config.chain.netuid.filter(|found| *found != network.netuid);
    let subnet = subnet.map(|found| LiveProblem::Subnet { expected: network.netuid, found });
    let problems: Vec<_> = chain.into_iter().chain(subnet).collect();
    if problems.is_empty() { Ok(()) } else { Err(NodeError::Live(problems)) }
}

/// Removes this node's keys from all log lines, also from those of libraries.
fn hide_own(config: &Config) {
    hide(config.bucket.write.secret.expose());
    if let Some(read) = config.bucket.announced.credentials() {
        hide(read.secret.expose());
    }
    if let Some(password) = &config.wallet.password {
        hide(password.expose());
    }
}

/// Removes the keys that other nodes announce from all log lines: they are public, and still belong in no
/// log.
pub(crate) fn hide_announced(state: &BlockState) {
    for neuron in &state.metagraph.neurons {
        if let Some(read) = state.bucket(&neuron.hotkey).and_then(|bucket| bucket.credentials()) {
            hide(read.secret.expose());
        }
    }
}
