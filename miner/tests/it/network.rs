//! A chain, a bucket server and a run with its data, for one miner.

use crate::keys::{HOTKEY, HOTKEY_ADDRESS, wallet};
use bucket_server::{BucketConfig, Key, Server};
use chain::{Client, Options as ChainOptions, wallet::KeyPair};
use common::{
    BlockHash, Exit, Height, Netuid, Window,
    announcement::{Announcement, Bits, Bucket, Possession, Record, Vote},
    digest::{ScoreLogHead, State},
    model::{Layout, ModelSpec},
    run_spec::{RunFile, RunSpec},
};
use data::{Format, Options, Quiet, Report, TokenizerChoice, prepare};
use devchain::{Config, Devchain, Genesis, Handle, Pace};
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
const SUBNET: Netuid = Netuid(3);
/// Secrets of the miner's bucket, which may appear nowhere.
const READ_SECRET: &str = "the-secret-of-the-reader-0123456789";
const WRITE_SECRET: &str = "the-secret-of-the-writer-0123456789";

/// Everything that a miner needs.
pub(crate) struct Network {
    pub(crate) folder: TempDir,
    pub(crate) chain: Devchain,
    pub(crate) buckets: Server,
    pub(crate) spec: RunSpec,
    /// No block above this is sealed but for a transaction.
    limit: Arc<AtomicU32>,
    pump: JoinHandle<()>,
}

impl Network {
    /// A network whose chain stands still at its first blocks.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with another beginning of the chain.
    pub(crate) async fn with(change: impl FnOnce(&mut Genesis)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        wallet(&folder.path().join("wallets"));
        let mut genesis = Genesis { stake_threshold: 1_000_000_000_000, ..Genesis::default() };
        genesis.subnet.tempo = 60;
        genesis.subnet.max_allowed_validators = 4;
        let mut miner = genesis.neurons[1].clone();
        (miner.hotkey, miner.stake, miner.permit) = (HOTKEY_ADDRESS.parse().unwrap(), 0, false);
        genesis.neurons.push(miner);
        change(&mut genesis);
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
        let text = RunFile::from(&spec).to_toml().unwrap();
        fs::write(folder.path().join("run.toml"), text).unwrap();
        let limit = Arc::new(AtomicU32::new(START - 1));
        let pump = tokio::spawn(pump(chain.handle(), Arc::clone(&limit)));
        let network = Self { folder, chain, buckets, spec, limit, pump };
        network.configure(|text| text);
        network
    }

    /// Blocks are sealed up to this one without a reason.
    pub(crate) fn release(&self, height: Height) {
        self.limit.store(u32::try_from(height.0).unwrap(), Ordering::SeqCst);
    }

    /// The same, and waits for the last of them: what is sent afterwards gets into a later block.
    pub(crate) async fn reach(&self, height: Height) {
        self.release(height);
        let mut blocks = self.chain.handle().heights();
        let reached = blocks.wait_for(|newest| u64::from(*newest) >= height.0);
        timeout(HANGS, reached).await.expect("the chain stands still").unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the miner's configuration, changed.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
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
name = "miner"
read_access = "reader-key"
read_secret = "{READ_SECRET}"
write_access = "writer-key"
write_secret = "{WRITE_SECRET}"
allow_loopback = true
[node]
folder = "node"
threads = 1
device = "cpu"
save_every = 1
"#
        );
        fs::write(self.path("miner.toml"), change(text)).unwrap();
    }

    /// `miner run` with this configuration and nothing of our environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
        command.args(["run", "--config"]).arg(self.path("miner.toml"));
        quiet(&mut command);
        command
    }

    /// Runs the miner until it ends by itself.
    pub(crate) async fn end(&self, mut command: Command) -> Output {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        timeout(HANGS, output).await.expect("the miner does not end").unwrap()
    }

    /// Starts the miner; its log is in a file.
    pub(crate) fn spawn(&self) -> Mining {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        Mining(self.command().stderr(log).stdout(Stdio::null()).spawn().unwrap())
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
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        timeout(HANGS, look).await.unwrap_or_else(|_| panic!("no event {kind} {count}: {}", log()))
    }

    /// Waits until the bucket server's first fault has struck so often.
    pub(crate) async fn strikes(&self, count: u64) {
        let look = async {
            while self.buckets.strikes().first().is_none_or(|strikes| *strikes < count) {
                sleep(LOOK).await;
            }
        };
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        let waited = timeout(HANGS, look).await;
        waited.unwrap_or_else(|_| panic!("the bucket is not asked: {}", log()));
    }

    /// All three validators vote on a window: good is its only candidate, and the state is this one.
    pub(crate) async fn vote(&self, window: Window, state: State) {
        let client =
            Client::connect(ChainOptions { block_time: HANGS, ..ChainOptions::new([self.chain.url()]) });
        let client = client.await.unwrap();
        let votes = ["Alice", "Bob", "Charlie"].map(|name| {
            let (client, run) = (client.clone(), self.spec.id());
            async move {
                let vote = Vote {
                    run,
                    window,
                    good: Bits::of([0]),
                    state,
                    score_log: ScoreLogHead([0; 32]),
                    possession: Possession::default(),
                };
                let bucket = Bucket::s3("https://127.0.0.1:1", "local", "nowhere", None).unwrap();
                let fields = Announcement { bucket, record: Some(Record::Vote(vote)) }.fields().unwrap();
                let key = KeyPair::development(&format!("//{name}//hotkey")).unwrap();
                client.set_commitment(SUBNET, fields, &key).await.unwrap();
            }
        });
        timeout(HANGS, futures::future::join_all(votes)).await.expect("a vote hangs");
    }

    /// No secret is in the log.
    pub(crate) fn assert_no_secrets(&self) {
        let log = fs::read_to_string(self.path("log")).unwrap();
        assert!(log.lines().count() > 3, "{log}");
        assert_hides_secrets(&log);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A miner at work; killed when it is dropped.
pub(crate) struct Mining(Child);

impl Mining {
    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As a person would.
    pub(crate) fn ask_to_end(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
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
        timeout(HANGS, wait).await.expect("the miner does not end")
    }
}

impl Drop for Mining {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Nothing of our environment, and libtorch as in all tests: it shares its cores.
pub(crate) fn quiet(command: &mut Command) {
    command.env_clear().env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "PASSIVE").stdin(Stdio::null());
}

#[track_caller]
pub(crate) fn assert_ends(output: &Output, exit: Exit, message: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(i32::from(u8::from(exit))), "{out}{error}");
    let said = if exit == Exit::Good { &out } else { &error };
    assert!(said.contains(message), "expected '{message}' in: {said}");
    assert_hides_secrets(&format!("{out}{error}"));
}

#[track_caller]
fn assert_hides_secrets(text: &str) {
    for secret in [READ_SECRET, WRITE_SECRET, HOTKEY.trim_start_matches("0x")] {
        assert!(!text.contains(secret), "a secret is shown");
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
    let key = |id: &str, secret: &str| Key { id: id.to_owned(), secret: secret.to_owned() };
    let (read, write) = (key("reader-key", READ_SECRET), key("writer-key", WRITE_SECRET));
    let bucket = BucketConfig { name: "miner".to_owned(), read, write };
    Server::start(bucket_server::Config::local(data, vec![bucket])).await.unwrap()
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
    (run.train.sequence, run.train.batch, run.train.inner_steps) = (16, 4, 3);
    (run.scoring.assigned_sequences, run.scoring.unassigned_sequences) = (8, 8);
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
    let options = Options { sequence: run.train.sequence, held_out: 0.0, format, ..options };
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
