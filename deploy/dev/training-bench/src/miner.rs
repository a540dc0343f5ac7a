//! A miner of a training: it keeps the optimizer's moments and the error feedback from window to window.

use crate::{seeds::seed_of, training::Own};
use anyhow::Result;
use base::{
    Height, NeuronId, Window,
    digest::{RunHash, StateRoot},
    signature::SigningKey,
};
use codec::{
    aggregate::ClipBounds,
    chunks::Geometry,
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
pub struct Miner {
    /// The miner's name on the chain.
    pub neuron: NeuronId,
    /// The model, with the shared parameters except while it trains.
    pub model: Model,
    key: SigningKey,
    /// The values that were not sent yet.
    error: Vec<f32>,
}

/// The update of a miner for a window.
pub struct Update {
    /// The whole pseudo-gradient.
    pub pseudo_gradient: Vec<f32>,
    /// The sent values, tensor by tensor.
    pub sent: Vec<SparseTensor>,
    /// The submission as all nodes open it.
    pub submission: Submission<Vec<u8>>,
}

impl Miner {
    /// Creates a miner with the initial parameters of a repetition.
    ///
    /// # Errors
    /// The model cannot be created.
    pub fn new(run: &RunFile, seed: u64, number: u32) -> Result<Self> {
        let key = SigningKey::from_seed(&seed_of(seed, &[b"miner", &number.to_le_bytes()]).0);
        let options = Options { place: Place::Cpu, ..Options::default() };
        let mut model = Model::new(run.model, options)?;
        model.initialize(&seed_of(seed, &[&run.initial.seed.0]).0)?;
        let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(0) };
        Ok(Self { neuron, key, error: vec![0.0; model.layout().len()], model })
    }

    /// Gives the miner a new hotkey, derived from a label.
    pub fn take_hotkey(&mut self, seed: u64, label: &[&[u8]]) {
        self.key = SigningKey::from_seed(&seed_of(seed, label).0);
        self.neuron.hotkey = self.key.hotkey();
    }

    /// Returns the values that were not sent yet.
    #[must_use]
    pub fn error(&self) -> &[f32] {
        &self.error
    }

    /// Returns the requirements on the miner's submission for a window that it trains from the parameters
    /// with this root.
    #[must_use]
    pub fn expected(&self, run: &RunHash, window: Window, from: &StateRoot, train: &TrainSpec) -> Expected {
        Expected {
            run: *run,
            spec: *run,
            neuron: self.neuron,
            window,
            base: History::new(run).state(from),
            least_samples: train.least_samples(),
            sealed: false,
        }
    }

    /// Applies a part of the miner's own update in exchange: the sent values with the outer step that would
    /// result from them alone, or the whole pseudo-gradient. `bounds` are those of the step before.
    ///
    /// # Errors
    /// The update does not fit the model.
    pub fn go_on(&mut self, own: Own, update: &Update, bounds: ClipBounds<'_>) -> Result<()> {
        match own {
            Own::None => {}
            Own::Sent => {
                self.model.apply_outer_step(std::slice::from_ref(&update.submission), bounds)?;
            }
            Own::Whole => {
                let mut values = self.model.parameters()?;
                values.iter_mut().zip(&update.pseudo_gradient).for_each(|(value, change)| *value -= change);
                self.model.set_parameters(&values)?;
            }
        }
        Ok(())
    }

    /// Trains through a window from the current parameters, and returns to them. `first` is the number of its
    /// first inner step in the run. Returns the pseudo-gradient.
    ///
    /// # Errors
    /// The data ends early, or the training diverges.
    pub fn train(
        &mut self,
        train: &TrainSpec,
        first: u64,
        batches: impl Iterator<Item = Result<Batch, ShardError>>,
    ) -> Result<Vec<f32>> {
        Ok(self.model.train(train, first, batches, &AtomicBool::new(false))?.pseudo_gradient)
    }

    /// Adds a pseudo-gradient of `samples` sequences to the error feedback, selects the values to send, and
    /// encodes them.
    ///
    /// # Errors
    /// The training has diverged, or the values do not fit the layout.
    pub fn compress(
        &mut self,
        pseudo_gradient: Vec<f32>,
        samples: u64,
        layout: &Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Update> {
        let sent = self.select(&pseudo_gradient, layout)?;
        let submission = self.submit(&sent, samples, layout, expected)?;
        Ok(Update { pseudo_gradient, sent, submission })
    }

    /// Adds a pseudo-gradient to the error feedback, and selects the values to send.
    ///
    /// # Errors
    /// The training has diverged.
    pub fn select(
        &mut self,
        pseudo_gradient: &[f32],
        layout: &SubmissionLayout,
    ) -> Result<Vec<SparseTensor>> {
        let source = Source::Feedback { error: &mut self.error, pseudo_gradient };
        Ok(compress_all(source, &geometries(layout), layout.spec(), THREADS)?)
    }

    /// Encodes and signs values, and opens the submission as all nodes do. It says that it was trained on
    /// `samples` sequences.
    ///
    /// # Errors
    /// The values do not fit the layout.
    pub fn submit(
        &self,
        sent: &[SparseTensor],
        samples: u64,
        layout: &Arc<SubmissionLayout>,
        expected: &Expected,
    ) -> Result<Submission<Vec<u8>>> {
        let header = Header::new(expected, samples, layout);
        let bytes = encode(layout, &header, sent, &self.key)?;
        Ok(Submission::open(bytes, Arc::clone(layout), expected)?)
    }

    /// Subtracts accepted values from the error feedback.
    pub fn settle(&mut self, sent: &[SparseTensor], layout: &SubmissionLayout) {
        let places = self.model.layout().iter().map(|(_, place)| place);
        for ((tensor, place), sent) in layout.tensors().iter().zip(places).zip(sent) {
            feedback::settle(&mut self.error[place], tensor.geometry(), sent);
        }
    }
}

/// Returns the division of all tensors into chunks.
#[must_use]
pub fn geometries(layout: &SubmissionLayout) -> Vec<Geometry> {
    layout.tensors().iter().map(|tensor| *tensor.geometry()).collect()
}
