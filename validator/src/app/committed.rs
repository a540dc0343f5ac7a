//! Committed weights until their reveal: takes weights back from uids that change hands, and reveals hashes.

use crate::{commits::Committed, weights::Weigher};
use base::{ErrorChain, Height};
use chain::CommitKind;
use node::Network;
use std::time::Duration;
use telemetry::target::SCORE;
use tokio::time::sleep;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// A commit on its way to its reveal.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) network: Network,
    pub(super) weigher: Weigher,
    pub(super) committed: Committed,
}

impl Hidden {
    /// Follows the commit until nothing is left to do for it. Ends early if the chain can no longer be
    /// followed: the node ends then too.
    pub(super) async fn run(mut self) {
        if let Some(height) = self.last_look().await {
            if self.network.wait_for(height).await.is_err() {
                return;
            }
            self.take_back().await;
        }
        if matches!(self.committed.commit.kind, CommitKind::Hash { .. }) {
            self.reveal().await;
        }
    }

    async fn last_look(&self) -> Option<Height> {
        match self.weigher.last_look(&self.committed).await {
            Ok(height) => height,
            Err(error) => {
                tracing::warn!(target: SCORE, error = %ErrorChain(&error), "uids that change hands keep their committed weights");
                None
            }
        }
    }

    /// Commits again without the uids that have changed hands, if there are any.
    async fn take_back(&mut self) {
        let window = self.committed.window;
        match self.weigher.take_back(&self.committed).await {
            Ok(None) => {}
            Ok(Some(committed)) => {
                tracing::info!(target: SCORE, %window, block = ?committed.block, "weights committed again: a uid has changed hands, and gets 0");
                self.committed = committed;
            }
            Err(error) => {
                tracing::warn!(target: SCORE, %window, error = %ErrorChain(&error), "a uid has changed hands, and keeps its committed weight");
            }
        }
    }

    /// Reveals a hash in its epoch. Tries again until that epoch is over. A second reveal of the same commit
    /// has no effect, so that an attempt whose outcome is not known may be repeated.
    async fn reveal(&self) {
        let (window, reveal) = (self.committed.window, self.committed.commit.reveal);
        let mut from = reveal;
        while self.network.wait_for(from).await.is_ok() {
            let tried = self.network.height();
            match self.weigher.reveal(&self.committed).await {
                Ok(Some(included)) => {
                    tracing::info!(target: SCORE, %window, block = %included.height, "weights revealed");
                    return;
                }
                Ok(None) => return,
                Err(error) if error.is_retryable() || error.is_unknown() => {
                    tracing::warn!(target: SCORE, %window, error = %ErrorChain(&error), "weights not revealed yet");
                    sleep(PAUSE).await;
                    from = tried.next(); // Blocks that came meanwhile are not waited for again.
                }
                Err(error) => {
                    tracing::error!(target: SCORE, %window, error = %ErrorChain(&error), "the committed weights are lost");
                    return;
                }
            }
        }
    }
}
