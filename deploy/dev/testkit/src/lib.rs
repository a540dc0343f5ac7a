//! A test environment for one program of a node.
//!
//! It has a development chain that seals blocks only when the test allows it, a bucket server, a small
//! run with its data, and the wallet and configuration of the program. The program runs as a child
//! process. The test plays all other nodes. Finality lags as the run expects, so a node sees a block only
//! when the chain is [`LAG`] blocks ahead of it.
//!
//! ```no_run
//! # async fn example() {
//! use testkit::{Setup, Testbed};
//!
//! let testbed = Testbed::start(Setup::new("miner", "target/debug/miner")).await;
//! std::fs::write(testbed.path("miner.toml"), testbed.configuration()).unwrap();
//! let miner = testbed.spawn(&["run"]);
//! testbed.reach_final(testbed.heights(0).claims_close).await;
//! testbed.event("started", 1).await;
//! miner.kill();
//! # }
//! ```
#![allow(clippy::unwrap_used)] // A failed step must stop the test.

mod process;
pub mod wallet;

pub use process::{Running, assert_ends, end, quiet, replaced};

use base::{BlockHash, Height, Hotkey, Netuid, Secret, Window};
use bucket_server::{BucketConfig, Key, Server};
use chain::wallet::KeyPair;
use data::{Format, Options, Quiet, Report, TokenizerChoice, prepare};
use devchain::{Config, Devchain, Finality, Genesis, Handle, Pace};
use protocol::{
    announcement::{Bucket, ReadCredentials},
    clock::Heights,
    model::{ModelSpec, ParameterLayout},
    run_spec::{RunFile, RunSpec},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// The timeout of all waits. Only a hanging test reaches it.
pub const HANGS: Duration = Duration::from_secs(400);
/// The first block of the run.
pub const START: u32 = 30;
/// The finality lag of the chain and of the run, in blocks.
pub const LAG: u32 = 3;
/// The subnet of the run.
pub const SUBNET: Netuid = Netuid(3);
/// The names of the validators, which are the founders of the run.
pub const VALIDATORS: [&str; 3] = ["Alice", "Bob", "Charlie"];
/// The interval of polls.
const LOOK: Duration = Duration::from_millis(10);
/// The secrets of the buckets, which must not appear in any output.
const READ_SECRET: &str = "the-secret-of-the-reader-0123456789";
const WRITE_SECRET: &str = "the-secret-of-the-writer-0123456789";

/// The options of a testbed.
pub struct Setup<'a> {
    /// The name of the program, of its bucket and, with `.toml`, of its configuration file.
    pub name: &'static str,
    /// The path of the program.
    pub program: PathBuf,
    /// The names of the other nodes' buckets.
    pub others: &'a [&'a str],
    /// A function that changes the genesis of the chain. Neurons 1 to 3 are validators, and the founders
    /// of the run. Their hotkeys are those of [`development`] for Alice, Bob and Charlie.
    pub genesis: &'a dyn Fn(&mut Genesis),
    /// A function that changes the run. Neurons 1 to 3 are its founders unless it names others.
    pub run: fn(&mut RunFile),
    /// A function that changes the options of the data preparation.
    pub data: fn(Options) -> Options,
}

impl Setup<'_> {
    /// Creates the default options for a program.
    pub fn new(name: &'static str, program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { name, program, others: &[], genesis: &|_| (), run: |_| (), data: |options| options }
    }
}

/// The environment of a program under test.
pub struct Testbed {
    /// The folder of all files. It is removed at the end.
    pub folder: TempDir,
    /// The chain.
    pub chain: Devchain,
    /// The buckets.
    pub buckets: Server,
    /// The run.
    pub spec: RunSpec,
    name: &'static str,
    program: PathBuf,
    /// The limit of free blocks: above this height, a block is sealed only for a transaction.
    limit: Arc<AtomicU32>,
    pump: JoinHandle<()>,
}

impl Testbed {
    /// Starts the environment. The chain stops before the first block of the run.
    pub async fn start(setup: Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        wallet::wallet(&folder.path().join("wallets"));
        let mut genesis = Genesis { stake_threshold: 1_000_000_000_000, ..Genesis::default() };
        genesis.subnet.tempo = 60;
        genesis.subnet.max_allowed_validators = 4;
        (setup.genesis)(&mut genesis);
        let founders = founders(&genesis);
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            pace: Pace::Outside,
            finality: Finality { lag: LAG, ..Finality::default() },
            block_time_ms: 100,
            genesis: Some(genesis),
            ..Config::default()
        };
        let chain = Devchain::start(config).await.unwrap();
        let names = [&[setup.name], setup.others].concat();
        let buckets = serve(&folder.path().join("buckets"), &names).await;
        let mut run = small_run();
        (setup.run)(&mut run);
        let report = dataset(&folder.path().join("data"), &run, setup.data);
        let spec = launch(run, chain.genesis().0, &report, founders);
        fs::write(folder.path().join("run.toml"), RunFile::from(&spec).to_toml().unwrap()).unwrap();
        let limit = Arc::new(AtomicU32::new(START - 1));
        let pump = tokio::spawn(pump(chain.handle(), Arc::clone(&limit)));
        let Setup { name, program, .. } = setup;
        Self { folder, chain, buckets, spec, name, program, limit, pump }
    }

    /// Returns the block heights of a window's deadlines.
    pub fn heights(&self, window: u64) -> Heights {
        self.spec.clock().unwrap().heights(Window(window)).unwrap()
    }

    /// Allows the chain to seal blocks up to this height without a transaction. The newest [`LAG`] of them
    /// are not final.
    pub fn release(&self, height: Height) {
        self.limit.store(u32::try_from(height.0).unwrap(), Ordering::SeqCst);
    }

    /// Allows the chain to seal blocks until the block at this height is final.
    pub fn release_final(&self, height: Height) {
        self.release(Height(height.0 + u64::from(LAG)));
    }

    /// Allows the chain to seal blocks up to this height, and waits for that block. Transactions that
    /// are sent afterwards are in a later block.
    pub async fn reach(&self, height: Height) {
        self.release(height);
        wait_for(self.chain.handle().heights(), height).await;
    }

    /// Allows the chain to seal blocks until the block at this height is final, and waits for that.
    pub async fn reach_final(&self, height: Height) {
        self.release_final(height);
        wait_for(self.chain.handle().finalized_heights(), height).await;
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the announcement of the bucket with this name.
    pub fn bucket(&self, name: &str) -> Bucket {
        let key = credentials(&key("reader", name, READ_SECRET));
        Bucket::s3(&format!("http://{}", self.buckets.address()), "local", name, Some(key)).unwrap()
    }

    /// Returns the write key of the bucket with this name.
    pub fn writer(&self, name: &str) -> ReadCredentials {
        credentials(&key("writer", name, WRITE_SECRET))
    }

    /// Returns the program's configuration. It ends with the table `[node]`, to which the test may
    /// append settings.
    pub fn configuration(&self) -> String {
        let chain = self.chain.url();
        let buckets = self.buckets.address();
        let name = self.name;
        format!(
            r#"[chain]
endpoints = ["{chain}"]
block_time = 60
[wallet]
folder = "wallets"
hotkey = "trainer"
[run]
spec = "run.toml"
[data]
folder = "data"
[bucket]
endpoint = "http://{buckets}"
region = "local"
name = "{name}"
read_access = "reader-{name}"
read_secret = "{READ_SECRET}"
write_access = "writer-{name}"
write_secret = "{WRITE_SECRET}"
allow_loopback = true
[node]
folder = "node"
threads = 1
device = "cpu"
"#
        )
    }

    /// Returns a command that runs the program with these arguments, its configuration, and a cleared
    /// environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--config").arg(self.path(&format!("{}.toml", self.name)));
        quiet(&mut command);
        command
    }

    /// Starts the program. Its log goes to a file.
    pub fn spawn(&self, words: &[&str]) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        Running(self.command(words).stderr(log).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Returns the log of the program.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the events of one kind, as JSON.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.all_events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// Returns all events, as JSON.
    pub fn all_events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("node/events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for `count` events of a kind. Returns the last of them.
    pub async fn event(&self, kind: &str, count: usize) -> Value {
        let look = async {
            loop {
                let events = self.events(kind);
                if let Some(event) = count.checked_sub(1).and_then(|last| events.get(last)) {
                    return event.clone();
                }
                sleep(LOOK).await;
            }
        };
        timeout(HANGS, look).await.unwrap_or_else(|_| panic!("no event {kind} {count}: {}", self.log()))
    }

    /// Waits until the bucket server's first fault rule has struck `count` times.
    pub async fn strikes(&self, count: u64) {
        let look = async {
            while self.buckets.strikes().first().is_none_or(|strikes| *strikes < count) {
                sleep(LOOK).await;
            }
        };
        let waited = timeout(HANGS, look).await;
        waited.unwrap_or_else(|_| panic!("the fault did not strike: {}", self.log()));
    }

    /// Checks that the log contains no secret.
    pub fn assert_no_secrets(&self) {
        let log = self.log();
        assert!(log.lines().count() > 3, "{log}");
        process::assert_hides_secrets(&log);
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Returns the hotkey of a development account.
pub fn development(name: &str) -> KeyPair {
    KeyPair::development(&format!("//{name}//hotkey")).unwrap()
}

fn key(role: &str, bucket: &str, secret: &str) -> Key {
    Key { id: format!("{role}-{bucket}"), secret: secret.to_owned() }
}

fn credentials(key: &Key) -> ReadCredentials {
    ReadCredentials { access_key: Secret::new(&*key.id), secret: Secret::new(&*key.secret) }
}

/// Waits until the chain has reached a height.
async fn wait_for(mut heights: watch::Receiver<u32>, height: Height) {
    let reached = heights.wait_for(|newest| u64::from(*newest) >= height.0);
    timeout(HANGS, reached).await.expect("the chain stands still").unwrap();
}

/// Seals a block for the transactions that wait, the blocks after it that make them final, and blocks up
/// to the limit.
async fn pump(handle: Handle, limit: Arc<AtomicU32>) {
    let mut settled = 0;
    loop {
        let status = handle.status().await.unwrap().node;
        if status.ready > 0 {
            settled = status.height + 1 + LAG;
        }
        if status.height < settled.max(limit.load(Ordering::SeqCst)) {
            let height = handle.new_block(1).await.unwrap().height;
            // A transaction can have come after the look at the pool. The first in a block is the time.
            if handle.block(height).await.unwrap().is_some_and(|block| block.body.len() > 1) {
                settled = height + LAG;
            }
        } else {
            sleep(LOOK).await;
        }
    }
}

async fn serve(data: &Path, names: &[&str]) -> Server {
    let bucket = |name: &&str| {
        let (read, write) = (key("reader", name, READ_SECRET), key("writer", name, WRITE_SECRET));
        BucketConfig { name: (*name).to_owned(), read, write }
    };
    let buckets = names.iter().map(bucket).collect();
    Server::start(bucket_server::Config::local(data, buckets)).await.unwrap()
}

/// Returns the run `tiny` with a smaller model, short sequences and two windows.
fn small_run() -> RunFile {
    let mut run = RunFile::parse(include_str!("../../../runs/tiny.toml")).unwrap();
    run.model = ModelSpec {
        vocab: 512,
        hidden: 64,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        ffn: 128,
        sequence: 16,
        ..run.model
    };
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (3, 3);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (8, 8, 4);
    run.window.count = 2;
    // Enough blocks for six claims and three votes, even if each is final before the next one is sent.
    (run.window.blocks, run.window.votes_close) = (80, 36);
    run.window.finality_lag = LAG;
    // Tests let many blocks be final at once. A node that has missed blocks may see the last of them a block
    // late, and asks for the last keys only if the seed is unknown then.
    run.window.seed += 2;
    run
}

/// Prepares a dataset from this repository's documentation and licence.
fn dataset(out: &Path, run: &RunFile, change: fn(Options) -> Options) -> Report {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let texts =
        ["LICENSE-APACHE", "common/protocol/FORMATS.md", "README.md"].map(|page| root.join(page)).into();
    let tokenizer = TokenizerChoice::Train { vocab: run.model.vocab, sample: 1 << 20 };
    let options = Options::new(texts, out.to_owned(), tokenizer);
    let format = Some(Format::Text);
    let options = Options { sequence: run.train.sequence, held_out: 0.0, format, ..options };
    prepare(&change(options), &mut Quiet).unwrap()
}

/// Returns the hotkeys of neurons 1 to 3, sorted.
fn founders(genesis: &Genesis) -> Vec<Hotkey> {
    let validators = genesis.neurons[1..4].iter();
    let mut founders: Vec<_> = validators.map(|neuron| Hotkey(*neuron.hotkey.account().as_ref())).collect();
    founders.sort_unstable();
    founders
}

fn launch(mut file: RunFile, genesis: [u8; 32], data: &Report, founders: Vec<Hotkey>) -> RunSpec {
    let layout = ParameterLayout::new(&file.model);
    file.network.genesis = Some(BlockHash(genesis));
    file.network.start_block = Some(Height(START.into()));
    file.data.tokenizer = Some(data.tokenizer);
    file.data.dataset = Some(data.dataset);
    file.initial.root = Some(layout.state_root(&layout.initial(&file.initial.seed), 1));
    if file.acceptance.founders.is_empty() {
        file.acceptance.founders = founders;
    }
    file.acceptance.founders.sort_unstable();
    file.complete().unwrap()
}
