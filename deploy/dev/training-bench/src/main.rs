//! `training-bench`: measures the cost of protocol choices in loss.
//!
//! It trains a run with several miners in one process, without a chain and without buckets. Everything else
//! is as in a network: assignments of data, inner steps, error feedback, compression, submissions, the outer
//! step. A choice is a [`Variant`] of the run. All variants start from the same parameters and train on the
//! same data, so their losses can be compared.

mod report;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use cli::{Answer, EXIT_CODES, Failure, Job};
use protocol::run_spec::RunFile;
use report::Report;
use std::{fs, path::PathBuf, process::ExitCode};
use training_bench::{
    TINY,
    dataset::Dataset,
    training::{Own, Training, Variant},
};

/// Measure the cost of protocol choices in loss: train a run with several miners in this process, and
/// print the loss on held-out text by window.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Flags {
    /// Train this run. By default the tiny run.
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,

    /// Train on these texts: a file, or a folder of files. `deploy/dev/corpus/setup` prints one.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,

    /// Keep the prepared dataset in this folder. By default in the system's folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Train with this many miners.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    miners: u32,

    /// Let the miners make these numbers of inner steps in each window, one number for each miner. By default
    /// all make all.
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "miners")]
    steps: Vec<u32>,

    /// Train this many windows. By default as many as the run has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    windows: Option<u32>,

    /// Repeat each training with this many seeds: other initial parameters, keys and data.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,

    /// Begin with this seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_seed: u64,

    /// Compare these numbers of windows between training and application.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1")]
    staleness: Vec<u8>,

    /// Compare these rates of the outer step, each with each staleness. By default only the run's.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    outer_lr: Vec<f32>,

    /// Compare these ways to go on from an own update while it is exchanged. With staleness 0 none is in
    /// exchange.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "none")]
    own: Vec<Own>,

    /// Change the width of the model. The number of heads follows; there is one key and value head for each
    /// query head.
    #[arg(long, value_name = "N")]
    hidden: Option<u32>,

    /// Change the number of layers of the model.
    #[arg(long, value_name = "N")]
    layers: Option<u32>,

    /// Change the width of the model's feed-forward layers.
    #[arg(long, value_name = "N")]
    ffn: Option<u32>,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    cli::run_program(|flags: Flags, _| Ok(Job::command(async move { run(&flags) }).with_filter("info")))
}

fn run(flags: &Flags) -> Result<Answer, Failure> {
    let run = flags.read().map_err(Failure::usage)?;
    let variants = flags.variants(&run).map_err(Failure::usage)?;
    let cache = flags.cache.clone().unwrap_or_else(|| std::env::temp_dir().join("muster-training-bench"));
    let dataset = Dataset::open(&flags.data, &cache, &run).map_err(Failure::usage)?;
    let report = measure(flags, &run, &variants, &dataset).map_err(Failure::failed)?;
    let text = if flags.json { format!("{:#}", serde_json::json!(report)) } else { report.to_string() };
    Ok(text.into())
}

/// Trains all variants of a run with all seeds. A seed trains all variants in turn, so the log of a long
/// measurement can be compared early.
fn measure(flags: &Flags, run: &RunFile, variants: &[Variant], dataset: &Dataset) -> Result<Report> {
    let windows = u64::from(flags.windows.unwrap_or(run.window.count));
    let steps = match &flags.steps[..] {
        [] => vec![run.train.inner_steps; flags.miners as usize],
        steps => steps.to_vec(),
    };
    let mut measured = vec![Vec::new(); variants.len()];
    for seed in flags.first_seed..flags.first_seed.saturating_add(flags.seeds.into()) {
        for (variant, measured) in variants.iter().zip(&mut measured) {
            let training = Training::new(variant, dataset, seed, &steps);
            let result = training.and_then(|training| training.run(windows));
            measured.push(result.with_context(|| format!("{}, seed {seed}", variant.name))?);
        }
    }
    let mut report = Report::new(run, &steps, dataset.held_out.sequences());
    for (variant, measured) in variants.iter().zip(&measured) {
        report.add(variant, flags.first_seed, measured);
    }
    Ok(report)
}

impl Flags {
    /// Reads the run, and changes its model as the flags say.
    fn read(&self) -> Result<RunFile> {
        let text = match &self.run {
            None => TINY.to_owned(),
            Some(path) => fs::read_to_string(path).with_context(|| format!("--run {}", path.display()))?,
        };
        let mut run = RunFile::parse(&text)?;
        let model = &mut run.model;
        if let Some(hidden) = self.hidden {
            let width = model.head_dim;
            ensure!(
                hidden.is_multiple_of(width),
                "--hidden {hidden}: give a multiple of {width}, the width of a head"
            );
            model.hidden = hidden;
            (model.heads, model.kv_heads) = (hidden / width, hidden / width);
        }
        model.layers = self.layers.unwrap_or(model.layers);
        model.ffn = self.ffn.unwrap_or(model.ffn);
        model.check()?;
        Ok(run)
    }

    /// Returns the choices to compare. A new choice to measure is one more flag, and one more change here.
    fn variants(&self, run: &RunFile) -> Result<Vec<Variant>> {
        let own = [run.sparse.outer_lr];
        let rates = if self.outer_lr.is_empty() { &own[..] } else { &self.outer_lr };
        let mut variants = Vec::new();
        for &staleness in &self.staleness {
            let ways = if staleness == 0 { &[Own::None][..] } else { &self.own };
            for (&own, &rate) in ways.iter().flat_map(|own| rates.iter().map(move |rate| (own, rate))) {
                let mut run = run.clone();
                (run.acceptance.staleness, run.sparse.outer_lr) = (staleness, rate);
                run.sparse.check()?;
                let name = match own {
                    Own::None => format!("staleness {staleness}, rate {rate}"),
                    Own::Sent => format!("staleness {staleness} sent, rate {rate}"),
                    Own::Whole => format!("staleness {staleness} whole, rate {rate}"),
                };
                variants.push(Variant { name, run, own });
            }
        }
        Ok(variants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        cli::check_reference(&Flags::command(), &page).unwrap();
    }
}
