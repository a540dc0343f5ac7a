//! The strategy of a miner: the part in which an honest miner and an adversary differ.

use crate::{MinerError, Upload};
use base::{Height, Window};
use node::{Background, Node};
use protocol::machine::miner::ClaimTime;

/// A way to make updates. All other parts of a miner are the same for all strategies: [`run`](crate::run).
pub trait Strategy {
    /// The result of a training.
    type Trained: Send + 'static;

    /// Begins the training of a window in the background, when block `from` is final. The model holds the
    /// shared state from which the window is trained, and must hold it again when the training ends.
    ///
    /// The training is cancelled and [interrupted](engine::Handle::interrupt) when it is too late to claim
    /// the window, when the shared state is lost, or when the node is being stopped. Some of its errors
    /// skip only the window ([`MinerError::skips_window`]), others end the miner.
    fn train(
        &mut self,
        node: &Node,
        window: Window,
        from: Height,
    ) -> Background<Result<Self::Trained, MinerError>>;

    /// Makes the update of a window from the result of its training. The update was trained from
    /// [`SharedState::base`](node::SharedState::base). All earlier windows are settled.
    ///
    /// The future is dropped when it is too late to claim the window or the node is being stopped.
    ///
    /// # Errors
    /// Some errors skip only the window ([`MinerError::skips_window`]), others end the miner.
    fn make(
        &mut self,
        node: &Node,
        window: Window,
        trained: Self::Trained,
    ) -> impl Future<Output = Result<PreparedUpdate, MinerError>>;

    /// Settles the windows before [`SharedState::window`](node::SharedState::window), which are decided.
    /// Returns the number of this miner's submissions that they accepted. Called before each window, and
    /// after a restart.
    ///
    /// # Errors
    /// The miner cannot continue, and ends.
    fn settle(&mut self, _node: &Node) -> impl Future<Output = Result<usize, MinerError>> {
        async { Ok(0) }
    }

    /// Saves the data that the next windows need in files.
    ///
    /// # Errors
    /// A file cannot be written, and the miner ends.
    fn save(&mut self, _node: &Node) -> impl Future<Output = Result<(), MinerError>> {
        async { Ok(()) }
    }

    /// Returns the time at which submissions are claimed.
    fn claim_time(&self) -> ClaimTime {
        ClaimTime::InTime
    }

    /// Checks whether the keys of sealed submissions are published.
    fn reveals(&self) -> bool {
        true
    }
}

/// The update of a window.
#[derive(Clone, Debug)]
pub struct PreparedUpdate {
    /// The upload.
    pub upload: Upload,
    /// Figures of the training, if there was one.
    pub trained: Option<Training>,
    /// Seconds for compressing and encoding.
    pub compress_seconds: f64,
}

/// The result of an honest training.
#[derive(Clone, Debug)]
pub struct TrainedWindow {
    /// The pseudo-gradient, f32 in the order of the parameters.
    pub pseudo_gradient: Vec<f32>,
    /// The number of sequences trained on.
    pub samples: u64,
    /// Figures of the training.
    pub figures: Training,
}

/// Figures of a window's training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// The mean loss over the inner steps, nats per token.
    pub loss: f64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds for the training.
    pub seconds: f64,
}
