//! What `devnet up` and `devnet replay` are asked to do.

use crate::{faults::Fault, roster::Kind};
use clap::Args;
use std::{path::PathBuf, str::FromStr};

/// The largest network: as many buckets and processes as one machine may still carry.
pub const MOST_NODES: usize = 64;

/// A whole network on one machine.
#[derive(Debug, clap::Parser)]
#[command(name = "devnet", version, arg_required_else_help = true, after_help = base::EXIT_CODES)]
pub struct Program {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What devnet does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start a network, run it to its end, audit it, and report.
    Up(Box<Up>),
    /// Recompute all windows of a run that was kept, from its chain log and its buckets.
    Replay(Replay),
}

/// Options of `devnet up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Honest miners.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub miners: u16,
    /// Validators, of falling stake.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub validators: u16,
    /// Windows of the run.
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub windows: u32,
    /// Dishonest miners besides: noise, lazy, late, huge, stale, garbage, copycat, mixcopy or keyless. May be given several times.
    #[arg(long, value_name = "KIND=COUNT")]
    pub adversary: Vec<Band>,
    /// One more honest miner, which starts when this window begins.
    #[arg(long, value_name = "WINDOW")]
    pub join_at: Option<u64>,
    /// Text to train on: files, or folders of files; documents of Markdown files end at `###` headings.
    #[arg(long, value_name = "PATH", env = "MUSTER_DEVNET_DATA")]
    pub data: PathBuf,
    /// A run spec other than the built-in `deploy/runs/tiny.toml`.
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Check the assertions: whatever is not as it should be makes the exit code 1, disagreement 5.
    #[arg(long)]
    pub assert: bool,
    /// Where to write the report (JSON).
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep the run folder: chain log, buckets, wallets, logs. It is always kept when something went wrong.
    #[arg(long)]
    pub keep: bool,
    /// The run folder. Default: a new one in the user's cache.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// How many times a process is killed (`kill -9`) at a random instant and started again.
    #[arg(long, value_name = "N", default_value = "0")]
    pub kill: u32,
    /// Damage something, as somebody dishonest could; the run must then end red. May be given several times.
    #[arg(long, value_name = "KIND", value_enum)]
    pub fault: Vec<Fault>,
    /// What keys, initial parameters and chance are made from.
    #[arg(long, value_name = "N", default_value = "42")]
    pub seed: u64,
    /// Milliseconds from block to block while nothing is awaited.
    #[arg(long, value_name = "MS", default_value = "100", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub block_ms: u64,
    /// The longest that blocks are held for somebody who does not act, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
}

/// Options of `devnet replay`.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// The run's folder, kept with `--keep`.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}

/// So many adversaries of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub count: u16,
}

/// A text that names no band of adversaries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no KIND=COUNT: KIND is {kinds}, COUNT 1 to 32", kinds = Kind::names())]
pub struct BandError(String);

/// Options that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Too many nodes.
    #[error("{0} nodes are too many for one machine: ask for at most {MOST_NODES}")]
    TooMany(usize),
    /// The joiner would never start.
    #[error("--join-at {join_at} is none of the windows 0 to {last}")]
    JoinAt {
        /// As given.
        join_at: u64,
        /// The last window.
        last: u32,
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
    /// Refuses what cannot work before anything is made.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(&self) -> Result<(), OptionsError> {
        let adversaries: usize = self.adversary.iter().map(|band| usize::from(band.count)).sum();
        let nodes = usize::from(self.miners) + usize::from(self.validators) + adversaries;
        if nodes > MOST_NODES {
            return Err(OptionsError::TooMany(nodes));
        }
        match self.join_at {
            Some(join_at) if join_at >= u64::from(self.windows) => {
                Err(OptionsError::JoinAt { join_at, last: self.windows - 1 })
            }
            _ => Ok(()),
        }
    }
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
    fn bands_of_adversaries_add_up() {
        let up = parse("--adversary noise=2 --adversary late=1");
        let band = |kind, count| Band { kind, count };
        assert_eq!(up.adversary, [band(Kind::Noise, 2), band(Kind::Late, 1)]);
        for wrong in ["noise", "noise=", "noise=0", "noise=33", "nice=1", "=1"] {
            let error = wrong.parse::<Band>().unwrap_err().to_string();
            assert!(error.contains("noise, lazy, late, huge, stale, garbage, copycat"), "{error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert_eq!(parse("").check(), Ok(()));
        let error = parse("--windows 4 --join-at 4").check().unwrap_err();
        assert_eq!(error.to_string(), "--join-at 4 is none of the windows 0 to 3");
        let crowd = parse("--miners 32 --adversary noise=32").check();
        assert_eq!(crowd, Err(OptionsError::TooMany(67)));
    }
}
