//! `codec-bench`: measures the speed, the size and the error of the codec on this machine, in one run.
//!
//! For each distribution of values, all measurements take turns. Other load on the machine thus affects all
//! of them alike. Compared figures are from the same run. `README.md` explains each figure.

mod distribution;
mod measure;
mod memory;
mod packing;
mod pipeline;
mod report;
mod sender;
mod threads;
#[cfg(feature = "torch")]
mod torch;

use anyhow::Context as _;
use base::Exit;
use clap::Parser;
use cli::{Answer, EXIT_CODES, Failure, Job};
use codec::select::Simd;
use distribution::Distribution;
use report::{Ranges, Report};
use std::{path::PathBuf, process::ExitCode};

/// Values per row of the tensor: the hidden size of large models. Rows this far apart in memory are
/// hard on caches.
const COLUMNS: usize = 8192;

/// Measure the codec on this machine: memory bandwidth, selection, compression, encoding, decoding,
/// aggregation.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Flags {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Use this many rows of 8192 values, a multiple of 64. The default has 64 Mi values.
    #[arg(long, default_value_t = 8192)]
    rows: usize,

    /// Repeat each measurement this many times; the report shows medians.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,

    /// Use this many threads in the measurements with all threads. By default all cores of the machine.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,

    /// Select with these vectors: `portable`, `avx2` or `avx512`. By default the widest of the machine.
    #[arg(long)]
    simd: Option<String>,

    /// Measure this pseudo-gradient instead of the built-in recording: f32, little endian, row after row.
    #[arg(long)]
    dump: Option<PathBuf>,

    /// Read rows of this many values from the dump.
    #[arg(long, default_value_t = COLUMNS)]
    dump_columns: usize,
}

fn main() -> ExitCode {
    cli::run_program(|flags: Flags, _| Ok(Job::command(async { run(flags) })))
}

fn run(flags: Flags) -> Result<Answer, Failure> {
    let json = flags.json;
    let report = Bench::new(flags).and_then(|bench| bench.run()).map_err(Failure::usage)?;
    let text = if json { format!("{:#}", serde_json::json!(report)) } else { report.to_string() };
    Ok(Answer::new(text, if report.verified { Exit::Good } else { Exit::Failed }))
}

/// One run of the program.
struct Bench {
    flags: Flags,
    threads: usize,
    simd: Simd,
}

impl Bench {
    fn new(flags: Flags) -> anyhow::Result<Self> {
        anyhow::ensure!(flags.rows > 0 && flags.rows.is_multiple_of(64), "--rows must be a multiple of 64");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = flags.threads.map_or(cores, |threads| threads as usize);
        let simd = match &flags.simd {
            None => Simd::best(),
            Some(name) => Simd::available()
                .into_iter()
                .find(|simd| simd.name() == name)
                .with_context(|| format!("--simd {name}: this machine has no such vectors"))?,
        };
        Ok(Self { flags, threads, simd })
    }

    fn run(&self) -> anyhow::Result<Report> {
        let mut report = Report::new(self.simd, self.threads, self.flags.repetitions);
        for distribution in Distribution::DRAWN {
            let values = distribution.draw(self.flags.rows, COLUMNS, self.threads);
            self.measure(distribution.name(), values, COLUMNS, &mut report)?;
        }
        let (values, columns) = match &self.flags.dump {
            None => (distribution::recorded(self.flags.rows, COLUMNS), COLUMNS),
            Some(path) => {
                let columns = self.flags.dump_columns;
                let values = distribution::read(path, columns).with_context(|| path.display().to_string())?;
                (values, columns)
            }
        };
        self.measure("recorded", values, columns, &mut report)?;
        Ok(report)
    }

    /// Takes all measurements on values of one distribution, with one thread and with all threads.
    fn measure(
        &self,
        name: &'static str,
        values: Vec<f32>,
        columns: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let checked = pipeline::Checked::new(&values, columns, self.simd, self.threads)?;
        report.verified &= checked.verified;
        let mut things = measure::Things::new(values, &checked, self.simd);
        let mut of = |threads| {
            let ranges: Ranges = things.ranges(threads, self.flags.repetitions);
            ranges
        };
        let (one, all) = (of(1), of(self.threads));
        report.add(name, &checked, one, all);
        Ok(())
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
