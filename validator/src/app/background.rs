//! Work that goes on while the validator measures: its vote, and the objects in its custody.

use crate::ValidatorMetrics;
use base::{Height, NeuronId, Window};
use bytes::Bytes;
use codec::submission::Submission;
use exchange::{CommitmentWriter, OwnBucket, OwnBucketError};
use node::{Background, Events, Network, NodeEvent};
use protocol::announcement::{Record, Vote};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use telemetry::target::WINDOW;
use tokio::time::sleep;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The work of a validator in the background. It ends when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks(Vec<Background<()>>);

impl Tasks {
    /// Keeps work until it has ended.
    pub(super) fn add(&mut self, work: Background<()>) {
        self.0.retain(|work| !work.has_ended());
        self.0.push(work);
    }

    /// Waits until all work has ended.
    pub(super) async fn finish(&mut self) {
        for work in &mut self.0 {
            work.finish().await;
        }
        self.0.clear();
    }
}

/// A vote on its way to the chain.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) network: Network,
    pub(super) writer: CommitmentWriter,
    pub(super) events: Events,
    pub(super) metrics: Arc<ValidatorMetrics>,
    pub(super) vote: Vote,
    /// The miners that the vote is for.
    pub(super) good: BTreeSet<NeuronId>,
    /// The last block in which the vote counts.
    pub(super) closes: Height,
    /// The duration of the downloads.
    pub(super) seconds_fetch: f64,
}

impl Sending {
    /// Writes the vote to the chain, and repeats that as long as it is of use.
    pub(super) async fn run(self) {
        let Some(block) = self.commit().await else { return };
        let (window, closes) = (self.vote.window, self.closes);
        if block > closes {
            tracing::warn!(target: WINDOW, %window, %block, %closes, "the vote came too late");
        }
        self.metrics.votes.increment();
        let good: Vec<_> = self.good.iter().map(|miner| miner.hotkey).collect();
        tracing::info!(target: WINDOW, %window, good = good.len(), %block, "voted");
        let seconds_fetch = self.seconds_fetch;
        self.events.emit(NodeEvent::Voted { window, good, block, seconds_fetch });
    }

    /// Returns the block of the vote, or `None` if another attempt is of no use.
    async fn commit(&self) -> Option<Height> {
        let window = self.vote.window;
        loop {
            match self.writer.record(Record::Vote(self.vote)).await {
                Ok(block) => return Some(block),
                Err(error) if error.is_retryable() && self.network.height() < self.closes => {
                    tracing::warn!(target: WINDOW, %window, error = %base::ErrorChain(&error), "the vote is not on chain yet");
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(target: WINDOW, %window, error = %base::ErrorChain(&error), "no vote in this window");
                    return None;
                }
            }
        }
    }
}

/// The submissions that a validator stores for others, on their way to its bucket.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) network: Network,
    pub(super) own_bucket: OwnBucket,
    pub(super) window: Window,
    pub(super) submissions: Vec<Submission<Bytes>>,
    /// The block from which on no node waits for them.
    pub(super) until: Height,
}

impl Keeping {
    /// Uploads one submission after the other, each with its key.
    pub(super) async fn run(self) {
        let window = self.window;
        for submission in &self.submissions {
            let object = submission.hash();
            while let Err(error) = self.put(submission).await {
                tracing::warn!(target: WINDOW, %window, %object, error = %base::ErrorChain(&error), "object in custody not published yet");
                if self.network.height() >= self.until {
                    return;
                }
                sleep(PAUSE).await;
            }
            tracing::info!(target: WINDOW, %window, %object, "object in custody published");
        }
    }

    async fn put(&self, submission: &Submission<Bytes>) -> Result<(), OwnBucketError> {
        let object = submission.hash();
        let (bytes, key) = submission.stored();
        if let Some(key) = key {
            self.own_bucket.put_key(self.window, &object, key).await?;
        }
        self.own_bucket.put_submission(self.window, &object, bytes.into()).await?;
        Ok(())
    }
}
