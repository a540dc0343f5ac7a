//! The steps of making an update: training, compressing, writing.

use crate::{MinerError, Training, Upload};
use base::{Window, digest::State};
use codec::{
    sparse::{self, Source, SparseTensor},
    submission::SubmissionLayout,
};
use engine::Trained;
use node::Node;
use std::{sync::Arc, time::Instant};

/// Trains through a window on this miner's own data. May be dropped; then interrupt the model.
///
/// # Errors
/// The miner has no data in the window, the chain does not tell, or the training fails.
pub async fn train(node: &Node, window: Window) -> Result<(Trained, Training), MinerError> {
    let (run, spec) = (&node.run, node.run.spec.train);
    let blocks = run.manifest.training_blocks();
    let assignments =
        node.ask(async || node.chain_reader.assignments(&run.spec, window, blocks).await).await?;
    let sequences: Vec<u64> = assignments.of(&node.id)?.sequences().collect();
    let batches: Vec<Vec<u64>> = sequences.chunks(spec.batch as usize).map(<[u64]>::to_vec).collect();
    let shards = Arc::clone(&run.training);
    let batches = batches.into_iter().map(move |batch| shards.batch(&batch));

    let started = Instant::now();
    let first = window.0 * u64::from(spec.inner_steps);
    let trained = node.model.train(spec, first, batches).await?;
    let seconds = started.elapsed().as_secs_f64();
    let loss = trained.steps.iter().map(|step| step.loss).sum::<f64>() / f64::from(spec.inner_steps);
    let tokens = spec.samples() * u64::from(spec.sequence);
    Ok((trained, Training { loss, tokens, seconds }))
}

/// Chooses and quantizes what is sent of values in the order of the layout, on so many threads.
///
/// # Errors
/// A value is not finite.
pub fn compress_all(
    source: Source<'_>,
    layout: &SubmissionLayout,
    threads: usize,
) -> Result<Vec<SparseTensor>, MinerError> {
    let geometries: Vec<_> = layout.tensors().iter().map(|tensor| *tensor.geometry()).collect();
    sparse::compress_all(source, &geometries, layout.spec(), threads).map_err(|error| {
        let tensor = layout.tensors().get(error.tensor).map_or("", |tensor| tensor.name());
        MinerError::Compress { tensor: tensor.to_owned(), source: error.source }
    })
}

/// Writes, signs and, where the run asks for that, seals a submission of this miner, trained from `base`.
///
/// # Errors
/// The tensors are not those of the run, or the system gives no randomness.
pub fn write(
    node: &Node,
    window: Window,
    base: State,
    tensors: &[SparseTensor],
) -> Result<Upload, MinerError> {
    let (run, expected) = (&node.run, node.run.expected(node.id, window, base));
    let upload = Upload::pack(&run.layout, &expected, run.spec.train.samples(), tensors, &node.key)?;
    upload.open(&run.layout, &expected)?; // What others would refuse is found here.
    Ok(upload)
}
