//! The launch of a run: what its file leaves out is filled in.

use base::{Height, digest::RunSeed};
use protocol::run_spec::{RunFile, RunSpecError};
use std::{io, path::Path};

/// The run that a network trains unless told otherwise.
pub(crate) const TINY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runs/tiny.toml"));

/// Blocks before a run in which nobody has to act; the assignment of window 0 is seeded by one of them.
const QUIET: u64 = 20;

/// The first block of window 0. Before it everybody announces a bucket, at worst each in a block of its own.
pub(crate) fn start(nodes: usize) -> Height {
    Height(QUIET + nodes as u64)
}

/// The run's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// It cannot be read.
    #[error("--spec: {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is none.
    #[error(transparent)]
    Spec(#[from] RunSpecError),
}

/// The run's template, with so many windows.
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
