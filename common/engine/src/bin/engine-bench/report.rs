//! The rows of the report, as JSON and as a table.

use crate::{
    case::{Case, Kind, ModelName, Recompute},
    child::{BenchError, Side},
};
use serde::Serialize;
use std::{
    fmt::{self, Display, Formatter},
    path::Path,
};

/// The results of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The results of each case.
    pub(crate) rows: Vec<Row>,
}

/// The result of a case.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    model: ModelName,
    threads: u32,
    kind: Kind,
    recompute: Recompute,
    /// Tokens per second of the engine divided by those of PyTorch: the median of all rounds.
    tokens_ratio: f64,
    /// Peak memory of the engine divided by that of PyTorch.
    memory_ratio: f64,
    engine: Figures,
    torch: Figures,
}

/// The figures of one side.
#[derive(Debug, Serialize)]
struct Figures {
    /// The median of all rounds.
    tokens_per_second: f64,
    /// The highest memory above that of the libraries, in bytes.
    peak: u64,
    /// The loss of the last step, in nats per target.
    loss: f64,
}

impl Row {
    /// Measures a case: rounds of this number of steps on both sides in turn.
    pub(crate) fn measure(case: &Case, python: &Path, steps: u32, rounds: u32) -> Result<Self, BenchError> {
        let (mut torch, torch_ready) = Side::torch(python, case)?;
        let (mut engine, engine_ready) = Side::engine(case)?;
        let (ours, theirs) = (engine_ready.parameters, torch_ready.parameters);
        if ours != theirs {
            return Err(BenchError::Parameters { engine: ours, torch: theirs });
        }
        engine.round(steps)?;
        torch.round(steps)?;
        let mut sides = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            sides[0].push(engine.round(steps)?);
            sides[1].push(torch.round(steps)?);
        }
        let ratios = sides[0].iter().zip(&sides[1]).map(|(ours, theirs)| theirs.seconds / ours.seconds);
        let tokens_ratio = median(ratios.collect());
        let peaks = [engine.finish()?, torch.finish()?];
        let tokens = f64::from(case.tokens() * steps);
        let figures = |side: usize| Figures {
            tokens_per_second: median(sides[side].iter().map(|round| tokens / round.seconds).collect()),
            peak: peaks[side],
            loss: sides[side].last().map_or(f64::NAN, |round| round.loss),
        };
        Ok(Self {
            model: case.model,
            threads: case.threads,
            kind: case.kind,
            recompute: case.recompute,
            tokens_ratio,
            memory_ratio: ratio(peaks[0], peaks[1]),
            engine: figures(0),
            torch: figures(1),
        })
    }
}

#[allow(clippy::cast_precision_loss)] // Sizes of memory have fewer than 53 bits.
fn ratio(ours: u64, theirs: u64) -> f64 {
    ours as f64 / theirs as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        write!(
            f,
            "{:<6} {:>7} {:<5} {:<9} {:>13.2} {:>13.2} {:>10.0} {:>10.0} {:>9} {:>9}",
            name(serde_json::json!(self.model)),
            self.threads,
            name(serde_json::json!(self.kind)),
            name(serde_json::json!(self.recompute)),
            self.tokens_ratio,
            self.memory_ratio,
            self.engine.tokens_per_second,
            self.torch.tokens_per_second,
            self.engine.peak >> 20,
            self.torch.peak >> 20,
        )
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "model  threads kind  recompute tokens ratio  memory ratio  tokens/s    PyTorch   peak MB   PyTorch"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
