//! A chain, buckets and a run for tests. The test itself acts as one miner and two validators.

use base::{
    Height, Hotkey, NeuronId, Secret, Window,
    digest::{ScoreLogHead, State},
};
use bucket_server::{BucketConfig, Key, Plan, Rule, Server};
use bytes::Bytes;
use chain::{Client, Options, wallet::KeyPair};
use codec::{
    aggregate::{ClipBounds, outer_step},
    sparse::compress,
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use data::{Quiet, TokenizerChoice, prepare};
use devchain::{Config as ChainConfig, Devchain, FaultChange, Finality, Genesis, Pace, RefusedMethod};
use exchange::{ChainReader, CommitmentWriter, OwnBucket, signing_key};
use futures::future::join_all;
use node::{Config, ConfigFlags, Environment, Node, NodeError, NodeRole, Settings};
use protocol::{
    announcement::{self, AddressPolicy, Bits, Claim, Possession, ReadCredentials, Record, Vote},
    clock::WindowSpec,
    dataset::Manifest,
    model::{ModelSpec, ParameterLayout as Flat},
    progress::Progress,
    run_spec::{RunFile, RunSpec},
};
use std::{
    convert::Infallible,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use storage::{Retry, Storage};
use telemetry::Shutdown;

/// The time after which a test counts as hanging. Nothing should take this long.
pub(crate) const HANGS: Duration = Duration::from_secs(400);
/// The finality lag of the chain and of the run, in blocks.
pub(crate) const LAG: u32 = 3;
const TAO: u64 = base::RAO_PER_TAO;
/// The miner that claims.
pub(crate) const MINER: &str = "miner-0";
/// The miner that joins late.
pub(crate) const JOINER: &str = "miner-1";
/// The validators that vote.
pub(crate) const VALIDATORS: [&str; 2] = ["val-a", "val-b"];
const NAMES: [&str; 4] = [MINER, JOINER, VALIDATORS[0], VALIDATORS[1]];
/// A hotkey with a wallet and a bucket, but without a uid.
pub(crate) const STRANGER: &str = "stranger";

pub(crate) struct Network {
    pub(crate) chain: Devchain,
    pub(crate) buckets: Server,
    pub(crate) spec: RunSpec,
    pub(crate) folder: tempfile::TempDir,
    client: Client,
    chain_reader: ChainReader,
    layout: Arc<SubmissionLayout>,
    /// The right state at the start of each window, computed here.
    pub(crate) truth: Vec<Progress>,
    values: Vec<f32>,
}

/// Returns the key of a name for a bucket.
fn key(name: &str, kind: &str) -> Key {
    Key { id: format!("{name}-{kind}"), secret: format!("{name}-{kind}-secret") }
}

fn credentials(name: &str, kind: &str) -> ReadCredentials {
    let Key { id, secret } = key(name, kind);
    ReadCredentials { access_key: Secret::new(id), secret: Secret::new(secret) }
}

/// Returns the seed of a name: 32 bytes that are not secret.
fn seed(name: &str) -> String {
    hex(blake3::hash(name.as_bytes()).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_wallet(root: &Path, name: &str) {
    let hotkeys = root.join(name).join("hotkeys");
    fs::create_dir_all(&hotkeys).unwrap();
    let path = hotkeys.join("hot");
    fs::write(&path, format!(r#"{{"secretSeed":"0x{}","cryptoType":1}}"#, seed(name))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn hotkey(root: &Path, name: &str) -> KeyPair {
    chain::wallet::Wallet::new(root, name).unwrap().hotkey("hot", None).unwrap()
}

/// Returns the tiny run, with a model of a few thousand parameters and short windows.
fn template() -> RunFile {
    let mut run = RunFile::parse(include_str!("../../../../deploy/runs/tiny.toml")).unwrap();
    let small = ModelSpec {
        vocab: 300,
        hidden: 16,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ffn: 24,
        sequence: 16,
        ..run.model
    };
    run.model = small;
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (3, 3);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (8, 8, 4);
    run.sparse.topk = 16;
    run.acceptance.sealing = false; // The tests of `exchange` cover sealed submissions.
    run.window = WindowSpec {
        blocks: 40, // After a window there is room for the transactions of nodes that start.
        count: 10,
        finality_lag: LAG,
        publishing: 1,
        screening: 1,
        claims_close: 8,
        keys_close: 13,
        seed: 17,
        votes_close: 22,
    };
    run
}

/// Prepares text of this repository as a dataset, and returns its manifest.
fn dataset(out: &Path, sequence: u32) -> Manifest {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let texts = vec![root.join("LICENSE-APACHE"), root.join("common/protocol/FORMATS.md")];
    let tokenizer = TokenizerChoice::Train { vocab: 300, sample: 1 << 20 };
    let options = data::Options::new(texts, out.to_owned(), tokenizer);
    let format = Some(data::Format::Text);
    prepare(&data::Options { sequence, held_out: 0.0, format, ..options }, &mut Quiet).unwrap();
    Manifest::read(&fs::read(out.join(data::MANIFEST)).unwrap()).unwrap()
}

fn genesis(wallets: &Path) -> Genesis {
    let mut genesis = Genesis { commitment_space: 1_000_000, ..Genesis::default() };
    genesis.neurons.truncate(1);
    for name in NAMES {
        let stake = if VALIDATORS.contains(&name) { 10_000 * TAO } else { 0 };
        let mut neuron = genesis.neurons[0].clone();
        neuron.hotkey = hotkey(wallets, name).hotkey().to_string().parse().unwrap();
        (neuron.stake, neuron.permit) = (stake, stake > 0);
        genesis.neurons.push(neuron);
    }
    genesis.neurons[0].permit = false;
    genesis.neurons[0].stake = 0;
    genesis.subnet.tempo = 300;
    genesis
}

impl Network {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts the same network with another run.
    pub(crate) async fn start_with(change: fn(&mut RunFile)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallets = folder.path().join("wallets");
        NAMES.iter().chain([&STRANGER]).for_each(|name| write_wallet(&wallets, name));
        let chain = Devchain::start(ChainConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            block_time_ms: 20,
            genesis: Some(genesis(&wallets)),
            pace: Pace::Outside,
            finality: Finality { lag: LAG, ..Finality::default() },
            ..ChainConfig::default()
        });
        let chain = chain.await.unwrap();
        let bucket = |name: &&str| BucketConfig {
            name: (*name).to_owned(),
            read: key(name, "reads"),
            write: key(name, "writes"),
        };
        let configs = NAMES.iter().chain([&STRANGER]).map(bucket).collect();
        let buckets = bucket_server::Config::local(&folder.path().join("buckets"), configs);
        let buckets = Server::start(buckets).await.unwrap();
        let options = Options {
            block_time: Duration::from_secs(60),
            transaction_timeout: HANGS,
            ..Options::new([chain.url()])
        };
        let client = Client::connect(options).await.unwrap();
        let founders = VALIDATORS.map(|name| hotkey(&wallets, name).hotkey());
        let spec = launch(change, &folder.path().join("data"), &client, &founders);
        fs::write(folder.path().join("run.toml"), RunFile::from(&spec).to_toml().unwrap()).unwrap();
        let layout = Arc::new(SubmissionLayout::new(&spec.model.tensors(), &spec.sparse).unwrap());
        let values = Flat::new(&spec.model).initial(&spec.initial.seed);
        let chain_reader = ChainReader::new(client.clone(), spec.network.netuid, spec.network.mechanism);
        let truth = vec![Progress::initial(&spec)];
        Self { chain, buckets, spec, folder, client, chain_reader, layout, truth, values }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn hotkey(&self, name: &str) -> KeyPair {
        hotkey(&self.path("wallets"), name)
    }

    pub(crate) fn announced(&self, name: &str) -> announcement::Bucket {
        let url = format!("http://{}", self.buckets.address());
        announcement::Bucket::s3(&url, "us-east-1", name, Some(credentials(name, "reads"))).unwrap()
    }

    pub(crate) fn own_bucket(&self, name: &str) -> OwnBucket {
        let retry =
            Retry { attempts: 2, base: Duration::ZERO, most: Duration::ZERO, most_asked: Duration::ZERO };
        let storage = Storage::new(AddressPolicy::PublicOrLoopback).with_retry(retry);
        let bucket = storage.own_bucket(&self.announced(name), &credentials(name, "writes")).unwrap();
        OwnBucket::new(bucket, self.spec.hash())
    }

    /// Returns the configuration of a node. `changes` are environment variables.
    pub(crate) fn config(&self, name: &str, role: NodeRole, changes: &[(&str, &str)]) -> Config {
        let path = |name: &str| self.path(name).display().to_string();
        let Key { id, secret } = key(name, "writes");
        let Key { id: read, secret: read_secret } = key(name, "reads");
        let mut environment = Environment::from(
            [
                ("MUSTER_CHAIN", self.chain.url()),
                ("MUSTER_BLOCK_TIME", "60".to_owned()),
                ("MUSTER_WALLETS", path("wallets")),
                ("MUSTER_WALLET", name.to_owned()),
                ("MUSTER_HOTKEY", "hot".to_owned()),
                ("MUSTER_RUN", path("run.toml")),
                ("MUSTER_DATA", path("data")),
                ("MUSTER_BUCKET_ENDPOINT", format!("http://{}", self.buckets.address())),
                ("MUSTER_BUCKET_REGION", "us-east-1".to_owned()),
                ("MUSTER_BUCKET_NAME", name.to_owned()),
                ("MUSTER_BUCKET_READ_ACCESS", read),
                ("MUSTER_BUCKET_READ_SECRET", read_secret),
                ("MUSTER_BUCKET_WRITE_ACCESS", id),
                ("MUSTER_BUCKET_WRITE_SECRET", secret),
                ("MUSTER_BUCKET_ALLOW_LOOPBACK", "true".to_owned()),
                ("MUSTER_FOLDER", path(&format!("node-{name}"))),
                ("MUSTER_THREADS", "1".to_owned()),
                ("MUSTER_DEVICE", "cpu".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = Settings::resolve(role, &ConfigFlags::default(), &environment).unwrap();
        Config::new(role, &settings).unwrap()
    }

    /// Opens a node, and seals the blocks that it needs.
    pub(crate) async fn open(&self, config: Config) -> Result<Node, NodeError> {
        self.sealing(Box::pin(Node::open(config, Shutdown::default()))).await
    }

    /// Opens the node of a miner.
    pub(crate) async fn miner(&self, name: &str) -> Node {
        self.open(self.config(name, NodeRole::Miner, &[])).await.unwrap()
    }

    /// Seals a block whenever a transaction waits, and those that make it final, until the work is done.
    pub(crate) async fn sealing<T>(&self, work: impl Future<Output = T>) -> T {
        let work = async {
            tokio::select! {
                biased;
                done = work => done,
                never = self.seal() => match never {},
            }
        };
        tokio::time::timeout(HANGS, work).await.expect("the test hangs")
    }

    async fn seal(&self) -> Infallible {
        let handle = self.chain.handle();
        let mut settled = 0;
        loop {
            let status = handle.status().await.unwrap().node;
            if status.ready > 0 {
                settled = status.height + 1 + LAG;
            }
            if status.height < settled {
                let height = handle.new_block(1).await.unwrap().height;
                // A transaction can have come after the look at the pool. The first in a block is the time.
                if handle.block(height).await.unwrap().is_some_and(|block| block.body.len() > 1) {
                    settled = height + LAG;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the height of the newest block. It is not final yet.
    pub(crate) async fn height(&self) -> Height {
        Height(self.chain.handle().status().await.unwrap().node.height.into())
    }

    /// Seals blocks until the block at this height is final.
    pub(crate) async fn advance_final(&self, height: Height) {
        self.advance_to(Height(height.0 + u64::from(LAG))).await;
    }

    /// Seals blocks up to this height.
    async fn advance_to(&self, height: Height) {
        let head = self.height().await;
        if let Some(blocks) = height.0.checked_sub(head.0).filter(|blocks| *blocks > 0) {
            self.chain.handle().fast_forward(u32::try_from(blocks).unwrap()).await.unwrap();
        }
    }

    pub(crate) async fn id(&self, name: &str) -> NeuronId {
        let state = self.chain_reader.at(self.chain_reader.finalized().await.unwrap()).await.unwrap();
        state.neuron(&self.hotkey(name).hotkey()).unwrap().0
    }

    /// Announces records, each in a block of its own or with others.
    pub(crate) async fn announce(&self, records: &[(&str, Record)]) {
        let announcers = records.iter().map(|(name, record)| {
            let key = self.hotkey(name);
            let commitment_writer = CommitmentWriter::new(
                self.client.clone(),
                self.spec.network.netuid,
                key,
                self.announced(name),
            );
            async move { commitment_writer.record(*record).await.unwrap() }
        });
        self.sealing(Box::pin(join_all(announcers))).await;
    }

    pub(crate) fn window(&self) -> Window {
        self.truth.last().unwrap().window()
    }

    /// Makes a submission of the miner for the next window, which names this state as its base.
    async fn make(&self, base: State) -> Submission<Bytes> {
        let expected = Expected {
            run: self.spec.hash(),
            spec: self.spec.hash(),
            neuron: self.id(MINER).await,
            window: self.window(),
            base,
            least_samples: self.spec.train.least_samples(),
            sealed: self.spec.acceptance.sealing,
        };
        let scale = 1e-3 / (1.0 + self.window().0 as f32);
        let values =
            |len: usize| (0..len).map(|at| ((at * 37 % 101) as f32 - 50.0) * scale).collect::<Vec<_>>();
        let sent: Vec<_> = (self.layout.tensors().iter())
            .map(|tensor| {
                compress(&values(tensor.geometry().len()), tensor.geometry(), self.layout.spec()).unwrap()
            })
            .collect();
        let header = Header::new(&expected, expected.least_samples, &self.layout);
        let bytes = encode(&self.layout, &header, &sent, &signing_key(&self.hotkey(MINER))).unwrap();
        Submission::open(bytes.into(), Arc::clone(&self.layout), &expected).unwrap()
    }

    /// Plays a window up to `M_w`: the miner's claim, and the validators' votes for it and for the right
    /// state. The object is in the buckets of `keepers`.
    pub(crate) async fn play(&mut self, keepers: &[&str]) -> Submission<Bytes> {
        let base = self.truth.last().unwrap().base(&self.spec.acceptance);
        self.play_from(base, keepers).await
    }

    /// Plays a window like [`Self::play`], in which the miner's submission names this state as its base.
    pub(crate) async fn play_from(&mut self, base: State, keepers: &[&str]) -> Submission<Bytes> {
        let object = self.make(base).await;
        for name in keepers {
            let bytes = Bytes::copy_from_slice(object.bytes());
            self.own_bucket(name).put_submission(self.window(), &object.hash(), bytes).await.unwrap();
        }
        let state = self.truth.last().unwrap().state();
        self.vote(Some(object.hash()), state).await;
        self.note(std::slice::from_ref(&object)).await;
        object
    }

    /// Plays a window in which the miner claims `object` and the validators name `state`.
    pub(crate) async fn vote(&mut self, object: Option<base::digest::ObjectHash>, state: State) {
        self.vote_by(&VALIDATORS, object, state).await;
    }

    /// Plays a window without claims, in which too few validators vote.
    pub(crate) async fn null(&mut self, voters: &[&str], state: State) {
        self.vote_by(voters, None, state).await;
        self.note(&[]).await;
    }

    async fn vote_by(&mut self, voters: &[&str], object: Option<base::digest::ObjectHash>, state: State) {
        let (window, run) = (self.window(), self.spec.id());
        let heights = self.spec.clock().unwrap().heights(window).unwrap();
        self.advance_to(heights.first).await;
        if let Some(object) = object {
            self.announce(&[(MINER, Record::Claim(Claim { run, window, object }))]).await;
        }
        self.advance_to(heights.claims_close).await;
        let good = Bits::of(object.is_some().then_some(0));
        let score_log = ScoreLogHead::default();
        let possession = Possession::default();
        let vote = Record::Vote(Vote { run, window, good, state, score_log, possession });
        self.announce(&voters.iter().map(|name| (*name, vote)).collect::<Vec<_>>()).await;
        self.advance_final(heights.votes_close).await;
    }

    /// Applies the decision with the functions of the pure crates alone.
    async fn note(&mut self, objects: &[Submission<Bytes>]) {
        let mut progress = self.truth.last().unwrap().clone();
        let decision = self.chain_reader.decide(&self.spec, self.window()).await.unwrap();
        assert_eq!(decision.applied().len(), objects.len(), "{:?}", decision.accepted);
        let flat = Flat::new(&self.spec.model);
        if !objects.is_empty() {
            let full = self.spec.train.full_work(decision.window);
            let bounds = ClipBounds { last: progress.norms.as_ref(), full };
            let norms = outer_step(&mut flat.split_mut(&mut self.values), objects, bounds, 1).unwrap();
            progress.norms = Some(norms);
        }
        let state = self.truth.last().unwrap().state();
        progress.history.push(&decision, state).unwrap();
        progress.root = flat.state_root(&self.values, 1);
        self.truth.push(progress);
    }

    /// Plays a window without claims and votes.
    pub(crate) async fn skip(&mut self) {
        let heights = self.spec.clock().unwrap().heights(self.window()).unwrap();
        self.advance_final(heights.votes_close).await;
        self.note(&[]).await;
    }

    /// Plays a window without claims and votes, block by block, as a chain does: the node sees each block
    /// before the next one.
    pub(crate) async fn skip_slowly(&mut self, node: &Node) {
        let heights = self.spec.clock().unwrap().heights(self.window()).unwrap();
        let head = self.height().await;
        let lag = u64::from(LAG);
        for height in head.0 + 1..=heights.votes_close.0 + lag {
            self.chain.handle().new_block(1).await.unwrap();
            node.network.wait_for(Height(height - lag)).await.unwrap();
        }
        self.note(&[]).await;
    }

    /// Makes the chain's node answer from now on that it has forgotten all states; or none.
    pub(crate) fn forget_states(&self, forget: bool) {
        let refused = |method: &str| RefusedMethod {
            method: method.to_owned(),
            code: 4003,
            message: "Client error: State already discarded for this block".to_owned(),
            times: None,
        };
        let methods = ["state_queryStorageAt", "state_getStorage", "state_getKeysPaged", "state_call"];
        let refuse = Some(methods.map(refused).into_iter().filter(|_| forget).collect());
        self.chain.handle().fault(FaultChange { refuse, ..FaultChange::default() }).unwrap();
    }

    /// Injects faults into the buckets from now on.
    pub(crate) fn inject(&self, rules: Vec<Rule>) {
        self.buckets.inject(Plan { seed: 1, rules });
    }
}

/// Completes the run of this chain and dataset.
fn launch(change: fn(&mut RunFile), data: &Path, client: &Client, founders: &[Hotkey]) -> RunSpec {
    let mut run = template();
    change(&mut run);
    let manifest = dataset(data, run.train.sequence);
    run.network.genesis = Some(client.genesis());
    run.network.start_block = Some(Height(30));
    run.data.tokenizer = Some(manifest.tokenizer);
    run.data.dataset = Some(manifest.hash());
    let flat = Flat::new(&run.model);
    run.initial.root = Some(flat.state_root(&flat.initial(&run.initial.seed), 1));
    run.acceptance.founders = founders.to_vec();
    run.acceptance.founders.sort_unstable();
    run.complete().unwrap()
}
