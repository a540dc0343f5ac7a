//! Prepares the launch of a run: reads the run file and fills in windows and seed.

use base::{Height, digest::RunSeed};
use protocol::run_spec::{RunFile, RunSpecError};
use std::{io, path::Path};

/// The default run file.
pub(crate) const TINY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runs/tiny.toml"));

/// The number of blocks before a run in which no node has to act. One of them seeds the assignment of
/// window 0.
const QUIET: u64 = 20;

/// Returns the first block of window 0. All nodes announce their buckets before it, at worst one node
/// per block.
pub(crate) fn start(nodes: usize) -> Height {
    Height(QUIET + nodes as u64)
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
}

/// Returns a run file with this number of windows and this seed: the file at `path`, or the default.
pub(crate) fn template(path: Option<&Path>, windows: u32, seed: u64) -> Result<RunFile, SpecError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|source| SpecError::Read { path: path.display().to_string(), source })
    };
    let text = path.map(read).transpose()?;
    let mut file = RunFile::parse(text.as_deref().unwrap_or(TINY))?;
    file.window.count = windows;
    file.initial.seed = RunSeed::of(&[&seed.to_le_bytes()]);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_takes_windows_and_seed() {
        let (seven, eight) = (template(None, 3, 7).unwrap(), template(None, 3, 8).unwrap());
        assert_eq!((seven.window.count, seven.name.as_str()), (3, "tiny"));
        assert_ne!(seven.initial.seed, eight.initial.seed);
        assert_eq!(start(6), Height(26));
    }
}
