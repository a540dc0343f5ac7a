//! The honest strategy: train, add the error feedback, send the largest values, keep the rest as error
//! feedback.

use crate::{
    Feedback, MinerError, PreparedUpdate, Strategy,
    work::{train, write},
};
use base::Window;
use bytes::Bytes;
use codec::submission::Submission;
use node::Node;
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
    /// The folder of feedback and moments.
    folder: PathBuf,
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
        let honest = Self { feedback: Arc::new(Mutex::new(feedback)), folder };
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
    async fn make(&mut self, node: &Node, window: Window) -> Result<PreparedUpdate, MinerError> {
        let (trained, training) = train(node, window).await?;
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
            Ok(feedback.compress(window, &delta, threads))
        });
        let sent = sent.await??;
        let upload = write(node, window, node.shared.state(), &sent)?;
        self.feedback().send(window, upload.hash, sent);
        let compress_seconds = started.elapsed().as_secs_f64();
        Ok(PreparedUpdate { upload, trained: Some(training), compress_seconds })
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
