//! Runs a network's loop in one process: no chain, no buckets, everything else as it is.
//!
//! ```text
//! cargo run -p engine --example learn -- --out /tmp/plays PLAYS...
//! ```
//!
//! Texts become a dataset; in each window every miner trains on its own part of it, compresses and signs its update; all
//! open all updates, make the outer step and must then hold the same state root. The loss on the held-out text is printed
//! after each window. It ends with 1 if the loss has not fallen below `--most` of its start.

use anyhow::{Context, Result, bail, ensure};
use base::{
    BlockHash, Height, NeuronId, Window,
    digest::{RunHash, RunSeed},
    signature::SigningKey,
};
use clap::Parser;
use codec::{
    aggregate::Medians,
    feedback,
    sparse::{SparseTensor, compress},
    submission::{self, Expected, Header, Submission, encode},
};
use data::{Options as DataOptions, Quiet, TokenizerChoice, prepare};
use engine::{Batch, Model, Options, Place, Shards};
use protocol::{
    assignment::Assignments,
    dataset::{Manifest, Role},
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
/// Sequences of the held-out text that the loss is measured on, at most.
const HELD_OUT: u64 = 256;

/// Trains a run's model with some miners in this process.
#[derive(Parser)]
struct Arguments {
    /// Texts: files or folders.
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// The folder for the dataset; one that is there already is used again.
    #[arg(long)]
    out: PathBuf,
    /// What stands between documents, as in `\n\n### `; by default a file is one document.
    #[arg(long)]
    separator: Option<String>,
    /// Draws keys, assignments, initial parameters and the held-out documents: each number another story.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The run's file.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml"))]
    run: PathBuf,
    /// How many miners there are.
    #[arg(long, default_value_t = 3)]
    miners: u8,
    /// Windows; as many as the run has if it is left out.
    #[arg(long)]
    windows: Option<u32>,
    /// Threads of each miner.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// The share of its start that the held-out loss must have fallen below.
    #[arg(long, default_value_t = 0.64)]
    most: f64,
    /// Saves a checkpoint of the end in this folder.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Writes into this file what the first miner chooses from in the last window, of all matrices as wide as the model:
    /// f32, little endian, row after row. That is what `codec-bench --dump` reads.
    #[arg(long)]
    dump: Option<PathBuf>,
}

/// What all nodes know.
struct Run {
    file: RunFile,
    hash: RunHash,
    layout: Arc<submission::Layout>,
    seed: u64,
    training: Shards,
    blocks: u64,
    held_out: Batch,
}

/// A miner, with what it keeps from window to window.
struct Miner {
    neuron: NeuronId,
    key: SigningKey,
    model: Model,
    error: Vec<f32>,
    medians: Option<Medians>,
}

/// What a miner made of a window.
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

/// All windows; the held-out loss before and after them.
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

/// Everybody opens and applies everything; the state root that all end on.
fn exchange(run: &Run, miners: &mut [Miner], window: Window, made: &[Made]) -> Result<String> {
    let expected = miners.iter_mut().map(|miner| miner.expected(run, window)).collect::<Result<Vec<_>>>()?;
    let open = |(made, expected): (&Made, &Expected)| {
        Submission::open(made.bytes.clone(), Arc::clone(&run.layout), expected)
    };
    let accepted = made.iter().zip(&expected).map(open).collect::<Result<Vec<_>, _>>()?;
    let mut roots = Vec::new();
    for (miner, made) in miners.iter_mut().zip(made) {
        miner.medians = Some(miner.model.outer_step(&accepted, miner.medians.as_ref())?);
        miner.settle(run, &made.sent);
        roots.push(miner.model.state_root()?);
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
    let _ = std::io::stdout().flush(); // The line's end follows at once.
}

fn save(run: &Run, miner: &mut Miner, windows: u32, folder: &Path) -> Result<()> {
    let mut history = History::new(&run.hash);
    for window in (0..u64::from(windows)).map(Window) {
        // Without a chain nobody votes.
        history.push_record(WindowRecord { window, accepted: Vec::new(), voters: Vec::new() })?;
    }
    let (root, medians) = (miner.model.state_root()?, miner.medians.clone());
    miner.model.save(folder, &Progress { run: run.hash, history, root, medians }, 1 << 30)?;
    Ok(())
}

impl Run {
    /// Makes the dataset, or finds it made, and opens it.
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
        let held_out = shards(Role::HeldOut)?;
        ensure!(held_out.sequences() > 0, "no text was held out: give more texts");
        let measured: Vec<u64> = (0..held_out.sequences().min(HELD_OUT)).collect();
        let spec = file.model;
        Ok(Self {
            hash: RunHash::of(&[file.name.as_bytes()]), // Only a run on a chain has a spec with a hash of its own.
            layout: Arc::new(submission::Layout::new(&spec.tensors(), &file.sparse)?),
            seed: *seed,
            training: shards(Role::Training)?,
            blocks: manifest.training_blocks(),
            held_out: held_out.batch(&measured)?,
            file,
        })
    }

    fn assign(&self, window: Window, miners: &[Miner]) -> Result<Assignments> {
        let seed = BlockHash(drawn(self.seed, &[&window.0.to_le_bytes()]).0); // In place of a block's hash.
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
        Ok(Self { neuron, key, model, error, medians: None })
    }

    /// What its submission for a window must be.
    fn expected(&mut self, run: &Run, window: Window) -> Result<Expected> {
        Ok(Expected {
            run: run.hash,
            spec: run.hash,
            neuron: self.neuron,
            window,
            base: History::new(&run.hash).state(&self.model.state_root()?),
            least_samples: run.file.train.samples(),
            sealed: false,
        })
    }

    /// Trains through a window and writes the submission.
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

    /// Writes what was chosen from.
    fn dump(&self, run: &Run, file: &Path) -> Result<()> {
        let width = run.file.model.hidden as usize;
        let tensors = run.file.model.tensors();
        let places = self.model.layout().iter().map(|(_, place)| place);
        let matrices = tensors.iter().zip(places).filter(|(tensor, _)| tensor.shape[1..] == [width]);
        let values = matrices.flat_map(|(_, place)| &self.error[place]);
        fs::write(file, values.flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        Ok(())
    }

    /// Keeps what was not sent for the next window.
    fn settle(&mut self, run: &Run, sent: &[SparseTensor]) {
        let places = self.model.layout().iter().map(|(_, place)| place);
        for ((tensor, place), sent) in run.layout.tensors().iter().zip(places).zip(sent) {
            feedback::settle(&mut self.error[place], tensor.geometry(), sent);
        }
    }
}

/// A secret key for a miner of this process.
fn secret(seed: u64, name: u8) -> [u8; 64] {
    let mut secret = [0; 64];
    secret.copy_from_slice(
        &["scalar", "nonce"].map(|part| drawn(seed, &[part.as_bytes(), &[name]]).0).concat(),
    );
    secret[0] &= 0xf8; // A multiple of 8, as these secrets are stored,
    secret[31] &= 0x0f; // and below the group's order, 2^252 and a bit.
    secret
}

/// 32 bytes that the seed draws for something.
fn drawn(seed: u64, of: &[&[u8]]) -> RunSeed {
    RunSeed::of(&[&[&seed.to_le_bytes()[..]], of].concat())
}
