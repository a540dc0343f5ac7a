//! A chain, a bucket server and a run with its data, for one validator; others are played by the tests.

use crate::keys::{HOTKEY, HOTKEY_ADDRESS, wallet};
use bucket_server::{BucketConfig, Key, Server};
use chain::{Client, Options as ChainOptions, wallet::KeyPair};
use common::{
    BlockHash, Height, Hotkey, Netuid, Secret, Window,
    announcement::{AddressPolicy, Announcement, Bucket, Possession, ReadCredentials, Record, Vote},
    clock::Heights,
    digest::ScoreLogHead,
    model::{Layout, ModelSpec},
    run_spec::{RunFile, RunSpec},
};
use data::{Format, Options, Quiet, Report, TokenizerChoice, prepare};
use devchain::{Config, Devchain, Genesis, Handle, Pace};
use exchange::{BlockState, FetchLimits, Fetcher, Ledger};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use storage::{Floor, Storage};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Guards against hanging; nothing is expected to take this long.
const HANGS: Duration = Duration::from_secs(400);
/// How often what others do is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// The first block of the run.
pub(crate) const START: u32 = 30;
pub(crate) const SUBNET: Netuid = Netuid(3);
/// Secrets of the buckets, which may appear nowhere.
const READ_SECRET: &str = "the-secret-of-the-reader-0123456789";
const WRITE_SECRET: &str = "the-secret-of-the-writer-0123456789";

/// Everything that a validator needs.
pub(crate) struct Network {
    pub(crate) folder: TempDir,
    pub(crate) chain: Devchain,
    pub(crate) buckets: Server,
    pub(crate) spec: RunSpec,
    pub(crate) ledger: Ledger,
    pub(crate) fetcher: Fetcher,
    /// No block above this is sealed but for a transaction.
    limit: Arc<AtomicU32>,
    pump: JoinHandle<()>,
}

impl Network {
    /// A network whose chain stands still at its first blocks. Uid 1 is the validator that is tested, 2 and 3 are other
    /// validators, from 4 on there are miners with these names.
    pub(crate) async fn start(miners: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        wallet(&folder.path().join("wallets"));
        let mut genesis = Genesis { stake_threshold: 1_000_000_000_000, ..Genesis::default() };
        genesis.subnet.tempo = 60;
        genesis.subnet.max_allowed_validators = 4;
        genesis.neurons[1].hotkey = HOTKEY_ADDRESS.parse().unwrap();
        let like = genesis.neurons[1].clone();
        let neuron = |name: &&str| {
            let mut neuron = like.clone();
            neuron.hotkey = development(name).hotkey().to_string().parse().unwrap();
            (neuron.stake, neuron.permit) = (0, false);
            neuron
        };
        genesis.neurons.extend(miners.iter().map(neuron));
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            pace: Pace::Outside,
            block_time_ms: 100,
            genesis: Some(genesis),
            ..Config::default()
        };
        let chain = Devchain::start(config).await.unwrap();
        let buckets = serve(&folder.path().join("buckets")).await;
        let report = dataset(&folder.path().join("data"));
        let spec = launch(chain.genesis().0, &report);
        fs::write(folder.path().join("run.toml"), RunFile::from(&spec).to_toml().unwrap()).unwrap();
        let options = ChainOptions { block_time: HANGS, ..ChainOptions::new([chain.url()]) };
        let ledger = Ledger::new(Client::connect(options).await.unwrap(), SUBNET);
        let floor = Floor { bytes_per_second: 0, over: HANGS };
        let limits = FetchLimits { time: HANGS, floor };
        let fetcher = Fetcher::new(Storage::new(AddressPolicy::PublicOrLoopback), limits);
        let limit = Arc::new(AtomicU32::new(START - 1));
        let pump = tokio::spawn(pump(chain.handle(), Arc::clone(&limit)));
        let network = Self { folder, chain, buckets, spec, ledger, fetcher, limit, pump };
        network.configure();
        network
    }

    pub(crate) fn heights(&self, window: u64) -> Heights {
        self.spec.clock().unwrap().heights(Window(window)).unwrap()
    }

    /// Blocks are sealed up to this one without a reason.
    pub(crate) fn release(&self, height: Height) {
        self.limit.store(u32::try_from(height.0).unwrap(), Ordering::SeqCst);
    }

    /// Seals blocks up to this one and waits for it.
    pub(crate) async fn reach(&self, height: Height) {
        self.release(height);
        let mut blocks = self.chain.handle().heights();
        let there = blocks.wait_for(|now| u64::from(*now) >= height.0);
        timeout(HANGS, there).await.expect("the chain stands still").unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The bucket of this name, as it is announced.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        let key = credentials("reader", name, READ_SECRET);
        let address = self.buckets.address();
        Bucket::s3(&format!("http://{address}"), "local", name, Some(key)).unwrap()
    }

    /// The same, to write to.
    pub(crate) fn own_bucket(&self, name: &str) -> storage::Bucket {
        let key = credentials("writer", name, WRITE_SECRET);
        let storage = Storage::new(AddressPolicy::PublicOrLoopback);
        storage.own_bucket(&self.bucket(name), &key).unwrap()
    }

    fn configure(&self) {
        let (chain, buckets) = (self.chain.url(), self.buckets.address());
        let text = format!(
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
name = "validator"
read_access = "reader-validator"
read_secret = "{READ_SECRET}"
write_access = "writer-validator"
write_secret = "{WRITE_SECRET}"
allow_loopback = true
[node]
folder = "node"
threads = 1
device = "cpu"
[validator]
checkpoint_every = 2
held_out_sequences = 8
"#
        );
        fs::write(self.path("validator.toml"), text).unwrap();
    }

    /// The program with these words, this configuration and nothing of our environment.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
        command.args(words).arg("--config").arg(self.path("validator.toml"));
        command
            .env_clear()
            .env("OMP_NUM_THREADS", "1")
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command until it ends by itself.
    pub(crate) async fn end(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        timeout(HANGS, output).await.expect("the program does not end").unwrap()
    }

    /// Starts the validator; its log is in a file.
    pub(crate) fn spawn(&self) -> Validating {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        Validating(self.command(&["run"]).stderr(log).stdout(Stdio::null()).spawn().unwrap())
    }

    /// The events of one kind, as JSON.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path("node/events.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|event| event["event"] == kind).collect()
    }

    /// Waits for as many events of a kind; the last one.
    pub(crate) async fn event(&self, kind: &str, count: usize) -> Value {
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

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The state after the newest block.
    pub(crate) async fn now(&self) -> Arc<BlockState> {
        self.ledger.at(self.ledger.finalized().await.unwrap()).await.unwrap()
    }

    /// Writes a record into the commitment of a development key.
    pub(crate) async fn announce(&self, key: &KeyPair, bucket: &str, record: Record) {
        let fields = Announcement { bucket: self.bucket(bucket), record: Some(record) }.fields().unwrap();
        let set = self.ledger.client().set_commitment(SUBNET, fields, key);
        timeout(HANGS, set).await.expect("a commitment hangs").unwrap();
    }

    /// The other validators vote as the tested one did.
    pub(crate) async fn vote_alike(&self, window: u64) -> Vote {
        let ours: Hotkey = HOTKEY_ADDRESS.parse().unwrap();
        let state = self.now().await;
        let votes = state.votes(self.spec.id(), &self.heights(window));
        let vote = *votes.iter().find(|(id, _)| id.hotkey == ours).expect("the validator voted").1;
        let other = Vote { score_log: ScoreLogHead::default(), possession: Possession::default(), ..vote };
        let (bob, charlie) = (development("Bob"), development("Charlie"));
        let record = Record::Vote(other);
        futures::join!(self.announce(&bob, "nobody", record), self.announce(&charlie, "nobody", record));
        vote
    }

    /// No secret is in the log.
    pub(crate) fn assert_no_secrets(&self) {
        let log = self.log();
        assert!(log.lines().count() > 3, "{log}");
        for secret in [READ_SECRET, WRITE_SECRET, HOTKEY.trim_start_matches("0x")] {
            assert!(!log.contains(secret), "a secret is shown");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

fn credentials(role: &str, bucket: &str, secret: &str) -> ReadCredentials {
    ReadCredentials { access_key: Secret::new(format!("{role}-{bucket}")), secret: Secret::new(secret) }
}

/// The hotkey of a development account.
pub(crate) fn development(name: &str) -> KeyPair {
    KeyPair::development(&format!("//{name}//hotkey")).unwrap()
}

/// A validator at work; killed when it is dropped.
pub(crate) struct Validating(Child);

impl Validating {
    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// How it ends.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let wait = async {
            loop {
                match self.0.try_wait().unwrap() {
                    Some(status) => return status.code(),
                    None => sleep(LOOK).await,
                }
            }
        };
        timeout(HANGS, wait).await.expect("the validator does not end")
    }
}

impl Drop for Validating {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Seals a block for each transaction, and up to the limit.
async fn pump(handle: Handle, limit: Arc<AtomicU32>) {
    loop {
        let status = handle.status().await.unwrap().node;
        if status.ready > 0 || status.height < limit.load(Ordering::SeqCst) {
            handle.new_block(1).await.unwrap();
        } else {
            sleep(LOOK).await;
        }
    }
}

async fn serve(data: &Path) -> Server {
    let key = |role: &str, name: &str, secret: &str| Key {
        id: format!("{role}-{name}"),
        secret: secret.to_owned(),
    };
    let bucket = |name: &str| {
        let (read, write) = (key("reader", name, READ_SECRET), key("writer", name, WRITE_SECRET));
        BucketConfig { name: name.to_owned(), read, write }
    };
    let buckets = ["validator", "miners", "nobody"].map(bucket).into();
    Server::start(bucket_server::Config::local(data, buckets)).await.unwrap()
}

/// The tiny run with a smaller model, short sequences and two windows.
fn file() -> RunFile {
    let mut run = RunFile::parse(include_str!("../../../deploy/runs/tiny.toml")).unwrap();
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
    (run.train.sequence, run.train.batch, run.train.inner_steps) = (16, 8, 8);
    (run.scoring.assigned_sequences, run.scoring.unassigned_sequences) = (32, 32);
    run.window.count = 2;
    // Room for three votes, each in a block of its own.
    (run.window.keys_close, run.window.seed, run.window.votes_close) = (4, 5, 15);
    run
}

/// The text of this repository's own pages and licence.
fn dataset(out: &Path) -> Report {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let texts = ["LICENSE-APACHE", "common/FORMATS.md", "README.md"].map(|page| root.join(page)).into();
    let run = file();
    let tokenizer = TokenizerChoice::Train { vocab: run.model.vocab, sample: 1 << 20 };
    let options = Options::new(texts, out.to_owned(), tokenizer);
    let format = Some(Format::Text);
    let separator = Some("\n\n".to_owned()); // Documents enough that some are held out.
    let options = Options { sequence: run.train.sequence, held_out: 0.1, format, separator, ..options };
    prepare(&options, &mut Quiet).unwrap()
}

fn launch(genesis: [u8; 32], data: &Report) -> RunSpec {
    let mut file = file();
    let layout = Layout::new(&file.model);
    file.network.genesis = Some(BlockHash(genesis));
    file.network.start_block = Some(Height(START.into()));
    file.data.tokenizer = Some(data.tokenizer);
    file.data.dataset = Some(data.dataset);
    file.initial.root = Some(layout.state_root(&layout.initial(&file.initial.seed), 1));
    file.complete().unwrap()
}
