//! The program `sim`: runs histories of a network in virtual time.

use base::Exit;
use clap::{Parser, Subcommand};
use cli::{Answer, Failure, Job};
use link::Link;
use sim::{Fault, ProfileName, Profiles, Scenario, Totals, minimal, run_all};
use std::{ops::Range, process::ExitCode, str::FromStr};

/// Runs histories of a network in virtual time, with the shipped state machines and rules.
///
/// One seed gives one history, on every machine. Without other flags the seed also chooses the size of the
/// network, the run and the faults. If an invariant is broken, the program prints a smaller history that
/// breaks it, its last events and the command that repeats it.
#[derive(Debug, Parser)]
#[command(name = "sim", version, after_help = EXITS)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunFlags,
}

const EXITS: &str = "Exit codes: 0 no invariant is broken, 1 one is broken, 2 wrong flags.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print this reference as Markdown.
    Reference,
}

#[derive(Debug, clap::Args)]
struct RunFlags {
    /// Run the history of this seed.
    #[arg(long, default_value_t = 0, conflicts_with = "seeds")]
    seed: u64,

    /// Run the histories of these seeds, written as 0..1000: without the last one.
    #[arg(long)]
    seeds: Option<Seeds>,

    /// Number of windows of each history.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    windows: Option<u32>,

    /// Number of validators.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2048))]
    validators: Option<u32>,

    /// Number of miners.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2048))]
    miners: Option<u32>,

    /// Run whose deadlines, sizes and times apply.
    #[arg(long)]
    profile: Option<ProfileName>,

    /// Windows between training and application; by default those of the run. With 1, training takes all
    /// of a window.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=1))]
    staleness: Option<u8>,

    /// Blocks of a window; by default the run's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    blocks: Option<u32>,

    /// Fault, as KIND or KIND=SHARE with a share from 0 to 1; `none` for no fault. Can be repeated.
    #[arg(long = "fault", value_name = "KIND[=SHARE]")]
    faults: Vec<String>,

    /// Kill each process at random once in this number of windows.
    #[arg(long, value_name = "WINDOWS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    kill_every: Option<u32>,

    /// Line of a miner: rates up and down, round-trip time, loss, written as 110/500mbit,40ms,0.1%.
    #[arg(long)]
    link: Option<Link>,

    /// Number of threads; by default one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Report violations as they are, without a search for a smaller history.
    #[arg(long)]
    no_shrink: bool,
}

/// A range of seeds.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |(first, end): (&str, &str)| Some(first.parse().ok()?..end.parse().ok()?);
        let range = text.split_once("..").and_then(parse).filter(|range| !range.is_empty());
        range.map(Self).ok_or_else(|| format!("`{text}` is not a range of seeds: write it like 0..1000"))
    }
}

fn main() -> ExitCode {
    cli::run_program(|flags: Flags, _| match flags.command {
        Some(Command::Reference) => {
            Ok(Job::answer(cli::reference(&<Flags as clap::CommandFactory>::command())))
        }
        None => Ok(Job::command(async move { run(&flags.run) })),
    })
}

fn run(flags: &RunFlags) -> Result<Answer, Failure> {
    let profiles = Profiles::read().map_err(Failure::failed)?;
    let faults = faults(flags)?;
    let seeds = flags.seeds.as_ref().map_or(flags.seed..flags.seed + 1, |seeds| seeds.0.clone());
    let scenario = |seed| scenario(flags, faults.as_deref(), seed);
    let threads = flags.threads.map_or_else(cores, usize::from);
    let totals = run_all(seeds, threads, &profiles, scenario).map_err(Failure::usage)?;
    let exit = if totals.violations == 0 { Exit::Good } else { Exit::Failed };
    let text = if flags.json { json(&totals)? } else { totals.to_string() };
    let shown = totals.first.as_ref().filter(|_| !flags.no_shrink);
    let Some(first) = shown else { return Ok(Answer::new(text, exit)) };
    let report = minimal(first, &profiles).map_err(Failure::usage)?;
    if flags.json {
        eprintln!("{report}");
        Ok(Answer::new(text, exit))
    } else {
        Ok(Answer::new(format!("{report}\n\n{text}"), exit))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the faults of the command line; `None` if the seed chooses them.
fn faults(flags: &RunFlags) -> Result<Option<Vec<Fault>>, Failure> {
    let named = flags.faults.iter().filter(|text| *text != "none");
    let mut faults =
        named.map(|text| text.parse()).collect::<Result<Vec<Fault>, _>>().map_err(Failure::usage)?;
    if let Some(windows) = flags.kill_every {
        faults.push(Fault { kind: sim::Kind::Kill, share: 1000 / windows });
    }
    faults.sort_unstable();
    Ok((!flags.faults.is_empty() || flags.kill_every.is_some()).then_some(faults))
}

fn scenario(flags: &RunFlags, faults: Option<&[Fault]>, seed: u64) -> Scenario {
    let drawn = Scenario::draw(seed);
    // A profile that is asked for has its own staleness.
    let staleness = if flags.profile.is_some() { None } else { drawn.staleness };
    Scenario {
        seed,
        windows: flags.windows.unwrap_or(drawn.windows),
        validators: flags.validators.unwrap_or(drawn.validators),
        miners: flags.miners.unwrap_or(drawn.miners),
        profile: flags.profile.unwrap_or(drawn.profile),
        staleness: flags.staleness.or(staleness),
        blocks: flags.blocks,
        link: flags.link.unwrap_or(drawn.link),
        faults: faults.map_or(drawn.faults, <[Fault]>::to_vec),
    }
}

fn json(totals: &Totals) -> Result<String, Failure> {
    serde_json::to_string(totals).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        cli::check_reference(&<Flags as clap::CommandFactory>::command(), &page).unwrap();
    }

    #[test]
    fn ranges_of_seeds() {
        assert_eq!("3..5".parse::<Seeds>().unwrap().0, 3..5);
        for wrong in ["3", "5..3", "..", "a..b"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
