//! The data of a measurement: training sequences for the miners, and a held-out batch for the loss.

use crate::seeds::seed_of;
use anyhow::{Context as _, Result, ensure};
use base::{BlockHash, NeuronId, Window, digest::RunHash};
use data::{MANIFEST, Quiet, cached, shard_name};
use engine::{Batch, ShardError, Shards};
use protocol::{
    assignment::Assignments,
    dataset::{Manifest, ShardRole},
    run_spec::RunFile,
    train::TrainSpec,
};
use std::{fs, path::Path};

/// Most held-out sequences for the loss. More would only measure the same differences more slowly.
const MOST_HELD_OUT: u64 = 128;
/// The seed of the dataset. All measurements use the same one, so their losses can be compared.
const SEED: u64 = 0;

/// The training sequences and the held-out batch.
pub struct Dataset {
    training: Shards,
    /// Training blocks, the unit of assignments.
    blocks: u64,
    /// The held-out batch.
    pub held_out: Batch,
}

impl Dataset {
    /// Prepares the dataset of a run in a folder below `cache`, or finds it complete, and opens it.
    ///
    /// # Errors
    /// The texts cannot be read, are too short, or the dataset cannot be prepared.
    pub fn open(texts: &Path, cache: &Path, run: &RunFile) -> Result<Self> {
        let texts = fs::canonicalize(texts).with_context(|| format!("--data {}", texts.display()))?;
        let options = cached::options(&texts, cache, run, SEED)?;
        cached::prepare(&options, &mut Quiet)?;
        let folder = options.out;
        let path = folder.join(MANIFEST);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest = Manifest::read(&bytes)?;
        let shards = |role, count: usize| {
            let paths = (0..count as u64).map(|number| folder.join(shard_name(role, number)));
            Shards::of(&manifest, role, paths)
        };
        let held_out = shards(ShardRole::HeldOut, manifest.held_out().count())?;
        let measured: Vec<u64> = (0..held_out.sequences().min(MOST_HELD_OUT)).collect();
        ensure!(!measured.is_empty(), "--data {}: no text is held out; give more text", texts.display());
        Ok(Self {
            training: shards(ShardRole::Training, manifest.training().count())?,
            blocks: manifest.training_blocks(),
            held_out: held_out.batch(&measured)?,
        })
    }

    /// Assigns data to all miners for a window. It depends only on the run's name, the seed, the window
    /// and the miners. So all variants of a run train on the same data.
    ///
    /// # Errors
    /// The dataset has too few blocks for these miners.
    pub fn assign(
        &self,
        run: &RunHash,
        seed: u64,
        window: Window,
        miners: impl Iterator<Item = NeuronId>,
        train: &TrainSpec,
    ) -> Result<Assignments> {
        let block = BlockHash(seed_of(seed, &[b"window", &window.0.to_le_bytes()]).0);
        Ok(Assignments::new(run, window, block, miners, train.samples(), self.blocks)?)
    }

    /// Returns the batches of a miner, in order.
    ///
    /// # Errors
    /// The miner has no assignment.
    pub fn batches(
        &self,
        assignments: &Assignments,
        miner: &NeuronId,
        train: &TrainSpec,
    ) -> Result<impl Iterator<Item = Result<Batch, ShardError>> + use<'_>> {
        Ok(self.cut(assignments.of(miner)?.sequences().collect(), train))
    }

    /// Cuts training sequences into the batches of inner steps, in order. The last one may be smaller.
    pub fn cut(
        &self,
        sequences: Vec<u64>,
        train: &TrainSpec,
    ) -> impl Iterator<Item = Result<Batch, ShardError>> + use<'_> {
        let batches: Vec<Vec<u64>> = sequences.chunks(train.batch as usize).map(<[u64]>::to_vec).collect();
        batches.into_iter().map(|batch| self.training.batch(&batch))
    }

    /// Returns some training sequences as one batch.
    ///
    /// # Errors
    /// A sequence does not exist, or the list is empty.
    pub fn batch(&self, sequences: &[u64]) -> Result<Batch, ShardError> {
        self.training.batch(sequences)
    }
}
