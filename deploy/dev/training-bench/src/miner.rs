//! A miner of a training: it keeps the optimizer's moments and the error feedback from window to window.

use crate::{seeds::seed_of, training::Own};
use anyhow::Result;
use base::{
    Height, NeuronId, Window,
    digest::{RunHash, StateRoot},
    signature::SigningKey,
};
use codec::{
    aggregate::Medians,
    feedback,
    sparse::{Source, SparseTensor, compress_all},
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use engine::{Batch, Model, Options, Place, ShardError};
use protocol::{history::History, run_spec::RunFile, train::TrainSpec};
use std::sync::{Arc, atomic::AtomicBool};

/// Threads of each computation. With one thread, repeated measurements give the same bytes.
const THREADS: usize = 1;

/// A miner.
pub(crate) struct Miner {
    pub(crate) neuron: NeuronId,
    pub(crate) model: Model,
    key: SigningKey,
    /// The values that were not sent yet.
    error: Vec<f32>,
}

/// The update of a miner for a window: the whole pseudo-gradient, the sent values, and the submission as all
/// nodes open it.
pub(crate) struct Update {
    pub(crate) pseudo_gradient: Vec<f32>,
    pub(crate) sent: Vec<SparseTensor>,
    pub(crate) submission: Submission<Vec<u8>>,
}

impl Miner {
    /// Creates a miner with the initial parameters of a repetition.
    pub(crate) fn new(run: &RunFile, seed: u64, number: u32) -> Result<Self> {
        let key = SigningKey::from_seed(&seed_of(seed, &[b"miner", &number.to_le_bytes()]).0);
        let options = Options { place: Place::Cpu, ..Options::default() };
        let mut model = Model::new(run.model, options)?;
        model.initialize(&seed_of(seed, &[&run.initial.seed.0]).0)?;
        let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(0) };
        Ok(Self { neuron, key, error: vec![0.0; model.layout().len()], model })
    }

    /// Returns the requirements on the miner's submission for a window that it trains from the parameters
    /// with this root.
    pub(crate) fn expected(
        &self,
        run: &RunHash,
        window: Window,
        from: &StateRoot,
        train: &TrainSpec,
    ) -> Expected {
        Expected {
            run: *run,
            spec: *run,
            neuron: self.neuron,
            window,
            base: History::new(run).state(from),
            least_samples: train.samples(),
            sealed: false,
        }
    }

    /// Applies a part of the miner's own update in exchange: the sent values with the outer step that would
    /// result from them alone, or the whole pseudo-gradient. `last` are the medians of the set before.
    pub(crate) fn go_on(&mut self, own: Own, update: &Update, last: Option<&Medians>) -> Result<()> {
        match own {
            Own::None => {}
            Own::Sent => {
                self.model.apply_outer_step(std::slice::from_ref(&update.submission), last)?;
            }
            Own::Whole => {
                let mut values = self.model.parameters()?;
                values.iter_mut().zip(&update.pseudo_gradient).for_each(|(value, change)| *value -= change);
                self.model.set_parameters(&values)?;
            }
        }
        Ok(())
    }

    /// Trains through a window from the current parameters, and returns to them. Returns the
    /// pseudo-gradient.
    pub(crate) fn train(
        &mut self,
        train: &TrainSpec,
        window: Window,
        batches: impl Iterator<Item = Result<Batch, ShardError>>,
    ) -> Result<Vec<f32>> {
        let first = window.0 * u64::from(train.inner_steps);
        Ok(self.model.train(train, first, batches, &AtomicBool::new(false))?.pseudo_gradient)
    }

    /// Adds a pseudo-gradient to the error feedback, selects the values to send, and encodes them.
    pub(crate) fn compress(
        &mut self,
        pseudo_gradient: Vec<f32>,
        layout: &Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Update> {
        let geometries: Vec<_> = layout.tensors().iter().map(|tensor| *tensor.geometry()).collect();
        let source = Source::Feedback { error: &mut self.error, pseudo_gradient: &pseudo_gradient };
        let sent = compress_all(source, &geometries, layout.spec(), THREADS)?;
        let header = Header::new(expected, expected.least_samples, layout);
        let bytes = encode(layout, &header, &sent, &self.key)?;
        let submission = Submission::open(bytes, Arc::clone(layout), expected)?;
        Ok(Update { pseudo_gradient, sent, submission })
    }

    /// Subtracts accepted values from the error feedback.
    pub(crate) fn settle(&mut self, sent: &[SparseTensor], layout: &SubmissionLayout) {
        let places = self.model.layout().iter().map(|(_, place)| place);
        for ((tensor, place), sent) in layout.tensors().iter().zip(places).zip(sent) {
            feedback::settle(&mut self.error[place], tensor.geometry(), sent);
        }
    }
}
