//! Runs the loop of a network in one process, without a chain and without buckets.
//!
//! ```text
//! cargo run -p engine --example learn -- --out /tmp/plays PLAYS...
//! ```
//!
//! The example makes a dataset from texts. In each window, each miner trains on its own part of the
//! dataset, then compresses and signs its update. All miners open all updates and make the outer
//! step. All must then have the same state root. After each window the example prints the loss on the
//! held-out text. It exits with 1 if the final loss is above `--most` of the initial loss.

use anyhow::{Context, Result, bail, ensure};
use base::{
    BlockHash, Height, NeuronId, Window,
    digest::{RunHash, RunSeed},
    signature::SigningKey,
};
use clap::Parser;
use codec::{
    aggregate::{ClipBounds, StepNorms},
    feedback,
    sparse::{SparseTensor, compress},
    submission::{self, Expected, Header, Submission, encode},
};
use data::{Options as DataOptions, Quiet, TokenizerChoice, prepare};
use engine::{Batch, Model, Options, Place, Shards};
use protocol::{
    assignment::Assignments,
    dataset::{Manifest, ShardRole},
    history::{History, WindowRecord},
    progress::Progress,
    run_spec::RunFile,
};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// The share of the documents that is held out.
const HELD_OUT_SHARE: f64 = 0.05;
/// The largest number of held-out sequences for the loss.
const HELD_OUT: u64 = 256;

/// Train a run's model with some miners in this process
#[derive(Parser)]
struct Arguments {
    /// Texts: files or folders
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// Folder for the dataset; an existing dataset is reused
    #[arg(long)]
    out: PathBuf,
    /// Separator of documents, such as `\n\n### ` [default: each file is one document]
    #[arg(long)]
    separator: Option<String>,
    /// Seed for keys, assignments, initial parameters and the choice of held-out documents
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run file
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml"))]
    run: PathBuf,
    /// Number of miners
    #[arg(long, default_value_t = 3)]
    miners: u8,
    /// Number of windows [default: the run's]
    #[arg(long)]
    windows: Option<u32>,
    /// Threads of each miner
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Fail if the held-out loss ends above this share of its initial value
    #[arg(long, default_value_t = 0.64)]
    most: f64,
    /// Save a checkpoint of the final state in this folder
    #[arg(long)]
    save: Option<PathBuf>,
    /// Write the values of the first miner before compression in the last window, of all matrices as
    /// wide as the model: f32, little endian, row after row. `codec-bench --dump` reads this file
    #[arg(long)]
    dump: Option<PathBuf>,
}

/// The data that all nodes share.
struct Run {
    file: RunFile,
    hash: RunHash,
    layout: Arc<submission::SubmissionLayout>,
    seed: u64,
    training: Shards,
    blocks: u64,
    held_out: Batch,
}

/// A miner, with its state from window to window.
struct Miner {
    neuron: NeuronId,
    key: SigningKey,
    model: Model,
    error: Vec<f32>,
    norms: Option<StepNorms>,
}

/// The result of a miner for one window.
struct Made {
    sent: Vec<SparseTensor>,
    bytes: Vec<u8>,
    loss: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let text = fs::read_to_string(&arguments.run).with_context(|| arguments.run.display().to_string())?;
    let run = Run::open(RunFile::parse(&text)?, &arguments)?;
    let miners = (1..=arguments.miners).map(|name| Miner::new(&run, name, arguments.threads));
    let mut miners = miners.collect::<Result<Vec<_>>>()?;
    ensure!(!miners.is_empty(), "--miners is 0: at least one is needed");
    let windows = arguments.windows.unwrap_or(run.file.window.count);
    let (start, end) = learn(&run, &mut miners, windows, arguments.dump.as_deref())?;
    if let Some(folder) = &arguments.save {
        save(&run, &mut miners[0], windows, folder)?;
    }
    println!("held-out loss {start:.3} -> {end:.3}: {:.1} % of its start", 100.0 * end / start);
    if end > arguments.most * start {
        bail!("the held-out loss ends above {} % of its start", 100.0 * arguments.most);
    }
    Ok(())
}

/// Runs all windows. Returns the held-out loss before and after them.
fn learn(run: &Run, miners: &mut [Miner], windows: u32, dump: Option<&Path>) -> Result<(f64, f64)> {
    let start = miners[0].model.loss(&run.held_out)?;
    println!("window  held-out  training  bytes/miner  ratio  tokens/s  state root");
    println!("{:>6}  {start:>8.3}", "start");
    let mut end = start;
    for window in (0..u64::from(windows)).map(Window) {
        let begun = Instant::now();
        let assignments = run.assign(window, miners)?;
        let made = miners
            .iter_mut()
            .map(|miner| miner.make(run, window, &assignments))
            .collect::<Result<Vec<_>>>()?;
        let trained = begun.elapsed();
        if let Some(file) = dump.filter(|_| window.0 + 1 == u64::from(windows)) {
            miners[0].dump(run, file).with_context(|| file.display().to_string())?;
        }
        let root = exchange(run, miners, window, &made)?;
        end = miners[0].model.loss(&run.held_out)?;
        report(run, window, end, &made, trained);
        println!("{}", &root[..16]);
    }
    Ok((start, end))
}

/// Lets all miners open and apply all updates. Returns the common state root.
fn exchange(run: &Run, miners: &mut [Miner], window: Window, made: &[Made]) -> Result<String> {
    let expected = miners.iter_mut().map(|miner| miner.expected(run, window)).collect::<Result<Vec<_>>>()?;
    let open = |(made, expected): (&Made, &Expected)| {
        Submission::open(made.bytes.clone(), Arc::clone(&run.layout), expected)
    };
    let accepted = made.iter().zip(&expected).map(open).collect::<Result<Vec<_>, _>>()?;
    let mut roots = Vec::new();
    for (miner, made) in miners.iter_mut().zip(made) {
        let bounds = ClipBounds { last: miner.norms.as_ref(), full: run.file.train.full_work(window) };
        let (norms, root) = miner.model.apply_outer_step(&accepted, bounds)?;
        miner.norms = Some(norms);
        miner.settle(run, &made.sent);
        roots.push(root);
    }
    ensure!(
        roots.iter().all(|root| *root == roots[0]),
        "the miners' states differ after window {window}: {roots:?}"
    );
    Ok(roots[0].to_string())
}

#[allow(clippy::cast_precision_loss)] // Sizes and tokens of a small run.
fn report(run: &Run, window: Window, loss: f64, made: &[Made], took: Duration) {
    let count = made.len() as f64;
    let training = made.iter().map(|made| made.loss).sum::<f64>() / count;
    let bytes = made.iter().map(|made| made.bytes.len()).sum::<usize>() as f64 / count;
    let ratio = run.file.model.parameters() as f64 * 4.0 / bytes;
    let tokens = run.file.train.samples() as f64 * f64::from(run.file.train.sequence) * count;
    let speed = tokens / took.as_secs_f64();
    print!("{window:>6}  {loss:>8.3}  {training:>8.3}  {bytes:>11.0}  {ratio:>4.0}x  {speed:>8.0}  ");
    let _ = std::io::stdout().flush(); // The end of the line follows immediately.
}

fn save(run: &Run, miner: &mut Miner, windows: u32, folder: &Path) -> Result<()> {
    let (root, norms) = (miner.model.state_root()?, miner.norms.clone());
    let mut history = History::new(&run.hash);
    for window in (0..u64::from(windows)).map(Window) {
        // Without a chain there are no votes, and no node has computed the earlier states.
        let state = history.state(&root);
        history.push_record(WindowRecord { window, state, accepted: Vec::new(), voters: Vec::new() })?;
    }
    miner.model.save(folder, &Progress { run: run.hash, history, root, norms }, 1 << 30)?;
    Ok(())
}

impl Run {
    /// Prepares the dataset, or reuses an existing one, and opens it.
    fn open(mut file: RunFile, arguments: &Arguments) -> Result<Self> {
        let Arguments { out, seed, .. } = arguments;
        file.initial.seed = drawn(*seed, &[&file.initial.seed.0]);
        let tokenizer = TokenizerChoice::Train { vocab: file.model.vocab, sample: 64 << 20 };
        let sequence = file.train.sequence;
        let options = DataOptions::new(arguments.texts.clone(), out.clone(), tokenizer);
        let separator = arguments.separator.as_ref().map(|typed| typed.replace(r"\n", "\n"));
        let options = DataOptions { sequence, separator, held_out: HELD_OUT_SHARE, seed: *seed, ..options };
        let report = prepare(&options, &mut Quiet)?;
        println!("{} tokens to train on, {} held out", report.training, report.held_out);

        let manifest = Manifest::read(&fs::read(out.join(data::MANIFEST))?)?;
        let shards = |role| {
            let count = manifest.shards.iter().filter(|shard| shard.role == role).count() as u64;
            let paths = (0..count).map(|number| out.join(data::shard_name(role, number)));
            Shards::of(&manifest, role, paths)
        };
        let held_out = shards(ShardRole::HeldOut)?;
        ensure!(held_out.sequences() > 0, "no text was held out: give more texts");
        let measured: Vec<u64> = (0..held_out.sequences().min(HELD_OUT)).collect();
        let spec = file.model;
        Ok(Self {
            hash: RunHash::of(&[file.name.as_bytes()]), // Only a run on a chain has a spec with its own hash.
            layout: Arc::new(submission::SubmissionLayout::new(&spec.tensors(), &file.sparse)?),
            seed: *seed,
            training: shards(ShardRole::Training)?,
            blocks: manifest.training_blocks(),
            held_out: held_out.batch(&measured)?,
            file,
        })
    }

    fn assign(&self, window: Window, miners: &[Miner]) -> Result<Assignments> {
        let seed = BlockHash(drawn(self.seed, &[&window.0.to_le_bytes()]).0); // Replaces the hash of a block.
        let neurons = miners.iter().map(|miner| miner.neuron);
        Ok(Assignments::new(&self.hash, window, seed, neurons, self.file.train.samples(), self.blocks)?)
    }
}

impl Miner {
    fn new(run: &Run, name: u8, threads: u32) -> Result<Self> {
        let key = SigningKey::from_bytes(&secret(run.seed, name))?;
        let options = Options { place: Place::Cpu, threads, ..Options::default() };
        let mut model = Model::new(run.file.model, options)?;
        model.initialize(&run.file.initial.seed.0)?;
        let error = vec![0.0; model.layout().len()];
        let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(1) };
        Ok(Self { neuron, key, model, error, norms: None })
    }

    /// Returns the requirements on the miner's submission for a window.
    fn expected(&mut self, run: &Run, window: Window) -> Result<Expected> {
        Ok(Expected {
            run: run.hash,
            spec: run.hash,
            neuron: self.neuron,
            window,
            base: History::new(&run.hash).state(&self.model.state_root()?),
            least_samples: run.file.train.least_samples(),
            sealed: false,
        })
    }

    /// Trains through a window and encodes the submission.
    fn make(&mut self, run: &Run, window: Window, assignments: &Assignments) -> Result<Made> {
        let (train, sparse) = (&run.file.train, &run.file.sparse);
        let sequences: Vec<u64> = assignments.of(&self.neuron)?.sequences().collect();
        let batches = sequences.chunks(train.batch as usize).map(|batch| run.training.batch(batch));
        let first = window.0 * u64::from(train.inner_steps);
        let trained = self.model.train(train, first, batches, &AtomicBool::new(false))?;

        feedback::accumulate(&mut self.error, &trained.pseudo_gradient, sparse.beta);
        let tensors = run.layout.tensors().iter().zip(self.model.layout().iter());
        let compress = |(tensor, (_, place)): (&submission::TensorLayout, (_, std::ops::Range<usize>))| {
            compress(&self.error[place], tensor.geometry(), sparse)
        };
        let sent = tensors.map(compress).collect::<Result<Vec<_>, _>>()?;
        let header = Header::new(&self.expected(run, window)?, train.samples(), &run.layout);
        let bytes = encode(&run.layout, &header, &sent, &self.key)?;
        let steps = trained.steps.iter();
        let loss = steps.map(|step| step.loss).sum::<f64>() / f64::from(train.inner_steps);
        Ok(Made { sent, bytes, loss })
    }

    /// Writes the values from which the compression chose.
    fn dump(&self, run: &Run, file: &Path) -> Result<()> {
        let width = run.file.model.hidden as usize;
        let tensors = run.file.model.tensors();
        let places = self.model.layout().iter().map(|(_, place)| place);
        let matrices = tensors.iter().zip(places).filter(|(tensor, _)| tensor.shape[1..] == [width]);
        let values = matrices.flat_map(|(_, place)| &self.error[place]);
        fs::write(file, values.flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        Ok(())
    }

    /// Keeps the values that were not sent for the next window.
    fn settle(&mut self, run: &Run, sent: &[SparseTensor]) {
        let places = self.model.layout().iter().map(|(_, place)| place);
        for ((tensor, place), sent) in run.layout.tensors().iter().zip(places).zip(sent) {
            feedback::settle(&mut self.error[place], tensor.geometry(), sent);
        }
    }
}

/// Returns a secret key for a miner of this process.
fn secret(seed: u64, name: u8) -> [u8; 64] {
    let mut secret = [0; 64];
    secret.copy_from_slice(
        &["scalar", "nonce"].map(|part| drawn(seed, &[part.as_bytes(), &[name]]).0).concat(),
    );
    secret[0] &= 0xf8; // The stored form of these secrets is a multiple of 8,
    secret[31] &= 0x0f; // below the order of the group, about 2^252.
    secret
}

/// Derives 32 bytes from the seed and a label.
fn drawn(seed: u64, of: &[&[u8]]) -> RunSeed {
    RunSeed::of(&[&[&seed.to_le_bytes()[..]], of].concat())
}
