//! Uploads of checkpoints in the background: at most one at a time.

use node::{Background, NodeError, SavedCheckpoint};
use telemetry::target::WINDOW;

/// The uploads of a validator's checkpoints. They end when this is dropped, and the files are deleted.
///
/// A large checkpoint can take longer than a window. The newest one then waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    running: Option<Background<()>>,
    waiting: Option<SavedCheckpoint>,
}

impl Checkpoints {
    /// Deletes the checkpoint whose upload has not begun. A newer one is about to replace it, and the disk
    /// need not hold both.
    pub(super) fn make_room(&mut self) {
        if let Some(older) = self.waiting.take() {
            let window = older.window();
            tracing::warn!(target: WINDOW, %window, "checkpoint not published: a newer one replaces it");
        }
    }

    /// Uploads a checkpoint as soon as no other upload runs.
    pub(super) fn add(&mut self, checkpoint: SavedCheckpoint) {
        self.waiting = Some(checkpoint);
        self.proceed();
    }

    /// Begins the waiting upload if no other one runs.
    pub(super) fn proceed(&mut self) {
        if self.running.as_ref().is_none_or(Background::has_ended) {
            self.running =
                self.waiting.take().map(|checkpoint| Background::start(move || publish(checkpoint)));
        }
    }

    /// Waits until all uploads have ended.
    pub(super) async fn finish(&mut self) {
        while let Some(upload) = &mut self.running {
            upload.finish().await;
            self.proceed();
        }
    }
}

/// Publishes a checkpoint. A failure is logged, since the next checkpoint serves as well.
async fn publish(checkpoint: SavedCheckpoint) {
    let window = checkpoint.window();
    match checkpoint.publish().await {
        Ok(()) => tracing::info!(target: WINDOW, %window, "checkpoint published"),
        Err(NodeError::Shutdown) => {
            tracing::info!(target: WINDOW, %window, "checkpoint not published: the node is being stopped");
        }
        Err(error) => {
            tracing::error!(target: WINDOW, %window, error = %base::ErrorChain(&error), "checkpoint not published");
        }
    }
}
