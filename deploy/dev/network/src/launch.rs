//! Prepares the launch of a run: reads the run file and fills in windows and seed.

use crate::{
    faults::{Fault, MajorityGone},
    options::Up,
};
use base::{Height, digest::RunSeed};
use protocol::{
    clock::WindowSpec,
    run_spec::{RunFile, RunSpecError},
};
use std::{io, path::Path};

/// The default run file.
pub(crate) const TINY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runs/tiny.toml"));

/// The number of blocks before a run in which no node has to act. One of them seeds the assignment of
/// window 0.
const QUIET: u64 = 20;

/// Returns the first block of window 0. All nodes announce their buckets before it, at worst one after
/// the other: each announcement needs a block, and `lag` more until it is final.
pub(crate) fn start(nodes: usize, lag: u32) -> Height {
    Height(QUIET + nodes as u64 * (1 + u64::from(lag)))
}

/// A run file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// A file that cannot be read.
    #[error("--spec: cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A file that is not a valid run file.
    #[error(transparent)]
    Spec(#[from] RunSpecError),
    /// A lag for which the lengths of the run file leave no room.
    #[error(
        "--finality-lag {0}: no deadlines can be proposed for this lag: correct the lengths in the run file"
    )]
    Lag(u32),
}

/// Returns the run file for a network: the file of `--spec`, or the default, with the number of windows
/// and the seed of the options. With `--finality-lag`, the run is made for this lag: deadlines that come
/// too soon for it move. With `--fault majority-gone`, silent validators lose their weight within the run.
pub(crate) fn template(up: &Up) -> Result<RunFile, SpecError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|source| SpecError::Read { path: path.display().to_string(), source })
    };
    let text = up.spec.as_deref().map(read).transpose()?;
    let mut file = RunFile::parse(text.as_deref().unwrap_or(TINY))?;
    file.window.count = up.windows;
    if let Some(lag) = up.finality_lag {
        let window = WindowSpec { finality_lag: lag, ..file.window };
        file.window = window.proposed().ok_or(SpecError::Lag(lag))?;
    }
    if up.fault.contains(&Fault::MajorityGone) {
        file.acceptance.electorate_blocks = MajorityGone::ELECTORATE_WINDOWS * file.window.blocks;
    }
    file.initial.seed = RunSeed::of(&[&up.seed.to_le_bytes()]);
    Ok(file)
}

/// Returns the windows of the default run file, for tests.
#[cfg(test)]
pub(crate) fn tiny_window() -> WindowSpec {
    RunFile::parse(TINY).expect("the default run file is valid").window
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

    fn template(line: &str) -> RunFile {
        let words = ["devnet", "--data", "texts"].into_iter().chain(line.split_whitespace());
        super::template(&Program::parse_from(words).up).unwrap()
    }

    #[test]
    fn the_template_takes_windows_and_seed() {
        let (seven, eight) = (template("--windows 3 --seed 7"), template("--windows 3 --seed 8"));
        assert_eq!((seven.window.count, seven.name.as_str()), (3, "tiny"));
        assert_ne!(seven.initial.seed, eight.initial.seed);
        assert_eq!((start(6, 0), start(6, 3)), (Height(26), Height(44)));
    }

    #[test]
    fn the_run_is_made_for_the_lag_of_the_chain() {
        let tiny = tiny_window();
        let with = |line: &str| template(line).window;
        assert_eq!(with(""), tiny, "the default is the lag of the run file");
        assert_eq!(with("--finality-lag 0"), WindowSpec { finality_lag: 0, ..tiny });
        let far = with("--finality-lag 10");
        assert_eq!((far.finality_lag, far.check()), (10, Ok(())));
        assert!(far.votes_close > tiny.votes_close && far.blocks > tiny.blocks);
    }
}
