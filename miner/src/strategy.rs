//! What an update is made of: the part of a miner in which an honest one and others differ.

use crate::{MinerError, Upload, round::ClaimTime};
use base::Window;
use node::Node;

/// Makes the updates of a miner. Everything else (when, where to, what then) is the same for all: [`run`](crate::run).
pub trait Strategy {
    /// Makes what is sent for a window; the model holds the shared state at its start and must hold it again when this
    /// is done.
    ///
    /// It may be dropped at any point, when it is too late to claim the window or the node is being stopped.
    ///
    /// # Errors
    /// Some lose only the window ([`MinerError::skips_window`]), others end the miner.
    fn make(
        &mut self,
        node: &Node,
        window: Window,
    ) -> impl Future<Output = Result<PreparedUpdate, MinerError>>;

    /// Told before each window, and after a restart: all windows before [`Node::window`] are decided. Says how many of
    /// its own submissions were accepted in them.
    ///
    /// # Errors
    /// It cannot be settled: the miner ends.
    fn settle(&mut self, _node: &Node) -> impl Future<Output = Result<usize, MinerError>> {
        async { Ok(0) }
    }

    /// Saves what the next windows need, in files.
    ///
    /// # Errors
    /// It cannot be saved: the miner ends.
    fn save(&mut self, _node: &Node) -> impl Future<Output = Result<(), MinerError>> {
        async { Ok(()) }
    }

    /// When submissions are claimed.
    fn claim_time(&self) -> ClaimTime {
        ClaimTime::InTime
    }

    /// Whether the keys of sealed submissions are published.
    fn reveals(&self) -> bool {
        true
    }
}

/// What was made for a window.
#[derive(Clone, Debug)]
pub struct PreparedUpdate {
    /// What is uploaded, claimed and revealed.
    pub upload: Upload,
    /// What the training was like, if there was any.
    pub trained: Option<Training>,
    /// Seconds that compressing and encoding took.
    pub compress_seconds: f64,
}

/// What a window's training was like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// The mean loss over the inner steps, nats per token.
    pub loss: f64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds that it took.
    pub seconds: f64,
}
