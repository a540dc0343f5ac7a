//! The laboratory: a run whose model is small enough that hundreds of windows of real training take minutes.

use crate::random::Random;
use anyhow::Result;
use base::{BlockHash, digest::RunHash};
use codec::submission::SubmissionLayout;
use protocol::{
    model::{ModelSpec, ParameterLayout},
    run_spec::RunFile,
};
use scoring::gauntlet::ScoringSpec;
use std::{path::Path, sync::Arc};
use training_bench::{TINY, dataset::Dataset, seeds::seed_of};

/// The run, its data, and the layout of its updates. All experiments share them.
pub(crate) struct Lab {
    pub(crate) run: RunFile,
    pub(crate) dataset: Dataset,
    pub(crate) layout: Arc<SubmissionLayout>,
    pub(crate) places: ParameterLayout,
    /// Replaces the hash of a complete spec, which only a run on a chain has.
    pub(crate) hash: RunHash,
}

impl Lab {
    /// Prepares the data of a run, and opens it.
    pub(crate) fn open(run: RunFile, texts: &Path, cache: &Path) -> Result<Self> {
        let dataset = Dataset::open(texts, cache, &run)?;
        let layout = Arc::new(SubmissionLayout::new(&run.model.tensors(), &run.sparse)?);
        let (places, hash) = (ParameterLayout::new(&run.model), RunHash::of(&[run.name.as_bytes()]));
        Ok(Self { run, dataset, layout, places, hash })
    }

    /// Returns a value that replaces the hash of a block: of the repetition `seed`, for a use and a window.
    pub(crate) fn block(&self, seed: u64, label: &str, window: u64) -> BlockHash {
        BlockHash(seed_of(seed, &[label.as_bytes(), &window.to_le_bytes()]).0)
    }

    /// Returns random numbers of the repetition `seed`, for a use, a window and a hotkey of the attackers.
    pub(crate) fn random(&self, seed: u64, label: &str, window: u64, number: usize) -> Random {
        let parts = [label.as_bytes(), &window.to_le_bytes(), &(number as u64).to_le_bytes()];
        Random::new(seed_of(seed, &parts).0)
    }
}

/// Returns the rules with `sequences` assigned and as many unassigned sequences. Half of the latter are
/// common.
pub(crate) fn with_sequences(scoring: ScoringSpec, sequences: u16) -> ScoringSpec {
    let common_sequences = sequences / 2;
    let own_sequences = sequences - common_sequences;
    ScoringSpec { assigned_sequences: sequences, common_sequences, own_sequences, ..scoring }
}

/// Returns the run of the laboratory: the tiny run with a smaller model, shorter sequences and fewer inner
/// steps. The density of what is sent, the codec, and all rules are those of the tiny run.
pub(crate) fn small_run() -> Result<RunFile> {
    let mut run = RunFile::parse(TINY)?;
    "laboratory".clone_into(&mut run.name);
    run.model = ModelSpec {
        vocab: 512,
        hidden: 32,
        layers: 1,
        heads: 2,
        kv_heads: 2,
        head_dim: 16,
        ffn: 64,
        sequence: 32,
        ..run.model
    };
    (run.train.sequence, run.train.batch) = (32, 8);
    (run.train.inner_steps, run.train.least_steps) = (8, 1);
    // Chunks of 32 x 32, as wide as the model, with the tiny run's share of sent values.
    (run.sparse.chunk, run.sparse.topk) = (1024, 18);
    // All 16 honest miners and their attackers can be accepted, and twice as many can be candidates.
    run.acceptance.gather_peers = 24;
    // Constant and lower than tiny's, so that a hundred windows all learn.
    run.train.schedule.peak = 3e-4;
    run.scoring =
        ScoringSpec { assigned_sequences: 32, common_sequences: 64, own_sequences: 64, ..run.scoring };
    Ok(run)
}
