//! The newest finalized block, for all tasks of the process.

use crate::{NodeError, NodeMetrics};
use base::Height;
use chain::{Block, BlocksError};
use exchange::ChainReader;
use std::{sync::Arc, time::Duration};
use telemetry::{Component, Shutdown};
use tokio::{sync::watch, time::timeout};

/// The newest finalized block. Clones follow the same chain.
///
/// The chain's client reconnects by itself. The task ends only if the chain contradicts itself.
#[derive(Clone, Debug)]
pub struct Tip {
    newest: watch::Receiver<Result<Height, BlocksError>>,
    shutdown: Shutdown,
}

/// The task that follows the chain.
pub(crate) struct Follow {
    pub(crate) chain_reader: ChainReader,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) component: Component,
    pub(crate) shutdown: Shutdown,
    /// The time without a block after which the node is not ready.
    pub(crate) patience: Duration,
}

impl Tip {
    /// Creates a tip that stays at a height.
    pub(crate) fn fixed(height: Height, shutdown: Shutdown) -> Self {
        let (_, newest) = watch::channel(Ok(height));
        Self { newest, shutdown }
    }

    /// Follows the chain from `last` on, in a task of its own.
    pub(crate) fn follow(last: Height, follow: Follow) -> Self {
        let (newest, receiver) = watch::channel(Ok(last));
        let shutdown = follow.shutdown.clone();
        tokio::spawn(follow.run(last, newest));
        Self { newest: receiver, shutdown }
    }

    /// Returns its height.
    #[must_use]
    pub fn height(&self) -> Height {
        // After an error there is no newer block. A caller that waits for one gets the error.
        self.newest.borrow().clone().unwrap_or_default()
    }

    /// Waits until the block of this height is final. Returns the height of the newest finalized block then.
    ///
    /// # Errors
    /// The node is being stopped, or the chain can no longer be followed.
    pub async fn reached(&self, height: Height) -> Result<Height, NodeError> {
        let mut newest = self.newest.clone();
        let is_there =
            |newest: &Result<Height, BlocksError>| newest.as_ref().map_or(true, |now| *now >= height);
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Err(NodeError::Shutdown),
            newest = newest.wait_for(is_there) => match newest {
                Ok(newest) => Ok(newest.clone()?),
                Err(_) => Err(NodeError::Shutdown), // The task has ended with the runtime.
            },
        }
    }
}

impl Follow {
    async fn run(self, last: Height, newest: watch::Sender<Result<Height, BlocksError>>) {
        let mut blocks = self.chain_reader.client().blocks_from(last.next());
        self.note(last);
        loop {
            let next = tokio::select! {
                biased;
                () = self.shutdown.requested() => return,
                () = newest.closed() => return,
                next = timeout(self.patience, blocks.next()) => next,
            };
            match next {
                Ok(Ok(block)) => {
                    self.saw(&block);
                    newest.send_modify(|newest| *newest = Ok(block.height));
                }
                Ok(Err(error)) => {
                    self.component.dead(base::ErrorChain(&error).to_string());
                    newest.send_modify(|newest| *newest = Err(error));
                    return;
                }
                Err(_) => {
                    let seconds = self.patience.as_secs();
                    self.component.not_ready(format!("no finalized block for {seconds} s"));
                }
            }
        }
    }

    fn saw(&self, block: &Block) {
        self.chain_reader.saw(block);
        self.note(block.height);
    }

    #[allow(clippy::cast_precision_loss)] // A height is far below 2^53.
    fn note(&self, height: Height) {
        self.metrics.height.set(height.0 as f64);
        self.component.ready();
    }
}
