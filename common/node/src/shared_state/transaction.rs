//! Changes of parameters and progress that happen together.

use crate::{Journal, NodeError, NodeMetrics};
use base::Window;
use engine::Model;
use protocol::progress::Progress;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The progress, and whether the model's parameters belong to it.
#[derive(Debug)]
pub(super) struct Current {
    progress: Arc<Progress>,
    is_whole: bool,
}

impl Current {
    /// Creates a progress whose parameters are not there yet.
    pub(super) fn torn(progress: Progress) -> Self {
        Self { progress: Arc::new(progress), is_whole: false }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Returns the progress, if the parameters belong to it.
    pub(super) fn whole(&self) -> Result<Arc<Progress>, NodeError> {
        if self.is_whole { Ok(self.progress()) } else { Err(NodeError::Torn(self.progress.window())) }
    }
}

/// Locks the progress. Each change of it is one assignment, so a panic elsewhere does not spoil it.
pub(super) fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A change of the shared state in progress, on the model's thread.
///
/// [`Self::model`] gives access to the parameters, and makes the state torn. [`Self::commit`] makes it
/// whole again. A transaction that is dropped before its commit leaves a state that was not touched as it
/// was, and a touched state torn.
#[derive(Debug)]
pub struct Transaction<'a> {
    model: &'a mut Model,
    current: &'a Mutex<Current>,
    journal: Option<Arc<Journal>>,
    metrics: Arc<NodeMetrics>,
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(
        model: &'a mut Model,
        current: &'a Mutex<Current>,
        journal: Option<Arc<Journal>>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Self { model, current, journal, metrics }
    }

    /// Returns the progress that the parameters belong to.
    ///
    /// # Errors
    /// The state is torn.
    pub fn whole(&self) -> Result<Arc<Progress>, NodeError> {
        lock(self.current).whole()
    }

    /// Returns the model, to change its parameters.
    pub fn model(&mut self) -> &mut Model {
        lock(self.current).is_whole = false;
        self.model
    }

    /// Ends the change: the model's parameters belong to this progress. Writes both to the journal, if
    /// there is one.
    ///
    /// # Errors
    /// The journal cannot be written: it still has the states of before. The state in memory is the new one.
    pub fn commit(self, progress: Progress) -> Result<(), NodeError> {
        let started = Instant::now();
        let progress = Arc::new(progress);
        self.set(Arc::clone(&progress));
        if let Some(journal) = &self.journal {
            self.model.read_parameters(|values| journal.keep(&progress, values))??;
            self.metrics.journal_seconds.observe(started.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Ends the change like [`Self::commit`], for a state that is in the journal already.
    pub(super) fn commit_kept(self, progress: Progress) {
        self.set(Arc::new(progress));
    }

    /// Sets states of the journal aside, see [`Journal::set_aside`], and leaves the state in memory.
    pub(super) fn set_aside(self, from: Window, diverged: &Progress) -> Result<Option<PathBuf>, NodeError> {
        match self.journal {
            Some(journal) => Ok(journal.set_aside(from, diverged)?),
            None => Ok(None),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^53")]
    fn set(&self, progress: Arc<Progress>) {
        self.metrics.window.set(progress.window().0 as f64);
        *lock(self.current) = Current { progress, is_whole: true };
    }
}
