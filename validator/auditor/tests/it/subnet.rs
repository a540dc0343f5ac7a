//! The subnet of a test run: a development chain, a bucket server, neurons with keys.

use base::{Height, NeuronId, Secret, Uid};
use bucket_server::{BucketConfig, Config as ServerConfig, Key as ServerKey, Server};
use chain::{Client, Options, wallet::KeyPair};
use devchain::{Config, Devchain, Finality, Genesis, Pace};
use devchain_runtime::genesis::{Key, Neuron as GenesisNeuron};
use exchange::{CommitmentWriter, OwnBucket};
use protocol::{
    announcement::{self, AddressPolicy, ReadCredentials},
    clock::WindowSpec,
    model::ModelSpec,
    run_spec::{RunFile, RunSpec},
};
use std::{path::Path, time::Duration};
use storage::{Floor, Storage};

/// The time limit for anything that may hang.
pub(crate) const HANGS: Duration = Duration::from_secs(480);
pub(crate) const FLOOR: Floor = Floor { bytes_per_second: 0, over: HANGS };

/// The finality lag of the chain and of the run, in blocks.
pub(crate) const LAG: u32 = 3;

/// The number of blocks between two epochs.
pub(crate) const TEMPO: u16 = 20;

/// The validators, the largest stake first; the first two are a majority.
pub(crate) const VALIDATORS: [&str; 3] = ["Alice", "Bob", "Charlie"];
pub(crate) const MINERS: [&str; 3] = ["Dave", "Eve", "Ferdie"];

/// A neuron with its bucket.
pub(crate) struct Neuron {
    pub(crate) id: NeuronId,
    pub(crate) uid: Uid,
    pub(crate) key: KeyPair,
    pub(crate) commitment_writer: CommitmentWriter,
    pub(crate) own_bucket: OwnBucket,
}

/// Returns the run file `tiny.toml` with a smaller model and shorter windows.
pub(crate) fn run_file(windows: u64) -> RunFile {
    let mut run = RunFile::parse(include_str!("../../../../deploy/runs/tiny.toml")).unwrap();
    run.acceptance.sealing = false; // `exchange` tests the download of sealed objects.
    run.model = ModelSpec {
        vocab: 64,
        hidden: 32,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        ffn: 64,
        sequence: 16,
        ..run.model
    };
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (16, 16);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (32, 32, 16);
    // The shortest windows for this lag: with 1, all deadlines move to the first block that they may have.
    let shortest = WindowSpec {
        blocks: 1,
        count: windows as u32,
        finality_lag: LAG,
        publishing: 1,
        screening: 1,
        claims_close: 3,
        keys_close: 1,
        seed: 1,
        votes_close: 1,
    };
    run.window = shortest.proposed().unwrap();
    run.scoring.snapshot_every = 2;
    run.network.start_block = Some(Height(12));
    run.data.tokenizer = Some(Default::default());
    run.data.dataset = Some(Default::default());
    run.acceptance.founders = VALIDATORS.map(|name| key_pair(name).hotkey()).to_vec();
    run.acceptance.founders.sort_unstable();
    run
}

pub(crate) async fn start_chain() -> Devchain {
    let mut genesis = Genesis::default();
    let key = |path: String| -> Key { path.parse().unwrap() };
    let miner = |name: &&str| {
        let (hotkey, coldkey) = (key(format!("//{name}//hotkey")), key(format!("//{name}")));
        GenesisNeuron { hotkey, coldkey, stake: 0, permit: false }
    };
    genesis.neurons.extend(MINERS.iter().map(miner));
    // The miners have no permits, as on a subnet with more validators than seats.
    genesis.subnet.max_allowed_validators = 3;
    genesis.subnet.tempo = TEMPO;
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        listen,
        block_time_ms: 20,
        pace: Pace::Outside,
        finality: Finality { lag: LAG, ..Finality::default() },
        genesis: Some(genesis),
        ..Config::default()
    };
    Devchain::start(config).await.unwrap()
}

pub(crate) fn options(url: &str) -> Options {
    Options {
        block_time: Duration::from_millis(20),
        stall_blocks: 100_000,
        request_timeout: Duration::from_secs(60),
        transaction_timeout: HANGS,
        era: 1024,
        ..Options::new([url])
    }
}

/// Starts a server with a bucket for each neuron.
pub(crate) async fn serve(folder: &Path) -> Server {
    let config = |name: &&str| BucketConfig {
        name: bucket_name(name),
        read: server_key(name, "read"),
        write: server_key(name, "write"),
    };
    let buckets = VALIDATORS.iter().chain(&MINERS).map(config).collect();
    Server::start(ServerConfig::local(&folder.join("buckets"), buckets)).await.unwrap()
}

fn bucket_name(name: &str) -> String {
    format!("bucket-{}", name.to_lowercase())
}

fn server_key(name: &str, kind: &str) -> ServerKey {
    ServerKey { id: format!("{name}-{kind}-id"), secret: format!("{name}-{kind}-secret") }
}

/// Returns the hotkey of a development account.
fn key_pair(name: &str) -> KeyPair {
    KeyPair::development(&format!("//{name}//hotkey")).unwrap()
}

pub(crate) fn neuron(client: &Client, run: &RunSpec, url: &str, name: &str, uid: usize) -> Neuron {
    let key = key_pair(name);
    let credentials = |kind: &str| {
        let ServerKey { id, secret } = server_key(name, kind);
        ReadCredentials { access_key: Secret::new(id), secret: Secret::new(secret) }
    };
    let read = Some(credentials("read"));
    let announced = announcement::Bucket::s3(url, "us-east-1", &bucket_name(name), read).unwrap();
    let storage = Storage::new(AddressPolicy::PublicOrLoopback);
    let owner = storage.own_bucket(&announced, &credentials("write")).unwrap();
    Neuron {
        id: NeuronId { hotkey: key.hotkey(), registered: Height(0) },
        uid: Uid(uid.try_into().unwrap()),
        commitment_writer: CommitmentWriter::new(client.clone(), run.network.netuid, key.clone(), announced),
        own_bucket: OwnBucket::new(owner, run.hash()),
        key,
    }
}
