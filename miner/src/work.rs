//! The steps of an update: train, compress, encode.

use crate::{
    MinerError, TrainedWindow, Training, Upload,
    speed::{FORWARD_PASSES, StepTime, time_left},
};
use base::{Height, NeuronId, Window, digest::State};
use codec::{
    sparse::{self, Source, SparseTensor},
    submission::SubmissionLayout,
};
use engine::{Batch, Handle};
use node::{Background, Network, Node, Run};
use protocol::train::TrainSpec;
use std::{sync::Arc, time::Instant};
use telemetry::target;

/// Begins to train through a window on this miner's own data in the background, when block `from` is final.
/// With `ahead`, the training begins from the shared parameters minus this change, which they do not have
/// yet: see [`Model::train_ahead`](engine::Model::train_ahead). A caller that ends the work must interrupt
/// the model.
///
/// A machine that is too slow for all inner steps makes fewer, by the `step_time` of the last window.
///
/// The result is an error if the miner has no data in the window, the chain cannot be read, or the training
/// fails.
pub fn train(
    node: &Node,
    window: Window,
    from: Height,
    ahead: Option<Vec<f32>>,
    step_time: &StepTime,
) -> Background<Result<TrainedWindow, MinerError>> {
    let work = Work {
        run: Arc::clone(node.shared.run()),
        network: node.network.clone(),
        model: node.shared.model().clone(),
        neuron: node.identity.neuron,
        step_time: step_time.clone(),
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
    step_time: StepTime,
}

impl Work {
    async fn train(&self, window: Window, ahead: Option<Vec<f32>>) -> Result<TrainedWindow, MinerError> {
        let Self { run, network, model, neuron, .. } = self;
        let whole = run.spec.train;
        let blocks = run.manifest.training_blocks();
        let assignments =
            network.ask(async || network.chain_reader.assignments(&run.spec, window, blocks).await).await?;
        let sequences: Vec<u64> = assignments.of(neuron)?.sequences().collect();
        let batches: Vec<Vec<u64>> = sequences.chunks(whole.batch as usize).map(<[u64]>::to_vec).collect();
        let shards = Arc::clone(&run.training);
        let mut batches = batches.into_iter().map(move |batch| shards.batch(&batch)).peekable();
        if let Some(Ok(first)) = batches.peek() {
            self.measure(first).await?;
        }
        let spec = TrainSpec { inner_steps: self.steps(window)?, ..whole };

        let started = Instant::now();
        let first = window.0 * u64::from(whole.inner_steps);
        let trained = model.train(spec, first, batches, ahead).await?;
        let seconds = started.elapsed().as_secs_f64();
        self.step_time.speed().measured(spec.inner_steps.into(), seconds);
        let loss = trained.steps.iter().map(|step| step.loss).sum::<f64>() / f64::from(spec.inner_steps);
        let samples = spec.samples();
        let figures = Training { loss, tokens: samples * u64::from(spec.sequence), seconds };
        Ok(TrainedWindow { pseudo_gradient: trained.pseudo_gradient, samples, figures })
    }

    /// Estimates the time of an inner step by a forward pass, if it is not known yet.
    async fn measure(&self, batch: &Batch) -> Result<(), MinerError> {
        if !self.step_time.speed().is_known() {
            let started = Instant::now();
            self.model.losses(batch.clone()).await?;
            self.step_time.speed().measured(1.0, FORWARD_PASSES * started.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Returns the number of inner steps to make, so that the update can be claimed in time.
    fn steps(&self, window: Window) -> Result<u32, MinerError> {
        let (run, network) = (&self.run, &self.network);
        let heights = run.clock.heights(window).map_err(node::NodeError::from)?;
        let time = time_left(&run.clock, &heights, network.height(), network.block_time);
        let plan = self.step_time.speed().plan(&run.spec.train, time);
        let (steps, possible, of) = (plan.steps, plan.possible, run.spec.train.inner_steps);
        let seconds = time.as_secs_f64();
        if plan.is_too_slow() {
            tracing::warn!(target: target::TRAIN, %window, steps, possible, seconds, "this machine is too slow for the fewest steps of the run (train.least_steps): the update may be late");
        } else if steps < of {
            tracing::info!(target: target::TRAIN, %window, steps, of, seconds, "this machine makes fewer steps, so that its update is in time");
        }
        Ok(steps)
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

/// Encodes and signs a submission of this miner, trained from `base` on `samples` sequences. Seals it if the
/// run says so.
///
/// # Errors
/// The tensors do not fit the run, or the system returns no random bytes.
pub fn write(
    node: &Node,
    window: Window,
    (base, samples): (State, u64),
    tensors: &[SparseTensor],
) -> Result<Upload, MinerError> {
    let (run, identity) = (node.shared.run(), &node.identity);
    let expected = run.expected(identity.neuron, window, base);
    let upload = Upload::pack(&run.layout, &expected, samples, tensors, &identity.key)?;
    upload.open(&run.layout, &expected)?; // Fails if other nodes would refuse it.
    Ok(upload)
}
