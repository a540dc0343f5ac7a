//! The engine's child process: trains the model of a case when it is told to.

use crate::{
    case::Case,
    child::{BenchError, Memory, Ready, Round},
};
use engine::{Batch, Model, Options, Place, ShardError, init_torch};
use serde::Serialize;
use std::{
    fs,
    io::{self, BufRead, Write},
    sync::atomic::AtomicBool,
    time::Instant,
};

/// Reads the case, then a number of steps for each round, and answers each line, as `bench/peer.py` does.
pub(crate) fn run() -> Result<(), BenchError> {
    let mut lines = io::stdin().lock().lines();
    let ended = || BenchError::Ended { side: "calling" };
    let case: Case = read(&lines.next().ok_or_else(ended)??)?;
    init_torch();
    warm_up(&case)?;
    let before = status("VmRSS:")?;
    let options = Options {
        place: Place::Cpu,
        compute: case.kind.compute(),
        micro_batch: case.batch,
        threads: case.threads,
        recompute: case.recompute.setting(),
    };
    let mut model = Model::new(case.spec, options)?;
    model.initialize(&[7; 32])?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    answer(&Ready { version, parameters: case.spec.parameters() })?;
    let mut numbers = Numbers(1);
    let mut first = 0;
    for line in lines {
        let steps: u32 = read(&line?)?;
        let batches: Vec<_> = (0..steps).map(|_| numbers.batch(&case)).collect();
        let started = Instant::now();
        let trained = model.train(&case.train(steps), first, batches, &AtomicBool::new(false))?;
        let seconds = started.elapsed().as_secs_f64();
        first += u64::from(steps);
        answer(&Round { seconds, loss: trained.steps.last().map_or(f64::NAN, |step| step.loss) })?;
    }
    answer(&Memory { peak: status("VmHWM:")?.saturating_sub(before) })
}

/// Computes a loss with a model of one word, so that libtorch's own memory is there before the measurement.
fn warm_up(case: &Case) -> Result<(), BenchError> {
    let spec = protocol::model::ModelSpec { vocab: 2, layers: 1, hidden: 64, ffn: 64, ..case.spec };
    let model = Model::new(spec, Options { place: Place::Cpu, ..Options::default() })?;
    model.loss(&Batch::new(vec![1; 8], 8).map_err(engine::EngineError::from)?)?;
    Ok(())
}

/// Pseudorandom tokens.
struct Numbers(u64);

impl Numbers {
    fn batch(&mut self, case: &Case) -> Result<Batch, ShardError> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((self.0 >> 33) % u64::from(case.spec.vocab)).unwrap_or_default()
        };
        let tokens = (0..case.tokens()).map(|_| next()).collect();
        Ok(Batch::new(tokens, case.spec.sequence as usize)?)
    }
}

fn read<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, BenchError> {
    serde_json::from_str(line).map_err(|source| BenchError::Answer { side: "calling", source })
}

fn answer(value: &impl Serialize) -> Result<(), BenchError> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::json!(value))?;
    Ok(output.flush()?)
}

/// Reads a size of this process in bytes.
fn status(name: &str) -> Result<u64, BenchError> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    Ok(kilobytes.unwrap_or_default() << 10)
}
