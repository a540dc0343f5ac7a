//! The publications of a validator: the record of a window, checkpoints, weights, and the logs of earlier
//! windows.

use super::{Validator, carried::Event};
use crate::{
    ValidatorError,
    weights::{OnTheirWay, WeightsOutcome},
};
use base::Window;
use exchange::OwnBucketError;
use node::{NodeError, NodeEvent};
use protocol::{history::WindowRecord, machine::validator::SettledWeights};
use std::{collections::BTreeSet, time::Duration};
use telemetry::target::{SCORE, WINDOW};

/// The time limit of one upload. A later window tries again.
const PUBLISHING: Duration = Duration::from_secs(120);
/// The number of windows whose submissions stay in the bucket if no checkpoints are made.
const KEEP_WINDOWS: u64 = 20;

impl Validator {
    /// Uploads the score logs of these windows. The machine says when, and tries again if that fails.
    pub(super) async fn publish_logs(&mut self, windows: BTreeSet<Window>) -> Result<Event, ValidatorError> {
        let mut uploaded = BTreeSet::new();
        for window in windows.iter().copied() {
            if self.is_hidden(window).await? {
                tracing::info!(target: SCORE, %window, "the log waits: its weights are not revealed yet");
                break;
            }
            let bytes = self.logs.get(window).map(|closed| closed.bytes.clone());
            let is_done = match bytes {
                Some(bytes) => {
                    let upload = self.node.identity.own_bucket.put_score_log(window, bytes);
                    self.put("score log", upload).await?
                }
                None => true,
            };
            if !is_done {
                break; // The next one would wait as long.
            }
            self.logs.published(window)?;
            self.node.observability.events.emit(NodeEvent::LogPublished { window });
            uploaded.insert(window);
        }
        Ok(Event::LogsPublished { attempted: windows, uploaded })
    }

    /// Checks whether weights that rest on a log are committed and still hidden, although the machine expects
    /// them to be public: the subnet's epochs may have moved since the commit.
    async fn is_hidden(&self, window: Window) -> Result<bool, ValidatorError> {
        Ok(self.node.network.ask(async || Ok(self.weigher.is_hidden(window).await?)).await?)
    }

    /// Publishes the record of a window, and deletes old objects.
    pub(super) async fn publish(&mut self, window: Window) -> Result<Event, ValidatorError> {
        if let Some(record) = &self.record(window) {
            self.put("record", self.node.identity.own_bucket.put_record(record)).await?;
        }
        let every = self.settings.checkpoint_every;
        let keep = if every == 0 { KEEP_WINDOWS } else { every.saturating_mul(2) };
        let oldest = Window(self.node.shared.window().0.saturating_sub(keep));
        if oldest.0 > 0 {
            self.put("deletion of old objects", self.node.identity.own_bucket.delete_before(oldest)).await?;
        }
        Ok(Event::Published)
    }

    /// Returns the record of a window that was applied, if the history still holds it.
    fn record(&self, window: Window) -> Option<WindowRecord> {
        let progress = self.node.shared.progress();
        progress.history.records().find(|record| record.window == window).cloned()
    }

    /// Waits for an upload. Returns whether it succeeded. A failure is logged, and the validator continues.
    async fn put<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, OwnBucketError>>,
    ) -> Result<bool, ValidatorError> {
        match self.node.network.unless_stopped(tokio::time::timeout(PUBLISHING, work)).await? {
            Ok(Ok(_)) => return Ok(true),
            Ok(Err(error)) => {
                tracing::error!(target: SCORE, what, error = %base::ErrorChain(&error), "not published")
            }
            Err(_) => {
                tracing::error!(target: SCORE, what, seconds = PUBLISHING.as_secs(), "not published in time")
            }
        }
        Ok(false)
    }

    /// Saves a checkpoint, and begins to publish it.
    pub(super) async fn checkpoint(&mut self, window: Window) -> Result<Event, ValidatorError> {
        self.checkpoints.make_room();
        match self.node.save_checkpoint().await {
            Ok(checkpoint) => self.checkpoints.add(checkpoint),
            Err(NodeError::Shutdown) => return Err(NodeError::Shutdown.into()),
            Err(error) => {
                tracing::error!(target: WINDOW, %window, error = %base::ErrorChain(&error), "checkpoint not saved");
            }
        }
        Ok(Event::Checkpointed)
    }

    pub(super) async fn set_weights(&mut self, window: Window) -> Result<Event, ValidatorError> {
        let network = &self.node.network;
        let settled =
            |public, opens| Event::WeightsSettled { weights: SettledWeights { window, public }, opens };
        let given_up = settled(network.height(), network.height());
        if self.logs.newest().is_none_or(|closed| closed.log.header.window != window) {
            return Ok(given_up);
        }
        // If no miner has a score, the last good weights are set again, so that they stay valid. The reason
        // was logged when the log was closed.
        let Some(log) = self.logs.last_weights() else { return Ok(given_up) };
        Ok(match network.unless_stopped(self.weigher.set(window, log)).await? {
            WeightsOutcome::Set(OnTheirWay { block, opens, public, row, committed }) => {
                self.metrics.weights.increment();
                self.node.observability.events.emit(NodeEvent::Weights { window, block, weights: row });
                match committed {
                    Some(committed) => {
                        tracing::info!(target: SCORE, %window, %block, reveal = %public, "weights committed");
                        self.follow_commit(committed);
                    }
                    None => {
                        tracing::info!(target: SCORE, %window, %block, "weights set, and on chain as they were sent")
                    }
                }
                settled(public, opens)
            }
            WeightsOutcome::NotYet { opens, reason } => {
                tracing::info!(target: SCORE, %window, %opens, reason, "weights not set yet");
                Event::WeightsLater { opens: opens.max(network.height().next()) }
            }
            WeightsOutcome::Refused(reason) => {
                tracing::error!(target: SCORE, %window, reason, "the weights of this window cannot be set");
                given_up
            }
        })
    }
}
