//! The shared state: the model's parameters, the progress that belongs to them, and the journal of both.
//!
//! Parameters and progress change together, in a [`Transaction`]. It runs on the model's thread, which
//! completes it even if the caller's future is dropped. So a caller may drop any future of this module at any
//! time: the state is the one before, or the one after. A transaction that fails after it has changed
//! parameters leaves the state *torn*. A torn state is neither read nor built upon: the next step is to load
//! another one.

mod checkpoint;
mod doubts;
mod objects;
mod transaction;

pub use checkpoint::{CheckpointFiles, Offer};
pub(crate) use doubts::Lost;
pub use objects::Collected;
pub use transaction::Transaction;

use crate::{Journal, NodeError, NodeMetrics, Run, journal::Kept};
use base::{
    NeuronId, Window,
    digest::{ObjectHash, RunSeed, State},
};
use bytes::Bytes;
use codec::{
    aggregate::ClipBounds,
    submission::{Expected, Submission},
};
use doubts::Doubts;
use engine::{Handle, Model};
use protocol::{acceptance::Decision, progress::Progress};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};
use telemetry::target::NODE;
use transaction::Current;

/// A run's parameters and the progress that belongs to them.
#[derive(Debug)]
pub struct SharedState {
    run: Arc<Run>,
    model: Handle,
    threads: usize,
    current: Arc<Mutex<Current>>,
    folder: PathBuf,
    /// The transaction in progress holds it, too: the folder stays locked until that ends.
    journal: Option<Arc<Journal>>,
    metrics: Arc<NodeMetrics>,
    /// Objects that need no download.
    held: BTreeMap<ObjectHash, Submission<Bytes>>,
    pub(crate) doubts: Doubts,
}

impl SharedState {
    /// Starts a model for a run. The parameters are all zero, so the state is torn until one is loaded.
    ///
    /// # Errors
    /// The model cannot be started.
    pub async fn start(run: Arc<Run>, options: engine::Options, folder: &Path) -> Result<Self, NodeError> {
        let model = Handle::start(run.spec.model, options).await?;
        let current = Current::torn(Progress::initial(&run.spec));
        Ok(Self {
            run,
            model,
            threads: options.threads as usize,
            current: Arc::new(Mutex::new(current)),
            folder: folder.to_owned(),
            journal: None,
            metrics: Arc::default(),
            held: BTreeMap::new(),
            doubts: Doubts::default(),
        })
    }

    /// Writes all changes from now on to a journal, and counts in these metrics.
    pub(crate) fn with_journal(self, journal: Journal, metrics: Arc<NodeMetrics>) -> Self {
        Self { journal: Some(Arc::new(journal)), metrics, ..self }
    }

    /// Returns the run.
    #[must_use]
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Returns the model, for training and measuring. Both leave the parameters as they were.
    #[must_use]
    pub fn model(&self) -> &Handle {
        &self.model
    }

    /// Returns the number of threads that the model computes with.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the folder of the state's files. `state-*`, `diverged-*`, `events.jsonl`, `lock`,
    /// `verified`, `checkpoints` and `incoming` in it are taken.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the progress.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        transaction::lock(&self.current).progress()
    }

    /// Returns the next window. The parameters are those at its start.
    #[must_use]
    pub fn window(&self) -> Window {
        self.progress().window()
    }

    /// Returns the state that a vote on that window names.
    #[must_use]
    pub fn state(&self) -> State {
        self.progress().state()
    }

    /// Returns the state that submissions for that window must be trained from: see [`Progress::base`].
    #[must_use]
    pub fn base(&self) -> State {
        self.progress().base(&self.run.spec.acceptance)
    }

    /// Returns the required contents of a neuron's submission for that window.
    #[must_use]
    pub fn expected(&self, neuron: NeuronId) -> Expected {
        let progress = self.progress();
        self.run.expected(neuron, progress.window(), progress.base(&self.run.spec.acceptance))
    }

    /// Stores an object, so that [`Self::collect`] does not download it.
    pub fn hold(&mut self, object: Submission<Bytes>) {
        self.held.insert(object.hash(), object);
    }

    /// Stores those of some submissions that a decision accepts.
    pub fn hold_accepted(
        &mut self,
        decision: &Decision,
        submissions: &BTreeMap<NeuronId, Submission<Bytes>>,
    ) {
        for accepted in decision.applied() {
            let submission = submissions.get(&accepted.id);
            if let Some(submission) = submission.filter(|found| found.hash() == accepted.object) {
                self.hold(submission.clone());
            }
        }
    }

    /// Reads parameters and progress together, on the model's thread. The function must leave the
    /// parameters unchanged.
    ///
    /// # Errors
    /// The state is torn, the function fails, or the thread has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Model, &Progress) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let current = Arc::clone(&self.current);
        let work = move |model: &mut Model| {
            let whole = transaction::lock(&current).whole();
            Ok(whole.and_then(|progress| read(model, &progress)))
        };
        self.model.run(work).await?
    }

    /// Changes parameters and progress together, on the model's thread. The change happens whole or not at
    /// all, also if this future is dropped.
    ///
    /// # Errors
    /// The change fails, or the thread has ended.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(Transaction<'_>) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let (current, metrics) = (Arc::clone(&self.current), Arc::clone(&self.metrics));
        let journal = self.journal.clone();
        let work = move |model: &mut Model| Ok(change(Transaction::begin(model, &current, journal, metrics)));
        self.model.run(work).await?
    }

    /// Sets the run's initial parameters.
    ///
    /// # Errors
    /// They have another root than the run spec says, or the journal cannot be written.
    pub async fn initialize(&self) -> Result<(), NodeError> {
        let progress = Progress::initial(&self.run.spec);
        let RunSeed(seed) = self.run.spec.initial.seed;
        let expected = progress.root;
        let initialize = move |mut transaction: Transaction<'_>| {
            transaction.model().initialize(&seed)?;
            match transaction.model().state_root()? {
                found if found == expected => transaction.commit(progress),
                found => Err(NodeError::Initial { expected, found }),
            }
        };
        self.change(initialize).await
    }

    /// Applies a decision to the state: appends it to the history, and makes the outer step if it accepts
    /// objects. `objects` are the accepted objects in the order of the decision, see [`Self::collect`].
    ///
    /// # Errors
    /// The decision is not on the next window, the state is torn, or the journal cannot be written.
    pub async fn apply(
        &mut self,
        decision: &Decision,
        objects: Arc<Vec<Submission<Bytes>>>,
    ) -> Result<(), NodeError> {
        let decided = decision.clone();
        let full = self.run.spec.train.full_work(decision.window);
        let metrics = Arc::clone(&self.metrics);
        let apply = move |mut transaction: Transaction<'_>| {
            let mut progress = Progress::clone(&*transaction.whole()?);
            let state = progress.state();
            progress.history.push(&decided, state)?;
            if !objects.is_empty() {
                let started = Instant::now();
                let model = transaction.model();
                let bounds = ClipBounds { last: progress.norms.as_ref(), full };
                let (norms, root) = model.apply_outer_step(&objects, bounds)?;
                progress.norms = Some(norms);
                progress.root = root;
                metrics.step_seconds.observe(started.elapsed().as_secs_f64());
            }
            transaction.commit(progress)
        };
        self.change(apply).await?;
        self.held.retain(|_, object| object.header().window > decision.window);
        Ok(())
    }

    /// Returns the states in the journal, newest first.
    pub(crate) fn kept(&self) -> Result<Vec<Kept>, NodeError> {
        match &self.journal {
            Some(journal) => Ok(journal.states(&self.run.hash)?),
            None => Ok(Vec::new()),
        }
    }

    /// Loads a state of the journal. Returns whether its parameters are undamaged.
    pub(crate) async fn load_kept(&self, kept: Kept) -> Result<bool, NodeError> {
        let layout = self.run.flat.clone();
        let threads = self.threads;
        let load = move |mut transaction: Transaction<'_>| {
            let progress = kept.progress.clone();
            let mut values = vec![0.0; layout.len()];
            let is_undamaged = kept.read(&mut values, |values| layout.state_root(values, threads))?;
            if is_undamaged {
                transaction.model().set_parameters(&values)?;
                transaction.commit_kept(progress);
            }
            Ok(is_undamaged)
        };
        self.change(load).await
    }

    /// Moves the states of the journal from window `from` on to the folder of a diverged state.
    pub(crate) async fn set_aside(&self, from: Window, diverged: Arc<Progress>) -> Result<(), NodeError> {
        let folder = self.change(move |transaction| transaction.set_aside(from, &diverged)).await?;
        if let Some(folder) = folder {
            tracing::warn!(target: NODE, folder = %folder.display(), "the states that the majority contradicts are kept here, for a comparison");
        }
        Ok(())
    }
}
