//! A window of training: H inner steps from the shared parameters, and the return to them with the
//! pseudo-gradient.

use crate::{
    adamw::Step,
    batch::{Batch, BatchError},
    error::EngineError,
    model::Model,
    raw,
    shards::ShardError,
    store::ShardStore,
};
use protocol::train::TrainSpec;
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

/// The inner steps after which the gaps in the heap are released. The system must then map the memory again,
/// which takes about a tenth of one step of a small model. Without it, the heap of a small model doubles in
/// a window.
const RELEASE_EVERY: u32 = 8;

/// The result of a window of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The pseudo-gradient, f32 in the order of [`ParameterLayout`](crate::ParameterLayout): the
    /// parameters at the start of the window minus those after the inner steps.
    pub pseudo_gradient: Vec<f32>,
    /// All inner steps, in order.
    pub steps: Vec<InnerStep>,
}

/// One inner step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InnerStep {
    /// The mean loss of the step's batch before the step, in nats per target.
    pub loss: f64,
    /// The norm of the gradient before clipping.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
}

impl Model {
    /// Trains through one window, then restores the starting parameters bit for bit, even after an error.
    ///
    /// `first_step` is the number of the window's first inner step in the run. AdamW's moments
    /// continue from window to window. With one thread, the same parameters, moments and batches give
    /// the same bytes.
    ///
    /// # Errors
    /// The spec is out of range, the data ends or does not fit, the training diverges, `stop` was
    /// set, or memory runs out. The moments then include the steps that were made.
    pub fn train(
        &mut self,
        train: &TrainSpec,
        first_step: u64,
        batches: impl IntoIterator<Item = Result<Batch, ShardError>>,
        stop: &AtomicBool,
    ) -> Result<Trained, EngineError> {
        train.check()?;
        let mut kept = self.parameters()?;
        let steps = self.inner_steps(train, first_step, &mut batches.into_iter(), stop);
        for place in self.places() {
            let kept = &mut kept[place.clone()];
            self.change_values(place, |parameters| take_difference(kept, parameters))?;
        }
        Ok(Trained { pseudo_gradient: kept, steps: steps? })
    }

    /// Trains like [`Self::train`], but begins from the parameters minus `ahead`, a change that they do not
    /// have yet. The pseudo-gradient is the difference to that start. The model holds the parameters
    /// without the change afterwards, bit for bit. Costs one copy of the parameters: `ahead`.
    ///
    /// # Errors
    /// As [`Self::train`], or `ahead` has another length than the parameters.
    pub fn train_ahead(
        &mut self,
        mut ahead: Vec<f32>,
        train: &TrainSpec,
        first_step: u64,
        batches: impl IntoIterator<Item = Result<Batch, ShardError>>,
        stop: &AtomicBool,
    ) -> Result<Trained, EngineError> {
        train.check()?;
        let (found, expected) = (ahead.len(), self.layout.len());
        if found != expected {
            return Err(EngineError::Parameters { found, expected });
        }
        let kept = self.parameters()?;
        for place in self.places() {
            let changes = &ahead[place.clone()];
            self.change_values(place, |parameters| {
                parameters.iter_mut().zip(changes).for_each(|(parameter, change)| *parameter -= change);
            })?;
        }
        let steps = self.inner_steps(train, first_step, &mut batches.into_iter(), stop);
        for place in self.places() {
            let (ahead, kept) = (&mut ahead[place.clone()], &kept[place.clone()]);
            self.change_values(place, |parameters| {
                // The start of the training again: the same operation gives the same bits.
                ahead.iter_mut().zip(kept).for_each(|(change, kept)| *change = kept - *change);
                take_difference(ahead, parameters);
                parameters.copy_from_slice(kept);
            })?;
        }
        Ok(Trained { pseudo_gradient: ahead, steps: steps? })
    }

    fn inner_steps(
        &mut self,
        train: &TrainSpec,
        first_step: u64,
        batches: &mut dyn Iterator<Item = Result<Batch, ShardError>>,
        stop: &AtomicBool,
    ) -> Result<Vec<InnerStep>, EngineError> {
        let result = (0..train.inner_steps).map(|number| {
            let step = first_step.saturating_add(number.into());
            if stop.load(Ordering::Relaxed) {
                return Err(EngineError::Interrupted { step });
            }
            let ended = EngineError::DataEnded { found: number, wanted: train.inner_steps };
            let batch = batches.next().ok_or(ended)??;
            check_batch(train, &batch)?;
            let loss = self.gradient(&batch)?;
            let norm = self.store.norm()?;
            check_finite(step, loss, norm)?;
            let rate = train.schedule.rate(step);
            let scale = (train.clip / (norm + 1e-6)).min(1.0); // Clipped as in torch: it never grows.
            self.store.step(Step { optimizer: train.optimizer, rate, scale })?;
            if number % RELEASE_EVERY == RELEASE_EVERY - 1 {
                raw::release_gaps();
            }
            tracing::debug!(target: "engine", step, loss, norm, rate, "inner step");
            Ok(InnerStep { loss, norm, rate })
        });
        let result = result.collect();
        self.store.drop_gradients();
        raw::release_gaps();
        result
    }

    /// Returns the places of all tensors: what is read or changed at a time.
    fn places(&self) -> Vec<Range<usize>> {
        self.layout.iter().map(|(_, place)| place).collect()
    }
}

fn check_batch(train: &TrainSpec, batch: &Batch) -> Result<(), BatchError> {
    if batch.sequence() != train.sequence as usize {
        return Err(BatchError::Length { found: batch.sequence(), wanted: train.sequence });
    }
    if batch.sequences() < train.batch as usize {
        return Err(BatchError::Few { found: batch.sequences(), wanted: train.batch });
    }
    Ok(())
}

fn check_finite(step: u64, loss: f64, norm: f64) -> Result<(), EngineError> {
    for (what, value) in [("loss", loss), ("norm of the gradient", norm)] {
        if !value.is_finite() {
            return Err(EngineError::NotFinite { step, what, value });
        }
    }
    Ok(())
}

/// Restores `parameters` from `kept`, and stores the difference (`kept` minus the old `parameters`)
/// in `kept`.
fn take_difference(kept: &mut [f32], parameters: &mut [f32]) {
    for (kept, parameter) in kept.iter_mut().zip(parameters) {
        let start = *kept;
        *kept = start - *parameter;
        *parameter = start;
    }
}
