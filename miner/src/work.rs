//! The steps of an update: train, compress, encode.

use crate::{MinerError, TrainedWindow, Training, Upload};
use base::{Height, NeuronId, Window, digest::State};
use codec::{
    sparse::{self, Source, SparseTensor},
    submission::SubmissionLayout,
};
use engine::Handle;
use node::{Background, Network, Node, Run};
use std::{sync::Arc, time::Instant};

/// Begins to train through a window on this miner's own data in the background, when block `from` is final.
/// With `ahead`, the training begins from the shared parameters minus this change, which they do not have
/// yet: see [`Model::train_ahead`](engine::Model::train_ahead). A caller that ends the work must interrupt
/// the model.
///
/// The result is an error if the miner has no data in the window, the chain cannot be read, or the training
/// fails.
pub fn train(
    node: &Node,
    window: Window,
    from: Height,
    ahead: Option<Vec<f32>>,
) -> Background<Result<TrainedWindow, MinerError>> {
    let work = Work {
        run: Arc::clone(node.shared.run()),
        network: node.network.clone(),
        model: node.shared.model().clone(),
        neuron: node.identity.neuron,
    };
    Background::start(move || async move {
        work.network.wait_for(from).await?;
        work.train(window, ahead).await
    })
}

/// The parts of a node that a training needs.
struct Work {
    run: Arc<Run>,
    network: Network,
    model: Handle,
    neuron: NeuronId,
}

impl Work {
    async fn train(&self, window: Window, ahead: Option<Vec<f32>>) -> Result<TrainedWindow, MinerError> {
        let Self { run, network, model, neuron } = self;
        let spec = run.spec.train;
        let blocks = run.manifest.training_blocks();
        let assignments =
            network.ask(async || network.chain_reader.assignments(&run.spec, window, blocks).await).await?;
        let sequences: Vec<u64> = assignments.of(neuron)?.sequences().collect();
        let batches: Vec<Vec<u64>> = sequences.chunks(spec.batch as usize).map(<[u64]>::to_vec).collect();
        let shards = Arc::clone(&run.training);
        let batches = batches.into_iter().map(move |batch| shards.batch(&batch));

        let started = Instant::now();
        let first = window.0 * u64::from(spec.inner_steps);
        let trained = model.train(spec, first, batches, ahead).await?;
        let seconds = started.elapsed().as_secs_f64();
        let loss = trained.steps.iter().map(|step| step.loss).sum::<f64>() / f64::from(spec.inner_steps);
        let tokens = spec.samples() * u64::from(spec.sequence);
        let figures = Training { loss, tokens, seconds };
        Ok(TrainedWindow { pseudo_gradient: trained.pseudo_gradient, figures })
    }
}

/// Selects and quantizes the values to send, in the order of the layout. Uses `threads` threads.
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

/// Encodes and signs a submission of this miner, trained from `base`. Seals it if the run says so.
///
/// # Errors
/// The tensors do not fit the run, or the system returns no random bytes.
pub fn write(
    node: &Node,
    window: Window,
    base: State,
    tensors: &[SparseTensor],
) -> Result<Upload, MinerError> {
    let (run, identity) = (node.shared.run(), &node.identity);
    let expected = run.expected(identity.neuron, window, base);
    let upload = Upload::pack(&run.layout, &expected, run.spec.train.samples(), tensors, &identity.key)?;
    upload.open(&run.layout, &expected)?; // Fails if other nodes would refuse it.
    Ok(upload)
}
