//! The common part of all subscriptions: they follow the height, and end when the client leaves.

use std::ops::RangeInclusive;

use jsonrpsee::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink, core::SubscriptionResult};
use serde::Serialize;
use tokio::sync::watch;

/// The maximum number of heights that are handled at once.
const STRIDE: u32 = 64;

/// Follows the chain's height without gaps.
pub(super) struct Follower {
    heights: watch::Receiver<u32>,
    next: u32,
}

impl Follower {
    /// Starts at the newest height.
    pub(super) fn from_best(mut heights: watch::Receiver<u32>) -> Self {
        let next = *heights.borrow_and_update();
        Self { heights, next }
    }

    /// Waits for new heights and returns them. Returns `None` after the chain has stopped.
    pub(super) async fn next(&mut self) -> Option<RangeInclusive<u32>> {
        let best = *self.heights.wait_for(|best| *best >= self.next).await.ok()?;
        let range = self.next..=best.min(self.next.saturating_add(STRIDE - 1));
        self.next = range.end().saturating_add(1);
        Some(range)
    }
}

/// Sends one item of a subscription. Fails if the client is gone.
pub(super) async fn send(sink: &SubscriptionSink, item: &impl Serialize) -> SubscriptionResult {
    let message = SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), item)?;
    Ok(sink.send(message).await?)
}

/// Runs `feed` on an accepted subscription until `feed` ends or the client leaves.
pub(super) async fn run(
    pending: PendingSubscriptionSink,
    feed: impl AsyncFnOnce(&SubscriptionSink) -> SubscriptionResult,
) -> SubscriptionResult {
    let sink = pending.accept().await?;
    tokio::select! {
        biased;
        () = sink.closed() => {}
        // An error here means that the client is gone or the chain has stopped. Nothing is left to
        // report to.
        _ = feed(&sink) => {}
    }
    Ok(())
}
