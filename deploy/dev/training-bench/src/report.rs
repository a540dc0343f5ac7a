//! The results of all variants: a table for readers, JSON with all numbers.

use protocol::run_spec::RunFile;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use training_bench::training::{Measured, Own, Variant};

/// The results of a measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The name of the run.
    run: String,
    parameters: u64,
    miners: usize,
    /// The tokens that all miners together train on in a window.
    tokens_per_window: u64,
    /// The sequences whose loss is measured.
    held_out_sequences: usize,
    variants: Vec<Results>,
}

/// The results of one variant of the run.
#[derive(Debug, Serialize)]
struct Results {
    name: String,
    staleness: u8,
    outer_lr: f32,
    own: Own,
    /// By number of windows trained, over all repetitions.
    losses: Vec<Range>,
    repetitions: Vec<Repetition>,
}

/// The mean and range of a loss, in nats per token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Range {
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The results of one seed.
#[derive(Debug, Serialize)]
struct Repetition {
    seed: u64,
    /// The held-out losses, by number of windows trained.
    losses: Vec<f64>,
    /// For each window and miner: the nats per token by which a validator's trial step along the update
    /// lowers the held-out loss.
    gains: Vec<Vec<f64>>,
    /// The state root after the last window.
    state_root: String,
    /// The bytes of a submission, on average.
    submission_bytes: u64,
}

impl Report {
    /// Creates a report without variants.
    pub(crate) fn new(run: &RunFile, steps: &[u32], held_out_sequences: usize) -> Self {
        let samples: u64 = steps.iter().map(|&steps| run.train.samples_of(steps)).sum();
        Self {
            run: run.name.clone(),
            parameters: run.model.parameters(),
            miners: steps.len(),
            tokens_per_window: samples * u64::from(run.train.sequence),
            held_out_sequences,
            variants: Vec::new(),
        }
    }

    /// Adds a variant, and the results of its seeds from the first one.
    pub(crate) fn add(&mut self, variant: &Variant, first_seed: u64, measured: &[Measured]) {
        let repetitions: Vec<_> =
            (first_seed..).zip(measured).map(|(seed, measured)| self.repetition(seed, measured)).collect();
        let windows = measured.first().map_or(0, |measured| measured.losses.len());
        let losses = (0..windows).map(|window| Range::of(measured.iter().map(|m| m.losses[window])));
        self.variants.push(Results {
            name: variant.name.clone(),
            staleness: variant.run.acceptance.staleness,
            outer_lr: variant.run.sparse.outer_lr,
            own: variant.own,
            losses: losses.collect(),
            repetitions,
        });
    }

    fn repetition(&self, seed: u64, measured: &Measured) -> Repetition {
        let windows = measured.losses.len() as u64 - 1;
        Repetition {
            seed,
            losses: measured.losses.clone(),
            gains: measured.gains.clone(),
            state_root: measured.roots.last().map(ToString::to_string).unwrap_or_default(),
            submission_bytes: measured.bytes / (windows * self.miners as u64).max(1),
        }
    }
}

impl Range {
    /// Returns the mean and range of at least one number.
    pub(crate) fn of(numbers: impl Iterator<Item = f64> + Clone) -> Self {
        let (sum, count) =
            numbers.clone().fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
        let min = numbers.clone().fold(f64::INFINITY, f64::min);
        let max = numbers.fold(f64::NEG_INFINITY, f64::max);
        Self { mean: sum / count, min, max }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { run, parameters, miners, tokens_per_window, held_out_sequences, variants } = self;
        writeln!(
            f,
            "{run}: {parameters} parameters, {miners} miners, {tokens_per_window} tokens per window"
        )?;
        let seeds = variants.first().map_or(0, |variant| variant.repetitions.len());
        writeln!(f, "loss on {held_out_sequences} held-out sequences: mean (min to max) of {seeds} seeds")?;
        write!(f, "\n{:>7}", "windows")?;
        variants.iter().try_for_each(|variant| write!(f, "  {:<28}", variant.name))?;
        let windows = variants.iter().map(|variant| variant.losses.len()).max().unwrap_or(0);
        for window in 0..windows {
            write!(f, "\n{window:>7}")?;
            for range in variants.iter().filter_map(|variant| variant.losses.get(window)) {
                write!(f, "  {:<28}", range.to_string())?;
            }
        }
        writeln!(f)
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { mean, min, max } = self;
        write!(f, "{mean:.3} ({min:.3} to {max:.3})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_mean_least_and_most() {
        let range = Range::of([4.0, 1.0, 1.0].into_iter());
        assert_eq!(range, Range { mean: 2.0, min: 1.0, max: 4.0 });
        assert_eq!(range.to_string(), "2.000 (1.000 to 4.000)");
    }
}
