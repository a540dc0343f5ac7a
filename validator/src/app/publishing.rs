//! What a validator gives to others: its logs and records, what it is a custodian of, checkpoints, weights.

use super::Validator;
use crate::{ValidatorError, round::Done, weights};
use base::Window;
use exchange::OwnBucketError;
use node::{NodeError, NodeEvent};
use protocol::{history::WindowRecord, replicas::custodians};
use std::time::Duration;
use telemetry::target::{SCORE, WINDOW};

/// Time for publishing what belongs to a window. What is not out by then is tried again with the next window.
const PUBLISHING: Duration = Duration::from_secs(120);
/// Windows that submissions are kept for where no checkpoints are made.
const KEEP_WINDOWS: u64 = 20;

impl Validator {
    /// Publishes what is not published yet. What fails is tried again with the next window.
    pub(super) async fn publish(&mut self, window: Window) -> Result<Done, ValidatorError> {
        for of in self.unpublished.clone() {
            let Some(closed) = self.logs.iter().find(|closed| closed.log.header.window == of) else {
                self.unpublished.remove(&of);
                continue;
            };
            if self.put("score log", self.node.own_bucket.put_score_log(of, closed.bytes.clone())).await? {
                self.unpublished.remove(&of);
            }
        }
        let record = self.record(window);
        if let Some(record) = &record {
            self.put("record", self.node.own_bucket.put_record(record)).await?;
        }
        self.keep_for_others(window).await?;
        let every = self.node.config.validator.checkpoint_every;
        let keep = if every == 0 { KEEP_WINDOWS } else { every.saturating_mul(2) };
        let oldest = Window(self.node.window().0.saturating_sub(keep));
        if oldest.0 > 0 {
            self.put("deletion of old objects", self.node.own_bucket.delete_before(oldest)).await?;
        }
        self.forget();
        Ok(Done::Published)
    }

    /// What was decided on a window.
    fn record(&self, window: Window) -> Option<WindowRecord> {
        let decision = self.decision.as_ref().filter(|decision| decision.window == window);
        let records = || self.node.progress.history.records().find(|record| record.window == window).cloned();
        decision.map(WindowRecord::of).or_else(records)
    }

    /// Puts the accepted objects of which this validator is a custodian into its bucket.
    async fn keep_for_others(&self, window: Window) -> Result<(), ValidatorError> {
        let node = &self.node;
        let (Some(decision), Ok(heights)) = (&self.decision, node.run.clock.heights(window)) else {
            return Ok(());
        };
        if decision.applied().is_empty() || decision.candidates.is_empty() {
            return Ok(());
        }
        let read = async || {
            let votes = node.chain_reader.at(heights.votes_close).await?;
            Ok((votes, node.chain_reader.hash(heights.claims_close).await?))
        };
        let (votes, seed) = match node.ask(read).await {
            Err(NodeError::Chain(error)) if error.is_pruned() => return Ok(()),
            read => read?,
        };
        for accepted in decision.applied() {
            let voters = votes.voters_for(node.run.id, &heights, decision, accepted);
            let object = self.applied.iter().find(|object| object.hash() == accepted.object);
            let Some(object) =
                object.filter(|_| custodians(seed, &accepted.object, &voters).contains(&node.id))
            else {
                continue;
            };
            let (bytes, key) = object.stored();
            if let Some(key) = key {
                self.put("key in custody", node.own_bucket.put_key(window, &accepted.object, key)).await?;
            }
            let put = node.own_bucket.put_submission(window, &accepted.object, bytes.into());
            self.put("object in custody", put).await?;
        }
        Ok(())
    }

    /// Whether something was published; that it was not is no reason to stop.
    async fn put<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, OwnBucketError>>,
    ) -> Result<bool, ValidatorError> {
        match self.node.unless_stopped(tokio::time::timeout(PUBLISHING, work)).await? {
            Ok(Ok(_)) => return Ok(true),
            Ok(Err(error)) => tracing::error!(target: SCORE, what, %error, "not published"),
            Err(_) => {
                tracing::error!(target: SCORE, what, seconds = PUBLISHING.as_secs(), "not published in time")
            }
        }
        Ok(false)
    }

    pub(super) async fn checkpoint(&mut self, window: Window) -> Result<Done, ValidatorError> {
        match self.node.save_checkpoint().await {
            Err(NodeError::Shutdown) => return Err(NodeError::Shutdown.into()),
            Err(error) => tracing::error!(target: WINDOW, %window, %error, "no checkpoint of this window"),
            Ok(()) => tracing::info!(target: WINDOW, %window, "the checkpoint is published"),
        }
        Ok(Done::Checkpointed)
    }

    pub(super) async fn set_weights(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let node = &self.node;
        let given_up = Done::Weighed { window, opens: node.height() };
        let closed = self.logs.newest().filter(|closed| closed.log.header.window == window);
        let Some(stated) = closed.map(|closed| &closed.log.stated.weights).filter(|row| !row.is_empty())
        else {
            return Ok(given_up); // Why there are none was said when the log was closed.
        };
        let (client, netuid) = (node.chain_reader.client(), node.chain_reader.netuid());
        let setting = weights::set(client, netuid, &node.hotkey, stated);
        Ok(match node.unless_stopped(setting).await? {
            weights::Outcome::Set { block, opens } => {
                tracing::info!(target: SCORE, %window, %block, "weights are set, and on chain as they were sent");
                self.metrics.weights.increment();
                let row = stated.iter().map(|(&uid, &weight)| (uid, weight)).collect();
                node.events.emit(NodeEvent::Weights { window, block, weights: row });
                Done::Weighed { window, opens }
            }
            weights::Outcome::NotYet { opens, reason } => {
                tracing::info!(target: SCORE, %window, %opens, reason, "weights are not set yet");
                Done::NotYet { opens: opens.max(node.height().next()) }
            }
            weights::Outcome::Refused(reason) => {
                tracing::error!(target: SCORE, %window, reason, "the weights of this window cannot be set");
                given_up
            }
        })
    }
}
