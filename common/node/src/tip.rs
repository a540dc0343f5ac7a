//! The newest finalized block, known to everybody in the process.

use crate::{NodeError, NodeMetrics};
use base::Height;
use chain::{Block, BlocksError, Client};
use exchange::ChainReader;
use std::{sync::Arc, time::Duration};
use telemetry::{Component, Shutdown};
use tokio::{sync::watch, time::timeout};

/// The newest finalized block. Clones follow the same chain.
///
/// The chain's client reconnects by itself; what ends here is a chain that contradicts itself.
#[derive(Clone, Debug)]
pub struct Tip {
    newest: watch::Receiver<Result<Height, BlocksError>>,
    shutdown: Shutdown,
}

/// What the task that follows the chain needs.
pub(crate) struct Follow {
    pub(crate) chain_reader: ChainReader,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) component: Component,
    pub(crate) shutdown: Shutdown,
    /// After so long without a block the node is not ready.
    pub(crate) patience: Duration,
}

impl Tip {
    /// Follows the chain from `last` on, in a task of its own.
    pub(crate) fn follow(client: Client, last: Height, follow: Follow) -> Self {
        let (newest, receiver) = watch::channel(Ok(last));
        let shutdown = follow.shutdown.clone();
        tokio::spawn(follow.run(client, last, newest));
        Self { newest: receiver, shutdown }
    }

    /// Its height, as far as it was heard.
    #[must_use]
    pub fn height(&self) -> Height {
        // After an error there is no newer one; who waits for it is told.
        self.newest.borrow().clone().unwrap_or_default()
    }

    /// Waits until the block of this height is final; the newest one's height then.
    ///
    /// # Errors
    /// The node is being stopped, or the chain cannot be followed any more.
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
    async fn run(self, client: Client, last: Height, newest: watch::Sender<Result<Height, BlocksError>>) {
        let mut blocks = client.blocks_from(last.next());
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
                    self.component.dead(error.to_string());
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
