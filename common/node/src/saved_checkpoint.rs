//! Checkpoints of a node's own state: saved at once, and published while the node goes on.

use crate::{CheckpointFiles, Events, Network, Node, NodeError, NodeEvent};
use base::Window;
use exchange::OwnBucket;
use protocol::checkpoint::Manifest;

/// A checkpoint on this disk, to be published. Its files are deleted when it is dropped.
#[derive(Debug)]
pub struct SavedCheckpoint {
    files: CheckpointFiles<Manifest>,
    network: Network,
    own_bucket: OwnBucket,
    events: Events,
}

impl SavedCheckpoint {
    /// Returns the window at whose start the parameters are these.
    #[must_use]
    pub fn window(&self) -> Window {
        self.files.content().window
    }

    /// Publishes the checkpoint.
    ///
    /// # Errors
    /// The bucket does not accept it, or the node is being stopped.
    pub async fn publish(self) -> Result<(), NodeError> {
        let publish = self.own_bucket.put_checkpoint(self.files.folder(), self.files.content());
        self.network.unless_stopped(publish).await??;
        self.events.emit(NodeEvent::Checkpoint { window: self.window() });
        Ok(())
    }
}

impl Node {
    /// Saves the state as a checkpoint on this disk. Later windows do not change it, so that it can be
    /// published [in the background](crate::Background).
    ///
    /// # Errors
    /// The state is torn, or the disk cannot be written.
    pub async fn save_checkpoint(&self) -> Result<SavedCheckpoint, NodeError> {
        Ok(SavedCheckpoint {
            files: self.shared.save().await?,
            network: self.network.clone(),
            own_bucket: self.identity.own_bucket.clone(),
            events: self.observability.events.clone(),
        })
    }
}
