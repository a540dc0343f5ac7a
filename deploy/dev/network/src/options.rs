//! The command line options of `devnet up` and `devnet replay`.

use crate::{faults::Fault, roster::Kind};
use clap::{Args, ValueEnum as _};
use link::Link;
use std::{path::PathBuf, str::FromStr, time::Duration};

/// The maximum number of nodes: each has a process and a bucket on this one machine.
pub const MOST_NODES: usize = 64;

/// The maximum of `--finality-lag`. Transactions live for 64 blocks, and must become final before.
const MOST_LAG: i64 = 50;

/// The form in which the chain takes weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// As commits that the chain reveals in the next epoch.
    #[default]
    Timelocked,
    /// As commits of hashes, which validators reveal in the next epoch.
    Hash,
    /// Openly.
    Open,
}

/// The default time between two blocks. Nodes that act at once follow blocks at this pace.
const PACED_BLOCK: Duration = Duration::from_millis(100);

/// The default time between two blocks with `--real-time`. On two cores, with the default numbers of nodes,
/// the slowest act of a `tiny` run needs at most two thirds of its time with it.
const REAL_TIME_BLOCK: Duration = Duration::from_millis(1300);

/// The number of round trips that a node may need for a block: for its state, an object, its key. With
/// `--link`, blocks are longer by as much.
const ROUND_TRIPS: u32 = 10;

/// A whole network on one machine.
#[derive(Debug, clap::Parser)]
#[command(name = "devnet", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
pub struct Program {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of devnet.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start a network, run it to its end, audit it, and write a report.
    Up(Box<Up>),
    /// Recompute all windows of a kept run from its chain log and its buckets.
    Replay(Replay),
}

/// Options of `devnet up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Start this many honest miners.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub miners: u16,
    /// Start this many validators, each with less stake than the one before.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub validators: u16,
    /// Run this many windows.
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub windows: u32,
    /// Add dishonest miners of a kind: noise, lazy, late, huge, stale, garbage, copycat, mixcopy or
    /// keyless. May be given several times.
    #[arg(long, value_name = "KIND=COUNT")]
    pub adversary: Vec<Band>,
    /// Start one more honest miner when this window begins.
    #[arg(long, value_name = "WINDOW")]
    pub join_at: Option<u64>,
    /// Train on this text: a file, or a folder of files. Documents of Markdown files end at `###` headings.
    #[arg(long, value_name = "PATH", env = "MUSTER_DEVNET_DATA")]
    pub data: PathBuf,
    /// Use this run spec instead of the built-in `deploy/runs/tiny.toml`.
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Exit with 1 if an assertion fails, or with 5 if `states` or `audit` fails.
    #[arg(long)]
    pub assert: bool,
    /// Write the report (JSON) to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep the run folder: chain log, buckets, wallets, logs. A run that fails always keeps it.
    #[arg(long)]
    pub keep: bool,
    /// Use this run folder, which must be new or empty. Default: a new folder in the user's cache.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Kill a random process (`kill -9`) at a random instant this many times, and start it again at once.
    #[arg(long, value_name = "N", default_value = "0")]
    pub kill: u32,
    /// Inject a fault. After the act of a dishonest owner an assertion must fail; a fault of the network
    /// must not harm the run. May be given several times.
    #[arg(long, value_name = "KIND", value_enum)]
    pub fault: Vec<Fault>,
    /// Derive keys, initial parameters and all random choices from this number.
    #[arg(long, value_name = "N", default_value = "42")]
    pub seed: u64,
    /// Seal a block every MS milliseconds while the chain waits for no node. Default: 100, or 1300 with
    /// `--real-time`. With `--link`, ten round trips more.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub block_ms: Option<u64>,
    /// Hold no block for a node: a node that is late misses the deadline, as on a real chain.
    #[arg(long)]
    pub real_time: bool,
    /// Take weights in this form.
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub weights: Weights,
    /// Make blocks final N blocks late, and make the run for this lag. Default: the lag that the run spec
    /// names.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MOST_LAG))]
    pub finality_lag: Option<u32>,
    /// Put each node behind a line of its own, written as 110/500mbit,40ms,0.1%: rates up and down,
    /// round-trip time, loss.
    #[arg(long)]
    pub link: Option<Link>,
    /// Let each node serve metrics on this port plus its uid.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub metrics: Option<u16>,
    /// Hold blocks for at most this many seconds for a node that does not act.
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
}

/// Options of `devnet replay`.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// Replay the run in this folder, kept with `--keep`.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}

/// A number of adversaries of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// The kind.
    pub kind: Kind,
    /// The number of adversaries.
    pub count: u16,
}

/// A text that is not `KIND=COUNT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not KIND=COUNT: KIND is {kinds}, COUNT 1 to 32", kinds = Kind::names())]
pub struct BandError(String);

/// Options that cannot be combined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// More than [`MOST_NODES`] nodes.
    #[error("cannot run {0} nodes on one machine: the limit is {MOST_NODES}")]
    TooMany(usize),
    /// A joiner that would never start.
    #[error("--join-at {join_at} is not one of the windows 0 to {last}")]
    JoinAt {
        /// The window of `--join-at`.
        join_at: u64,
        /// The last window of the run.
        last: u32,
    },
    /// Too few nodes for a fault.
    #[error("--fault {fault} needs --validators {validators} or more, and --miners {miners} or more")]
    TooFew {
        /// The name of the fault.
        fault: String,
        /// The smallest number of validators.
        validators: u16,
        /// The smallest number of honest miners.
        miners: u16,
    },
    /// A run that is too short for a fault.
    #[error("--fault {fault} needs --windows {least} or more, not {windows}")]
    TooShort {
        /// The name of the fault.
        fault: String,
        /// The smallest number of windows.
        least: u32,
        /// The number of windows of the run.
        windows: u32,
    },
}

impl FromStr for Band {
    type Err = BandError;

    fn from_str(text: &str) -> Result<Self, BandError> {
        let wrong = || BandError(text.chars().take(40).collect());
        let (kind, count) = text.split_once('=').ok_or_else(wrong)?;
        let kind = kind.parse().map_err(|_| wrong())?;
        let count = count.parse().ok().filter(|count| (1..=32).contains(count)).ok_or_else(wrong)?;
        Ok(Self { kind, count })
    }
}

impl Up {
    /// Returns the time between two blocks while the chain waits for no node.
    #[must_use]
    pub fn block_time(&self) -> Duration {
        let default = if self.real_time { REAL_TIME_BLOCK } else { PACED_BLOCK };
        let round_trips = self.link.map_or(Duration::ZERO, |link| link.round_trip() * ROUND_TRIPS);
        self.block_ms.map_or(default + round_trips, Duration::from_millis)
    }

    /// Checks whether the options can be combined, before any file is written.
    ///
    /// # Errors
    /// Too many nodes, a joiner that would never start, or a fault for which the run has too few windows or
    /// nodes.
    pub fn check(&self) -> Result<(), OptionsError> {
        let adversaries: usize = self.adversary.iter().map(|band| usize::from(band.count)).sum();
        let nodes = usize::from(self.miners) + usize::from(self.validators) + adversaries;
        if nodes > MOST_NODES {
            return Err(OptionsError::TooMany(nodes));
        }
        if let Some(fault) = self.fault.iter().find(|fault| fault.least_windows() > self.windows) {
            let (least, windows) = (fault.least_windows(), self.windows);
            return Err(OptionsError::TooShort { fault: name(*fault), least, windows });
        }
        for fault in &self.fault {
            let (validators, miners) = fault.least_nodes();
            if self.validators < validators || self.miners < miners {
                return Err(OptionsError::TooFew { fault: name(*fault), validators, miners });
            }
        }
        match self.join_at {
            Some(join_at) if join_at >= u64::from(self.windows) => {
                Err(OptionsError::JoinAt { join_at, last: self.windows - 1 })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the name of a fault on the command line.
fn name(fault: Fault) -> String {
    fault.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        up: Up,
    }

    fn parse(line: &str) -> Up {
        let words = ["devnet", "--data", "texts"].into_iter().chain(line.split_whitespace());
        Program::try_parse_from(words).unwrap().up
    }

    #[test]
    fn each_adversary_option_is_parsed() {
        let up = parse("--adversary noise=2 --adversary late=1");
        let band = |kind, count| Band { kind, count };
        assert_eq!(up.adversary, [band(Kind::Noise, 2), band(Kind::Late, 1)]);
        for wrong in ["noise", "noise=", "noise=0", "noise=33", "nice=1", "=1"] {
            let error = wrong.parse::<Band>().unwrap_err().to_string();
            assert!(error.contains("noise, lazy, late, huge, stale, garbage, copycat"), "{error}");
        }
    }

    #[test]
    fn blocks_are_longer_in_real_time_and_behind_links() {
        assert_eq!(parse("").block_time(), PACED_BLOCK);
        assert_eq!(parse("--real-time").block_time(), REAL_TIME_BLOCK);
        assert_eq!(parse("--link 110/500mbit,40ms,0.1%").block_time(), Duration::from_millis(500));
        assert_eq!(parse("--real-time --block-ms 700").block_time(), Duration::from_millis(700));
    }

    #[test]
    fn options_that_cannot_be_combined_are_refused() {
        assert_eq!(parse("").check(), Ok(()));
        let error = parse("--windows 4 --join-at 4").check().unwrap_err();
        assert_eq!(error.to_string(), "--join-at 4 is not one of the windows 0 to 3");
        let error = parse("--windows 5 --fault lagging-finality").check().unwrap_err();
        assert_eq!(error.to_string(), "--fault lagging-finality needs --windows 6 or more, not 5");
        assert_eq!(parse("--windows 6 --fault lagging-finality").check(), Ok(()));
        let error = parse("--validators 2 --fault majority-gone").check().unwrap_err().to_string();
        assert_eq!(error, "--fault majority-gone needs --validators 3 or more, and --miners 1 or more");
        let crowd = parse("--miners 32 --adversary noise=32").check();
        assert_eq!(crowd, Err(OptionsError::TooMany(67)));
    }
}
