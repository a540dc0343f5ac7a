//! `engine-bench`: measures the speed and the memory of training beside eager PyTorch, in one run.
//!
//! Both sides train the same model on batches of the same size with the same optimizer. Each is a child
//! process. They take turns, so that other load on the machine affects both alike: one waits while the other
//! computes. Memory is the highest resident memory above that of the loaded libraries. `bench/setup` installs
//! PyTorch.

mod case;
mod child;
mod engine_side;
mod report;

use base::{ErrorChain, Exit};
use case::{Case, Kind, ModelName, Recompute};
use child::{BenchError, check_python};
use clap::Parser;
use report::{Report, Row};
use std::{path::PathBuf, process::ExitCode};

/// Measure training beside eager PyTorch: tokens per second and peak memory.
///
/// Each combination of the given models, threads, number types and settings of recomputation is a row. By
/// default all are measured, which takes about an hour on two cores.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Measure this model. May be given several times.
    #[arg(long, value_enum, value_name = "NAME")]
    model: Vec<ModelName>,

    /// Measure with this number of threads. May be given several times. By default 1 and 2.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Vec<u32>,

    /// Measure with this number type. May be given several times. By default f32, and bf16 if the processor
    /// has instructions for it.
    #[arg(long, value_enum)]
    kind: Vec<Kind>,

    /// Recompute these layers in the backward pass. May be given several times.
    #[arg(long, value_enum)]
    recompute: Vec<Recompute>,

    /// Train this number of steps in each round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,

    /// Measure this number of rounds; a row is the median. One more round before them is not measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Use this Python, which must have PyTorch 2.11. By default the one that bench/setup installs.
    #[arg(long)]
    python: Option<PathBuf>,

    /// Be the engine's child process of a measurement.
    #[arg(long, hide = true)]
    engine_side: bool,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(text) => {
            print!("{text}");
            Exit::Good.into()
        }
        Err(error) => {
            eprintln!("engine-bench: {}", ErrorChain(&error));
            Exit::Failed.into()
        }
    }
}

fn run(flags: &Flags) -> Result<String, BenchError> {
    if flags.engine_side {
        return engine_side::run().map(|()| String::new());
    }
    let python = flags.python.clone().map_or_else(child::default_python, Ok)?;
    check_python(&python)?;
    let mut report = Report::default();
    for case in cases(flags) {
        let row = Row::measure(&case, &python, flags.steps, flags.rounds)?;
        eprintln!("{row}");
        report.rows.push(row);
    }
    Ok(if flags.json { format!("{:#}\n", serde_json::json!(report)) } else { report.to_string() })
}

/// Returns all combinations of the flags, or of the defaults.
fn cases(flags: &Flags) -> Vec<Case> {
    let models = or(&flags.model, &[ModelName::Tiny, ModelName::M35, ModelName::M70]);
    let kinds = or(&flags.kind, Kind::of_this_processor());
    let recompute = or(&flags.recompute, &[Recompute::None, Recompute::All]);
    let mut cases = Vec::new();
    for model in models {
        for &threads in &or(&flags.threads, &[1, 2]) {
            for &kind in &kinds {
                cases.extend(recompute.iter().map(|&recompute| Case::new(model, threads, kind, recompute)));
            }
        }
    }
    cases
}

fn or<T: Clone>(given: &[T], default: &[T]) -> Vec<T> {
    if given.is_empty() { default.to_vec() } else { given.to_vec() }
}
