//! The common part of all subscriptions: they follow a number that rises, and end when the client leaves.

use std::ops::RangeInclusive;

use jsonrpsee::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink, core::SubscriptionResult};
use serde::Serialize;
use tokio::sync::watch;

/// The maximum number of blocks that are handled at once.
const STRIDE: u32 = 64;

/// Follows a rising number without gaps: a height, or the number of the newest import.
pub(super) struct Follower {
    newest: watch::Receiver<u32>,
    next: u32,
}

impl Follower {
    /// Starts at the newest number.
    pub(super) fn from_newest(mut newest: watch::Receiver<u32>) -> Self {
        let next = *newest.borrow_and_update();
        Self { newest, next }
    }

    /// Waits for new numbers and returns them. Returns `None` after the chain has stopped.
    pub(super) async fn next(&mut self) -> Option<RangeInclusive<u32>> {
        let newest = *self.newest.wait_for(|newest| *newest >= self.next).await.ok()?;
        let range = self.next..=newest.min(self.next.saturating_add(STRIDE - 1));
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
