//! Simulates a run of four windows on a small subnet: three validators, three miners, real extrinsics, real
//! buckets. Pseudo-gradients and losses are invented. Everything else is done as nodes do it.

use crate::subnet::{self, FLOOR, HANGS, MINERS, Neuron, VALIDATORS};
use base::{
    Height, Hotkey, Millionths, NeuronId, Uid, Window,
    digest::{ObjectHash, ScoreLogHead, State},
    tensor::TensorSpec,
};
use bucket_server::Server;
use bytes::Bytes;
use chain::Client;
use codec::{
    aggregate::{ClipBounds, outer_step},
    sparse::compress,
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use devchain::{Devchain, Handle};
use exchange::{BlockState, ChainReader, signing_key};
use futures::future::join_all;
use protocol::{
    acceptance::{Decision, candidates},
    announcement::{Bits, Claim, Possession, Record, Vote},
    checkpoint::{Manifest, PROGRESS, Part},
    clock::{Clock, Heights},
    history::WindowRecord,
    model,
    progress::Progress,
    run_spec::RunSpec,
};
use safetensors::{Dtype, tensor::TensorView};
use scoring::{
    gauntlet::{Evaluation, Fault, Improvements, Outcome, ScoringSpec, Standings},
    score_log::{Adopted, Header as LogHeader, MinerLine, ScoreLog},
    uniqueness::{Baselines, Class, Nearest, Overlap},
    weights::{Subnet, Weights},
};
use std::{
    collections::BTreeMap, convert::Infallible, future::Future, ops::Range, path::PathBuf, process::Output,
    sync::Arc,
};
use storage::{Content, Limits, Put};
use tempfile::TempDir;

/// Number of windows of the test run.
pub(crate) const WINDOWS: u64 = 4;
/// The uid of the subnet's owner.
const OWNER: Uid = Uid(0);
/// The window at whose start a checkpoint is saved.
pub(crate) const CHECKPOINT: Window = Window(2);

/// The faults of the last validator. The other validators have none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The window in which it votes for a wrong state.
    pub(crate) wrong_state: Option<u64>,
    /// The window in which it copies the first validator's vote, including possession.
    pub(crate) copied: Option<u64>,
    /// The window in which it does not vote.
    pub(crate) skipped: Option<u64>,
    /// The window in which it marks one more candidate as good than there are.
    pub(crate) beyond: Option<u64>,
    /// The window from which on it does not vote.
    pub(crate) silent: Option<u64>,
    /// The window after which it gives all weight to the subnet's owner, unlike its log.
    pub(crate) wrong_weights: Option<u64>,
    /// The window after which it sets the weights of the first validator's log.
    pub(crate) copied_weights: Option<u64>,
    /// The window whose measurements it copies from the first validator's log after its publication.
    pub(crate) copied_log: Option<u64>,
    /// The window whose measurements it has from the first validator before it votes on the next window.
    pub(crate) shared_log: Option<u64>,
    /// The window of which it makes no log, as if it had been down.
    pub(crate) no_log: Option<u64>,
    /// The window whose log states a wrong object for the first miner.
    pub(crate) wrong_claim: Option<u64>,
    /// The window whose log states a wrong weight.
    pub(crate) wrong_rating: Option<u64>,
    /// The window of its first log, which begins from the standings of the first validator.
    pub(crate) joined: Option<u64>,
    /// Whether that log begins without standings, whatever it says.
    pub(crate) wrong_standings: bool,
}

/// The scoring state of a validator.
#[derive(Default)]
struct Judge {
    standings: Standings,
    head: ScoreLogHead,
    /// The head that the next vote names.
    named: ScoreLogHead,
    weights: Weights,
}

/// A subnet on which a run was simulated.
pub(crate) struct TestRun {
    chain: Devchain,
    pub(crate) server: Server,
    folder: TempDir,
    pub(crate) run: RunSpec,
    layout: Arc<SubmissionLayout>,
    client: Client,
    chain_reader: ChainReader,
    pub(crate) validators: Vec<Neuron>,
    pub(crate) miners: Vec<Neuron>,
    /// The decisions, in the order of windows.
    pub(crate) decisions: Vec<Decision>,
    progress: Progress,
    parameters: Vec<f32>,
    judges: Vec<Judge>,
    faults: Faults,
}

impl TestRun {
    /// Simulates the whole run.
    pub(crate) async fn simulate(faults: Faults) -> Self {
        tokio::time::timeout(HANGS, async {
            let mut test_run = Self::begin(faults).await;
            for window in 0..WINDOWS {
                test_run.window(Window(window)).await;
            }
            // So that the last window is complete.
            let last = test_run.heights(Window(WINDOWS - 1)).votes_close;
            let delay = test_run.run.clock().unwrap().log_delay(subnet::TEMPO, 0);
            test_run.reach_final(Height(last.0 + delay)).await;
            test_run
        })
        .await
        .expect("the test run hangs")
    }

    /// Starts the subnet and the run, before its first window.
    pub(crate) async fn begin(faults: Faults) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = subnet::serve(folder.path()).await;
        let chain = subnet::start_chain().await;
        let client = Client::connect(subnet::options(&chain.url())).await.unwrap();
        let mut run = subnet::run_file(WINDOWS);
        run.network.genesis = Some(client.genesis());
        let flat = model::ParameterLayout::new(&run.model);
        let parameters = flat.initial(&run.initial.seed);
        run.initial.root = Some(flat.state_root(&parameters, 1));
        std::fs::write(folder.path().join("run.toml"), run.to_toml().unwrap()).unwrap();
        let run = run.complete().unwrap();
        let layout = Arc::new(SubmissionLayout::new(&run.model.tensors(), &run.sparse).unwrap());
        let chain_reader = ChainReader::new(client.clone(), run.network.netuid, run.network.mechanism);
        let url = format!("http://{}", server.address());
        let neuron = |name: &&str, uid: usize| subnet::neuron(&client, &run, &url, name, uid);
        let validators = VALIDATORS.iter().enumerate().map(|(at, name)| neuron(name, at + 1)).collect();
        let miners = MINERS.iter().enumerate().map(|(at, name)| neuron(name, at + 4)).collect();
        let progress = Progress::initial(&run);
        let judges = VALIDATORS.map(|_| Judge::default()).into();
        Self {
            chain,
            server,
            folder,
            run,
            layout,
            client,
            chain_reader,
            validators,
            miners,
            decisions: Vec::new(),
            progress,
            parameters,
            judges,
            faults,
        }
    }

    pub(crate) fn heights(&self, window: Window) -> Heights {
        Clock::new(self.run.network.start_block, self.run.window).unwrap().heights(window).unwrap()
    }

    async fn window(&mut self, window: Window) {
        let heights = self.heights(window);
        if window == CHECKPOINT {
            self.save_checkpoint().await;
        }
        let objects = self.train(&heights).await;
        self.vote(&heights).await;
        let decision = self.decide(&heights).await;
        self.judge(&heights, &objects).await;
        self.store(&heights, &decision, &objects).await;
        self.apply(&decision, &objects);
        self.weigh(window).await;
        self.decisions.push(decision);
    }

    /// Publishes a checkpoint of the second validator: the parameters and the progress.
    async fn save_checkpoint(&self) {
        let folder = tempfile::tempdir().unwrap();
        let flat = model::ParameterLayout::new(&self.run.model);
        let bytes: Vec<u8> = self.parameters.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = |(tensor, place): (&TensorSpec, Range<usize>)| {
            let bytes = &bytes[place.start * 4..place.end * 4];
            (tensor.name.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
        };
        let parameters = safetensors::serialize(flat.iter().map(view), None).unwrap();
        let files = [("model.safetensors", parameters), (PROGRESS, self.progress.to_bytes())];
        let parts = files.map(|(file, bytes)| {
            std::fs::write(folder.path().join(file), &bytes).unwrap();
            let blake3 = *blake3::hash(&bytes).as_bytes();
            Part { file: file.to_owned(), bytes: bytes.len() as u64, blake3 }
        });
        let manifest = Manifest::new(&self.progress, parts.into()).unwrap();
        self.validators[1].own_bucket.put_checkpoint(folder.path(), &manifest).await.unwrap();
    }

    /// Uploads a submission and sends a claim for each miner.
    async fn train(&self, heights: &Heights) -> Objects {
        self.reach(heights.last).await;
        let mut objects = Objects::new();
        for (number, miner) in self.miners.iter().enumerate() {
            let object = self.submission(heights.window, number, miner);
            let hash = object.hash();
            let bytes = Bytes::copy_from_slice(object.bytes());
            miner.own_bucket.put_submission(heights.window, &hash, bytes).await.unwrap();
            objects.insert(miner.id, object);
        }
        let claims = self.miners.iter().map(|miner| {
            let claim =
                Claim { run: self.run.id(), window: heights.window, object: objects[&miner.id].hash() };
            miner.commitment_writer.record(Record::Claim(claim))
        });
        self.sealing(MINERS.len(), join_all(claims))
            .await
            .iter()
            .for_each(|sent| assert!(sent.is_ok(), "{sent:?}"));
        objects
    }

    /// Creates a submission with a random pseudo-gradient: compressed, encoded and signed.
    fn submission(&self, window: Window, number: usize, miner: &Neuron) -> Submission<Vec<u8>> {
        let expected = self.expected(window, miner.id);
        let mut seed = window.0 * 1000 + number as u64 + 1;
        let tensors = self.layout.tensors().iter().map(|tensor| {
            let values: Vec<f32> = (0..tensor.geometry().len()).map(|_| random(&mut seed)).collect();
            compress(&values, tensor.geometry(), &self.run.sparse).unwrap()
        });
        let tensors: Vec<_> = tensors.collect();
        let header = Header::new(&expected, expected.least_samples, &self.layout);
        let bytes = encode(&self.layout, &header, &tensors, &signing_key(&miner.key)).unwrap();
        Submission::open(bytes, Arc::clone(&self.layout), &expected).unwrap()
    }

    fn expected(&self, window: Window, neuron: NeuronId) -> Expected {
        let (run, base) = (self.run.hash(), self.progress.base(&self.run.acceptance));
        let least_samples = self.run.train.least_samples();
        let sealed = self.run.acceptance.sealing;
        Expected { run, spec: run, neuron, window, base, least_samples, sealed }
    }

    /// Sends a vote for each validator, with the configured faults.
    async fn vote(&self, heights: &Heights) {
        self.reach_final(heights.seed).await;
        let claims = self.chain_reader.at(heights.claims_close).await.unwrap();
        let incentives = self.chain_reader.at(heights.incentives).await.unwrap();
        let spec = &self.run.acceptance;
        let incentives = &incentives.snapshot;
        let claims = &claims.snapshot;
        let candidates = candidates(self.run.id(), spec, heights, incentives, claims).unwrap();
        let drawn = self.chain_reader.hash(heights.possession_seed()).await.unwrap();
        let flat = model::ParameterLayout::new(&self.run.model);
        let possession = |holder: &Neuron| {
            let read = |places: Range<usize>| Ok::<_, Infallible>(self.parameters[places].to_vec());
            Possession::of(holder.id.hotkey, drawn, &flat, read).unwrap()
        };
        let is = |planned: Option<u64>| planned == Some(heights.window.0);
        let mut votes = Vec::new();
        for (number, (validator, judge)) in self.validators.iter().zip(&self.judges).enumerate() {
            let culprit = number + 1 == VALIDATORS.len();
            let is_silent = self.faults.silent.is_some_and(|from| from <= heights.window.0);
            if culprit && (is(self.faults.skipped) || is_silent) {
                continue;
            }
            let wrong = culprit && is(self.faults.wrong_state);
            let holder = if culprit && is(self.faults.copied) { &self.validators[0] } else { validator };
            let more = usize::from(culprit && is(self.faults.beyond));
            let vote = Vote {
                run: self.run.id(),
                window: heights.window,
                good: Bits::of(0..candidates.len() + more),
                state: if wrong { State([7; 32]) } else { self.progress.state() },
                score_log: judge.named,
                possession: possession(holder),
            };
            votes.push(validator.commitment_writer.record(Record::Vote(vote)));
        }
        let voters = votes.len();
        self.sealing(voters, join_all(votes)).await.iter().for_each(|sent| assert!(sent.is_ok(), "{sent:?}"));
    }

    async fn decide(&self, heights: &Heights) -> Decision {
        self.reach_final(heights.votes_close).await;
        let decision = self.chain_reader.decide(&self.run, heights.window).await.unwrap();
        assert_eq!(decision.accepted.as_ref().unwrap().len(), MINERS.len(), "{decision:?}");
        decision
    }

    /// Closes and publishes the log of each validator.
    async fn judge(&mut self, heights: &Heights, objects: &Objects) {
        let seeded = self.chain_reader.at(heights.seed).await.unwrap();
        let seed = seeded.hash;
        let subnet = self.subnet(&seeded).await;
        let (first, source) = (self.judges[0].standings.clone(), self.adopted(heights.window));
        for number in 0..VALIDATORS.len() {
            let culprit = number + 1 == VALIDATORS.len();
            let is = |planned: Option<u64>| culprit && planned == Some(heights.window.0);
            let joins_later = self.faults.joined.is_some_and(|joined| heights.window.0 < joined);
            if is(self.faults.no_log) || culprit && joins_later {
                continue;
            }
            let validator = &self.validators[number];
            let judge = &mut self.judges[number];
            let adopted = source.filter(|_| is(self.faults.joined));
            if adopted.is_some() && !self.faults.wrong_standings {
                judge.standings = first.clone();
            }
            let header = LogHeader {
                run: self.run.hash(),
                validator: validator.id,
                window: heights.window,
                state: self.progress.state(),
                seed,
                previous: judge.head,
                standings: judge.standings.hash(),
                adopted,
                unassigned_before: 4.0 - heights.window.0 as f64 / 10.0,
                baselines: Baselines::default(),
                subnet,
            };
            let is_copied = is(self.faults.copied_log);
            let measured_by = if is_copied || is(self.faults.shared_log) { 0 } else { number };
            let mut lines = lines(&self.run.scoring, &self.miners, objects, heights.window, measured_by);
            if is(self.faults.wrong_claim) {
                lines.get_mut(&self.miners[0].id.hotkey).unwrap().object = ObjectHash([9; 32]);
            }
            let scoring = &self.run.scoring;
            let (mut log, results) = ScoreLog::close(scoring, &judge.standings, header, lines).unwrap();
            if is(self.faults.wrong_rating) {
                log.stated.weights.insert(self.miners[1].uid, 1);
            }
            let bytes = log.sign(&signing_key(&validator.key)).unwrap();
            validator.own_bucket.put_score_log(heights.window, bytes.into()).await.unwrap();
            // A copy is made when the votes on the next window are in.
            let named = if is_copied { judge.named } else { log.head() };
            let weights = results.weights.unwrap();
            *judge = Judge { standings: results.standings, head: log.head(), named, weights };
        }
    }

    /// Returns the name of the first validator's last log before a window.
    fn adopted(&self, window: Window) -> Option<Adopted> {
        let window = Window(window.0.checked_sub(1)?);
        Some(Adopted { validator: self.validators[0].id.hotkey, window, head: self.judges[0].head })
    }

    async fn subnet(&self, state: &BlockState) -> Subnet {
        let netuid = self.run.network.netuid;
        let rules = self.client.at(state.hash).hyperparameters(netuid).await.unwrap();
        Subnet {
            owner: state.metagraph.owner_uid(),
            uids: state.metagraph.neurons.len() as u16,
            min_allowed: rules.min_weights,
            max_limit: rules.max_weight,
        }
    }

    /// Publishes the records of the window, and stores the accepted objects with their keepers.
    async fn store(&self, heights: &Heights, decision: &Decision, objects: &Objects) {
        let evidence = self.chain_reader.evidence(heights).await.unwrap();
        for accepted in decision.applied() {
            let spec = &self.run.acceptance;
            let run = self.run.id();
            let voters = evidence.votes.voters_for(run, heights, decision, accepted);
            let chosen = evidence.claims.keepers(run, spec, heights, &accepted.object, &voters);
            let bytes = Bytes::copy_from_slice(objects[&accepted.id].bytes());
            for keeper in self.validators.iter().filter(|validator| chosen.contains(&validator.id)) {
                keeper
                    .own_bucket
                    .put_submission(heights.window, &accepted.object, bytes.clone())
                    .await
                    .unwrap();
            }
        }
        for validator in &self.validators {
            let record = WindowRecord::of(decision, self.progress.state());
            validator.own_bucket.put_record(&record).await.unwrap();
        }
    }

    fn apply(&mut self, decision: &Decision, objects: &Objects) {
        let flat = model::ParameterLayout::new(&self.run.model);
        let accepted: Vec<_> =
            decision.applied().iter().map(|accepted| objects[&accepted.id].clone()).collect();
        let full = self.run.train.full_work(decision.window);
        let bounds = ClipBounds { last: self.progress.norms.as_ref(), full };
        let norms = outer_step(&mut flat.split_mut(&mut self.parameters), &accepted, bounds, 1).unwrap();
        let state = self.progress.state();
        self.progress.history.push(decision, state).unwrap();
        self.progress.root = flat.state_root(&self.parameters, 1);
        self.progress.norms = Some(norms);
    }

    /// Sets the weights of all validators, in every second window.
    async fn weigh(&self, window: Window) {
        if window.0.is_multiple_of(2) {
            return;
        }
        let netuid = self.run.network.netuid;
        let rows: Vec<Vec<(Uid, u16)>> = (self.judges.iter().enumerate())
            .map(|(number, judge)| {
                let culprit = number + 1 == VALIDATORS.len();
                let is = |planned: Option<u64>| culprit && planned == Some(window.0);
                if is(self.faults.wrong_weights) {
                    return vec![(OWNER, u16::MAX)];
                }
                let judge = if is(self.faults.copied_weights) { &self.judges[0] } else { judge };
                judge.weights.clone().into_iter().collect()
            })
            .collect();
        let sent = self.validators.iter().zip(&rows);
        let sent = sent.map(|(validator, row)| self.client.set_weights(netuid, row, 0, &validator.key));
        self.sealing(VALIDATORS.len(), join_all(sent))
            .await
            .iter()
            .for_each(|set| assert!(set.is_ok(), "{set:?}"));
    }

    /// Creates blocks up to a height.
    async fn reach(&self, height: Height) {
        let now = u64::from(self.handle().status().await.unwrap().node.height);
        if let Some(blocks @ 1..) = height.0.checked_sub(now) {
            self.handle().fast_forward(blocks.try_into().unwrap()).await.unwrap();
        }
    }

    /// Creates blocks until the one at this height is final.
    pub(crate) async fn reach_final(&self, height: Height) {
        self.reach(Height(height.0 + u64::from(subnet::LAG))).await;
    }

    /// Creates one block when this number of transactions is ready, and those that make it final.
    async fn sealing<T>(&self, transactions: usize, sending: impl Future<Output = T>) -> T {
        let seal = async {
            while self.handle().status().await.unwrap().node.ready < transactions {
                tokio::task::yield_now().await;
            }
            self.handle().new_block(1 + subnet::LAG).await.unwrap();
        };
        tokio::join!(sending, seal).0
    }

    fn handle(&self) -> Handle {
        self.chain.handle()
    }

    /// Runs the auditor on the test run. Returns its exit code and its output.
    pub(crate) async fn auditor(&self, arguments: &[&str]) -> Output {
        let run = self.path("run.toml");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_auditor"));
        command.args(arguments).args(["--block-time", "0.02"]);
        if !arguments.contains(&"--chain") {
            command.args(["--chain", &self.chain.url()]);
        }
        if arguments[0] != "scores" {
            command.arg("--allow-loopback").arg("--run").arg(run);
        }
        command.env_clear().kill_on_drop(true);
        tokio::time::timeout(HANGS, command.output()).await.expect("the auditor hangs").unwrap()
    }

    /// Returns the address of the chain, for a proxy.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.chain.address()
    }

    /// Returns the hashes of all blocks from this height on.
    pub(crate) async fn hashes_from(&self, height: Height) -> Vec<String> {
        let mut hashes = Vec::new();
        for height in u32::try_from(height.0).unwrap().. {
            match self.handle().block(height).await.unwrap() {
                Some(block) => hashes.push(format!("{:?}", block.hash)),
                None => break,
            }
        }
        hashes
    }

    /// Returns the URL of the chain.
    pub(crate) fn url(&self) -> String {
        self.chain.url()
    }

    /// Returns the path of a file in the folder of the run spec.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads an object from a neuron's bucket.
    pub(crate) async fn read(&self, neuron: &Neuron, key: &str) -> Vec<u8> {
        let limits = Limits { bytes: 1 << 24, time: HANGS, floor: FLOOR };
        neuron.own_bucket.bucket().get(key, &limits).await.unwrap().0
    }

    /// Writes an object to a neuron's bucket.
    pub(crate) async fn write(&self, neuron: &Neuron, key: &str, bytes: Vec<u8>) {
        let put = Put { time: HANGS, floor: FLOOR, only_if_absent: false };
        neuron.own_bucket.bucket().put(key, Content::Bytes(bytes.into()), &put).await.unwrap();
    }

    /// Deletes an object from a neuron's bucket.
    pub(crate) async fn delete(&self, neuron: &Neuron, key: &str) {
        neuron.own_bucket.bucket().delete(key, HANGS).await.unwrap();
    }

    /// Returns the key of a miner's accepted object of a window. It is the same in all buckets.
    pub(crate) fn key(&self, window: u64, miner: usize) -> String {
        let id = self.miners[miner].id;
        let decision = &self.decisions[window as usize];
        let accepted = decision.applied().iter().find(|accepted| accepted.id == id).unwrap();
        protocol::bucket_layout::submission(self.run.id(), Window(window), &accepted.object)
    }
}

/// The submissions of a window.
type Objects = BTreeMap<NeuronId, Submission<Vec<u8>>>;

/// Returns invented measurements. The third miner fails in window 1 and is skipped in window 2. In the last
/// window, the update of the second miner overlaps with that of the first.
fn lines(
    spec: &ScoringSpec,
    miners: &[Neuron],
    objects: &Objects,
    window: Window,
    validator: usize,
) -> BTreeMap<Hotkey, MinerLine> {
    let improvements = |count: u16, mean: f64| {
        let count = f64::from(count);
        Improvements { count: count as u32, sum: count * mean, squares: count * (mean * mean + 1e-4) }
    };
    let (class, partner) = (Class::SameWindow, miners[0].id.hotkey);
    let nearest = Some(Nearest { class, partner, cosine: Millionths(600_000) });
    let overlap = Overlap { excess: Millionths(500_000), nearest };
    let line = |(number, miner): (usize, &Neuron)| {
        let mean = 0.1 / (number + 1) as f64 + (validator as f64 + window.0 as f64) / 1000.0;
        let evaluation = Evaluation {
            assigned: improvements(spec.assigned_sequences, mean + 0.02),
            common: improvements(spec.common_sequences, mean),
            own: improvements(spec.own_sequences, mean),
            share: Millionths::ONE,
            overlap: if (number, window.0 + 1) == (1, WINDOWS) { overlap } else { Overlap::default() },
        };
        let outcome = match (number, window.0) {
            (2, 1) => Outcome::Failed(Fault::Slow),
            (2, 2) => Outcome::Skipped,
            _ => Outcome::Evaluated(evaluation),
        };
        let (hotkey, registered) = (miner.id.hotkey, miner.id.registered);
        let object = objects[&miner.id].hash();
        (hotkey, MinerLine { uid: miner.uid, registered, object, outcome })
    };
    miners.iter().enumerate().map(line).collect()
}

/// Returns a random number between -0.01 and 0.01 (xorshift).
fn random(seed: &mut u64) -> f32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    ((*seed >> 40) as f32 / (1 << 24) as f32 - 0.5) / 50.0
}
