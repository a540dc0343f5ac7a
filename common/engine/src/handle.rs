//! The model's thread and its handle: other threads send it messages through a bounded channel.

use crate::{
    batch::Batch,
    error::EngineError,
    model::{Model, Options},
    shards::ShardError,
    train::Trained,
    trial::SparseStep,
};
use protocol::{
    model::{ModelSpec, ParameterLayout},
    train::TrainSpec,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// The largest number of messages that wait for the model. Further senders wait until there is room.
const INBOX: usize = 4;

/// One piece of work for the model's thread. It sends its own answer.
type Message = Box<dyn FnOnce(&mut Model) + Send>;

/// A handle to a model that lives on a thread of its own. The thread ends when the last handle is dropped.
///
/// Bytes and numbers cross the channel, tensors never do. The thread does the work in the order of
/// sending. It also does work whose sender is gone. [`Handle::interrupt`] ends a training between two
/// inner steps.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    layout: Arc<ParameterLayout>,
    stop: Arc<AtomicBool>,
}

impl Handle {
    /// Starts a thread with a model on it. The parameters are all zero, until they are set or loaded.
    ///
    /// # Errors
    /// The spec or an option is out of range, the device is not available, or memory runs out.
    pub async fn start(spec: ModelSpec, options: Options) -> Result<Self, EngineError> {
        spec.check()?;
        let (inbox, mut messages) = mpsc::channel::<Message>(INBOX);
        let (ready, is_ready) = oneshot::channel();
        let run = move || match Model::new(spec, options) {
            Ok(mut model) => {
                let _ = ready.send(Ok(())); // If the caller is gone, there are no messages either.
                while let Some(message) = messages.blocking_recv() {
                    message(&mut model);
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error)); // If the caller is gone, no other task needs the error.
            }
        };
        thread::Builder::new().name("model".to_owned()).spawn(run).map_err(EngineError::Thread)?;
        is_ready.await.map_err(|_| EngineError::Stopped)??;
        Ok(Self { inbox, layout: Arc::new(ParameterLayout::new(&spec)), stop: Arc::default() })
    }

    /// Returns the place of each tensor among the parameters.
    #[must_use]
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// Runs a function on the model's thread. It serves operations without a method here, such as the
    /// state root or a checkpoint.
    ///
    /// # Errors
    /// The function returns an error, or the thread has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Model) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (answer, is_answered) = oneshot::channel();
        let message = Box::new(move |model: &mut Model| {
            let _ = answer.send(f(model)); // The caller may be gone.
        });
        self.inbox.send(message).await.map_err(|_| EngineError::Stopped)?;
        is_answered.await.map_err(|_| EngineError::Stopped)?
    }

    /// Calls [`Model::read_parameters`] on the model's thread.
    ///
    /// # Errors
    /// libtorch could not copy them, or the thread has ended.
    pub async fn read_parameters<T: Send + 'static>(
        &self,
        f: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.run(|model| model.read_parameters(f)).await
    }

    /// Calls [`Model::set_parameters`] on the model's thread.
    ///
    /// # Errors
    /// See [`Model::set_parameters`].
    pub async fn set_parameters(&self, values: Vec<f32>) -> Result<(), EngineError> {
        self.run(move |model| model.set_parameters(&values)).await
    }

    /// Calls [`Model::train`], or [`Model::train_ahead`] if `ahead` is given, on the model's thread, until it
    /// is done or [interrupted](Self::interrupt).
    ///
    /// # Errors
    /// See [`Model::train_ahead`].
    pub async fn train(
        &self,
        train: TrainSpec,
        first_step: u64,
        batches: impl IntoIterator<Item = Result<Batch, ShardError>> + Send + 'static,
        ahead: Option<Vec<f32>>,
    ) -> Result<Trained, EngineError> {
        self.stop.store(false, Ordering::Relaxed);
        let stop = Arc::clone(&self.stop);
        let work = move |model: &mut Model| match ahead {
            None => model.train(&train, first_step, batches, &stop),
            Some(ahead) => model.train_ahead(ahead, &train, first_step, batches, &stop),
        };
        self.run(work).await
    }

    /// Ends a training between two inner steps. The training fails with [`EngineError::Interrupted`].
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Returns the loss of each sequence of a batch, see [`Model::losses`].
    ///
    /// # Errors
    /// See [`Model::losses`].
    pub async fn losses(&self, batch: Batch) -> Result<Vec<f64>, EngineError> {
        self.run(move |model| model.losses(&batch)).await
    }

    /// Returns the losses of each sequence of some batches after a step, then undoes the step, see
    /// [`Model::trial`]. The caller may keep the step for another trial.
    ///
    /// # Errors
    /// See [`Model::trial`] and [`Model::losses`].
    pub async fn trial(
        &self,
        step: Arc<SparseStep>,
        batches: Vec<Batch>,
    ) -> Result<Vec<Vec<f64>>, EngineError> {
        let look = move |model: &Model| batches.iter().map(|batch| model.losses(batch)).collect();
        self.run(move |model| model.trial(&step, look)).await
    }
}
