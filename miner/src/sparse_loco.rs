//! The honest strategy: train, add what was not sent before, send the largest of it, carry on the rest.

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

/// Makes updates as SparseLoCo does, and remembers what was not sent.
#[derive(Debug)]
pub struct SparseLoCo {
    /// Worked on by the model's thread, too.
    feedback: Arc<Mutex<Feedback>>,
    /// Where feedback and moments are saved.
    folder: PathBuf,
}

impl SparseLoCo {
    /// Goes on with what was saved in the folder, or anew. `kept` are submissions that may not be settled yet, in order.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub async fn resume(
        node: &Node,
        folder: PathBuf,
        kept: Vec<Submission<Bytes>>,
    ) -> Result<Self, MinerError> {
        let (run, layout) = (node.run.hash, Arc::clone(&node.run.layout));
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

    /// Moments that are missing or damaged cost some progress and no more.
    async fn load_moments(&self, node: &Node) -> Result<(), MinerError> {
        let path = self.folder.join("moments");
        let loaded = node.model.run(move |model| Ok(model.load_moments(&path))).await?;
        if let Err(error) = loaded {
            tracing::warn!(target: telemetry::target::TRAIN, %error, "the optimizer begins anew");
        }
        Ok(())
    }

    /// Each change of it is made whole under one lock, so that a panic elsewhere does not spoil it.
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
        let threads = node.config.node.compute.threads as usize;
        // On the model's thread, which has nothing else to do: this one must hear of blocks.
        let sent = node.model.run(move |_| {
            let mut feedback = feedback.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(feedback.compress(window, &delta, threads))
        });
        let sent = sent.await??;
        let upload = write(node, window, node.state(), &sent)?;
        self.feedback().send(window, upload.hash, sent);
        let compress_seconds = started.elapsed().as_secs_f64();
        Ok(PreparedUpdate { upload, trained: Some(training), compress_seconds })
    }

    async fn settle(&mut self, node: &Node) -> Result<usize, MinerError> {
        Ok(self.feedback().settle(&node.id, &node.progress.history))
    }

    async fn save(&mut self, node: &Node) -> Result<(), MinerError> {
        let (feedback, path) = (Arc::clone(&self.feedback), self.folder.join("feedback"));
        let moments = self.folder.join("moments");
        let saved = node.model.run(move |model| {
            model.save_moments(&moments)?;
            Ok(feedback.lock().unwrap_or_else(PoisonError::into_inner).save(&path))
        });
        Ok(saved.await??)
    }
}
