//! The launch of a run: what its file leaves out is filled in.

use common::{
    BlockHash, Height,
    digest::{RunSeed, StateRoot},
    model::{Layout, ModelSpec},
    run_spec::{RunFile, RunSpec, RunSpecError},
};
use data::Report;
use std::{io, path::Path};

/// The run that a network trains unless told otherwise.
pub(crate) const TINY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../runs/tiny.toml"));

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

/// The complete run, which starts at a block of a chain.
pub(crate) fn launch(
    mut file: RunFile,
    genesis: BlockHash,
    start: Height,
    data: &Report,
) -> Result<RunSpec, RunSpecError> {
    file.network.genesis = Some(genesis);
    file.network.start_block = Some(start);
    file.data.tokenizer = Some(data.tokenizer);
    file.data.dataset = Some(data.dataset);
    file.initial.root = Some(initial_root(&file.model, &file.initial.seed));
    file.complete()
}

/// The state root of the initial parameters.
fn initial_root(model: &ModelSpec, seed: &RunSeed) -> StateRoot {
    let layout = Layout::new(model);
    layout.state_root(&layout.initial(seed), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::digest::{DatasetHash, TokenizerHash};

    #[test]
    fn a_launched_run_is_complete() {
        let data = Report {
            dataset: DatasetHash([1; 32]),
            tokenizer: TokenizerHash([2; 32]),
            vocab: 4096,
            end_of_text: 0,
            shards: 1,
            blocks: 10,
            training: 81_920,
            held_out: 1280,
            dropped: 0,
            counts: data::Counts::default(),
            found_done: false,
        };
        let launched = |seed| {
            let (file, genesis) = (template(None, 3, seed).unwrap(), BlockHash([3; 32]));
            launch(file, genesis, start(6), &data).unwrap()
        };
        let spec = launched(7);
        assert_eq!((spec.window.count, spec.network.start_block), (3, Height(26)));
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(launched(7).hash(), spec.hash());
        assert_ne!(launched(8).initial.root, spec.initial.root);
    }
}
