//! The model's thread, and how others reach it: by messages through a bounded channel.

use crate::{
    batch::Batch,
    error::EngineError,
    model::{Model, Options},
    shards::ShardError,
    train::Trained,
    trial::SparseStep,
};
use protocol::{
    model::{Layout, ModelSpec},
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

/// Messages that wait for the model at most; who sends another one waits.
const INBOX: usize = 4;

/// One piece of work for the model's thread. It sends its own answer.
type Message = Box<dyn FnOnce(&mut Model) + Send>;

/// Reaches a model that lives on a thread of its own. The thread ends with the last handle.
///
/// Bytes and numbers cross, tensors never do. Work is done in the order in which it was sent; work whose sender is gone
/// is done nevertheless, except training, which [`Handle::interrupt`] ends between two inner steps.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    layout: Arc<Layout>,
    stop: Arc<AtomicBool>,
}

impl Handle {
    /// Starts a thread with a model on it. Its parameters are all zero, until they are set or loaded.
    ///
    /// # Errors
    /// The spec or an option is out of range, the device is not there, or there is no memory.
    pub async fn start(spec: ModelSpec, options: Options) -> Result<Self, EngineError> {
        spec.check()?;
        let (inbox, mut messages) = mpsc::channel::<Message>(INBOX);
        let (ready, is_ready) = oneshot::channel();
        let run = move || match Model::new(spec, options) {
            Ok(mut model) => {
                let _ = ready.send(Ok(())); // Who started it may have gone; then there are no messages either.
                while let Some(message) = messages.blocking_recv() {
                    message(&mut model);
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error)); // Nobody else is to be told.
            }
        };
        thread::Builder::new().name("model".to_owned()).spawn(run).map_err(EngineError::Thread)?;
        is_ready.await.map_err(|_| EngineError::Stopped)??;
        Ok(Self { inbox, layout: Arc::new(Layout::new(&spec)), stop: Arc::default() })
    }

    /// Where each tensor lies among the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Runs a function on the model's thread: what has no method of its own here, as the state root or a checkpoint.
    ///
    /// # Errors
    /// What the function returns, or the thread has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Model) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (answer, is_answered) = oneshot::channel();
        let message = Box::new(move |model: &mut Model| {
            let _ = answer.send(f(model)); // Who asked may have gone.
        });
        self.inbox.send(message).await.map_err(|_| EngineError::Stopped)?;
        is_answered.await.map_err(|_| EngineError::Stopped)?
    }

    /// [`Model::with_parameters`] on the model's thread.
    ///
    /// # Errors
    /// libtorch could not copy them, or the thread has ended.
    pub async fn with_parameters<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut [f32]) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.run(|model| model.with_parameters(f)).await
    }

    /// [`Model::train`] on the model's thread, until it is done or [interrupted](Self::interrupt).
    ///
    /// # Errors
    /// See [`Model::train`].
    pub async fn train(
        &self,
        train: TrainSpec,
        first_step: u64,
        batches: impl IntoIterator<Item = Result<Batch, ShardError>> + Send + 'static,
    ) -> Result<Trained, EngineError> {
        self.stop.store(false, Ordering::Relaxed);
        let stop = Arc::clone(&self.stop);
        self.run(move |model| model.train(&train, first_step, batches, &stop)).await
    }

    /// Ends a training between two inner steps: it fails with [`EngineError::Interrupted`].
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The loss of each sequence of a batch, see [`Model::losses`].
    ///
    /// # Errors
    /// See [`Model::losses`].
    pub async fn losses(&self, batch: Batch) -> Result<Vec<f64>, EngineError> {
        self.run(move |model| model.losses(&batch)).await
    }

    /// The losses of each sequence of some batches after a step that is then undone, see [`Model::trial`].
    ///
    /// # Errors
    /// See [`Model::trial`] and [`Model::losses`].
    pub async fn trial(&self, step: SparseStep, batches: Vec<Batch>) -> Result<Vec<Vec<f64>>, EngineError> {
        let look = move |model: &Model| batches.iter().map(|batch| model.losses(batch)).collect();
        self.run(move |model| model.trial(&step, look)).await
    }
}
