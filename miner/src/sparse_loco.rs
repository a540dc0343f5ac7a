//! The honest strategy: train, add the error feedback, send the largest values, keep the rest as error
//! feedback.
//!
//! With staleness 1 a window is trained while the miner's own update of the window before is exchanged. The
//! training then begins from the shared parameters minus that update's whole pseudo-gradient, as if it were
//! applied already. So it does not find the same change again. This is a choice of the miner, not of the
//! protocol, and costs one more copy of the parameters in the host's memory.

use crate::{
    Feedback, MinerError, PreparedUpdate, Strategy, TrainedWindow,
    speed::StepTime,
    work::{train, write},
};
use base::{Height, Window};
use bytes::Bytes;
use codec::submission::Submission;
use node::{Background, Node};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The SparseLoCo strategy, with its error feedback.
#[derive(Debug)]
pub struct SparseLoCo {
    /// The error feedback. The model's thread works on it, too.
    feedback: Arc<Mutex<Feedback>>,
    /// The last window's pseudo-gradient, if the next window is trained while that one is exchanged.
    ahead: Option<(Window, Vec<f32>)>,
    /// The folder of feedback and moments.
    folder: PathBuf,
    /// The time of an inner step.
    step_time: StepTime,
}

impl SparseLoCo {
    /// Resumes from the folder's files, or starts anew without them. `kept` are submissions that may
    /// not be settled yet, in order.
    ///
    /// # Errors
    /// A file exists and cannot be read.
    pub async fn resume(
        node: &Node,
        folder: PathBuf,
        kept: Vec<Submission<Bytes>>,
    ) -> Result<Self, MinerError> {
        let (run, layout) = (node.shared.run().hash, Arc::clone(&node.shared.run().layout));
        let saved = Feedback::read(&folder.join("feedback"), run, Arc::clone(&layout))?;
        let is_new = saved.is_none();
        let mut feedback = saved.unwrap_or_else(|| Feedback::new(run, layout));
        kept.iter().for_each(|submission| feedback.resend(submission));
        let honest = Self {
            feedback: Arc::new(Mutex::new(feedback)),
            ahead: None,
            folder,
            step_time: StepTime::default(),
        };
        if !is_new {
            honest.load_moments(node).await?;
        }
        Ok(honest)
    }

    /// Loads the optimizer's moments. Missing or damaged moments only cost some progress.
    async fn load_moments(&self, node: &Node) -> Result<(), MinerError> {
        let path = self.folder.join("moments");
        let loaded = node.shared.model().run(move |model| Ok(model.load_moments(&path))).await?;
        if let Err(error) = loaded {
            tracing::warn!(target: telemetry::target::TRAIN, error = %base::ErrorChain(&error), "the optimizer begins anew");
        }
        Ok(())
    }

    /// Locks the feedback. Each change of it happens under one lock, so a panic elsewhere does not spoil it.
    fn feedback(&self) -> MutexGuard<'_, Feedback> {
        self.feedback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strategy for SparseLoCo {
    type Trained = TrainedWindow;

    fn train(
        &mut self,
        node: &Node,
        window: Window,
        from: Height,
    ) -> Background<Result<TrainedWindow, MinerError>> {
        let ahead = self.ahead.take().filter(|(last, _)| last.0 + 1 == window.0);
        train(node, window, from, ahead.map(|(_, change)| change), &self.step_time)
    }

    async fn make(
        &mut self,
        node: &Node,
        window: Window,
        trained: TrainedWindow,
    ) -> Result<PreparedUpdate, MinerError> {
        let started = Instant::now();
        let delta = trained.pseudo_gradient;
        if !delta.iter().all(|value| value.is_finite()) {
            return Err(MinerError::NotFinite(window));
        }
        let feedback = Arc::clone(&self.feedback);
        let threads = node.shared.threads();
        // On the model's thread, which is idle. This thread must stay free for new blocks.
        let sent = node.shared.model().run(move |_| {
            let mut feedback = feedback.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(feedback.compress(window, &delta, threads).map(|sent| (sent, delta)))
        });
        let (sent, delta) = sent.await??;
        self.ahead = node.shared.run().spec.acceptance.overlaps().then_some((window, delta));
        let upload = write(node, window, (node.shared.base(), trained.samples), &sent)?;
        self.feedback().send(window, upload.hash, sent);
        let compress_seconds = started.elapsed().as_secs_f64();
        Ok(PreparedUpdate { upload, trained: Some(trained.figures), compress_seconds })
    }

    async fn settle(&mut self, node: &Node) -> Result<usize, MinerError> {
        Ok(self.feedback().settle(&node.identity.neuron, &node.shared.progress().history))
    }

    async fn save(&mut self, node: &Node) -> Result<(), MinerError> {
        let (feedback, path) = (Arc::clone(&self.feedback), self.folder.join("feedback"));
        let moments = self.folder.join("moments");
        let saved = node.shared.model().run(move |model| {
            model.save_moments(&moments)?;
            Ok(feedback.lock().unwrap_or_else(PoisonError::into_inner).save(&path))
        });
        Ok(saved.await??)
    }
}
