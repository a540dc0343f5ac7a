//! `attacks`: measures the pay of dishonest miners, and the damage that they do.
//!
//! It runs whole networks in one process, with real training on a small model: honest miners, miners of one
//! kind, a validator with the shipped rules of screen, scoring and acceptance, and the shipped outer step.
//! Each kind is compared with the same network without it. Chain and buckets are left out: they are the
//! subject of the simulator and of development networks.
//!
//! [`strategy`] has the ways of miners, [`kinds`] the list of kinds, [`network`] the loop of windows.

mod experiment;
mod kinds;
mod lab;
mod network;
mod panel;
mod pay;
mod random;
mod report;
mod strategy;
mod validator;
mod values;

#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use cli::{Answer, EXIT_CODES, Failure, Job};
use codec::sparse::Aggregation;
use experiment::Plan;
use kinds::Kind;
use lab::Lab;
use protocol::run_spec::RunFile;
use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

/// Windows and seeds of `--quick`. With them, all kinds take less than 10 minutes on two cores.
const QUICK: (u32, u32) = (30, 1);
/// Windows and seeds by default.
const FULL: (u32, u32) = (100, 3);

/// Measure the pay of dishonest miners, and the damage that they do, in networks with real training
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Flags {
    /// Try all kinds in fewer windows and with one seed: at most 10 minutes on two cores.
    #[arg(long)]
    quick: bool,

    /// Try only these kinds. By default all.
    #[arg(long = "kind", value_name = "LIST", value_delimiter = ',')]
    kinds: Vec<String>,

    /// Play this many windows. By default 100, or 30 with `--quick`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(6..))]
    windows: Option<u32>,

    /// Repeat with this many seeds: other parameters, keys and data. By default 3, or 1 with `--quick`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,

    /// Begin with this seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_seed: u64,

    /// Play with this many honest miners.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    honest: u32,

    /// Give each kind this many hotkeys. By default the number in the list of kinds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    hostile: Option<u32>,

    /// Compare the proof on these numbers of sequences of each update, assigned and unassigned ones. Pay
    /// follows from the largest.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(16..=1024))]
    sequences: Vec<u16>,

    /// Aggregate updates by this rule: mean, sender-mean or shrunk=N. By default the run's.
    #[arg(long, value_name = "RULE", value_parser = aggregation)]
    aggregation: Option<Aggregation>,

    /// Change the rate of the outer step.
    #[arg(long, value_name = "RATE")]
    outer_lr: Option<f32>,

    /// Train this run. By default the laboratory's small model, with the rules of the tiny run.
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,

    /// Train on these texts: a file, or a folder of files. By default those of `deploy/dev/corpus/setup`.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    /// Keep the prepared dataset in this folder. By default in the system's folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Use this many threads. By default as many as there are cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    cli::run_program(|flags: Flags, _| Ok(Job::command(async move { run(&flags) }).with_filter("info")))
}

fn run(flags: &Flags) -> Result<Answer, Failure> {
    let kinds = flags.chosen().map_err(Failure::usage)?;
    let lab = flags.lab().map_err(Failure::usage)?;
    let report = experiment::run(&lab, &kinds, &flags.plan()).map_err(Failure::failed)?;
    let text = if flags.json { format!("{:#}", serde_json::json!(report)) } else { report.to_string() };
    Ok(text.into())
}

impl Flags {
    /// Returns the kinds to try.
    fn chosen(&self) -> Result<Vec<Kind>> {
        let all = kinds::all();
        for name in &self.kinds {
            let known = || all.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            ensure!(all.iter().any(|kind| kind.name == name), "--kind {name}: the kinds are {}", known());
        }
        let chosen = |kind: &Kind| self.kinds.is_empty() || self.kinds.iter().any(|name| name == kind.name);
        Ok(all.into_iter().filter(chosen).collect())
    }

    /// Opens the laboratory.
    fn lab(&self) -> Result<Lab> {
        let mut run = match &self.run {
            None => lab::small_run()?,
            Some(path) => {
                let read = || format!("--run {}", path.display());
                RunFile::parse(&fs::read_to_string(path).with_context(read)?).with_context(read)?
            }
        };
        run.sparse.aggregation = self.aggregation.unwrap_or(run.sparse.aggregation);
        run.sparse.outer_lr = self.outer_lr.unwrap_or(run.sparse.outer_lr);
        run.sparse.check()?;
        if let Some(most) = self.sequences.iter().max() {
            let trained = run.train.samples();
            ensure!(
                u64::from(*most) <= trained,
                "--sequences {most}: a miner of this run trains on {trained} sequences in a window"
            );
            run.scoring = lab::with_sequences(run.scoring, *most);
        }
        let texts = self.data.clone().map_or_else(default_texts, Ok)?;
        let cache = self.cache.clone().unwrap_or_else(|| std::env::temp_dir().join("muster-attacks"));
        Lab::open(run, &texts, &cache)
    }

    /// Returns the size of the suite.
    fn plan(&self) -> Plan {
        let (windows, seeds) = if self.quick { QUICK } else { FULL };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Plan {
            honest: self.honest,
            hostile: self.hostile,
            windows: self.windows.unwrap_or(windows).into(),
            first_seed: self.first_seed,
            seeds: self.seeds.unwrap_or(seeds).into(),
            threads: self.threads.map_or_else(cores, usize::from),
            sequences: self.sequences.clone(),
        }
    }
}

/// Returns the folder of the default texts. The script downloads them at the first call.
fn default_texts() -> Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/setup");
    let output = Command::new(script)
        .output()
        .with_context(|| format!("cannot run {script}: give texts with --data"))?;
    ensure!(
        output.status.success(),
        "{script} failed: give texts with --data. {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Parses a rule of aggregation.
fn aggregation(text: &str) -> Result<Aggregation, String> {
    match text.split_once('=') {
        None if text == "mean" => Ok(Aggregation::Mean),
        None if text == "sender-mean" => Ok(Aggregation::SenderMean),
        Some(("shrunk", least)) => least.parse().map(Aggregation::Shrunk).map_err(|error| error.to_string()),
        _ => Err("it must be mean, sender-mean or shrunk=N".to_owned()),
    }
}
