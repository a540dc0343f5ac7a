//! The number of requests to chain and buckets, for the log.

use base::{Height, Window};
use protocol::clock::{Clock, Position};
use std::sync::Arc;

/// The requests of this process, by window. Public endpoints of the chain allow about one request a second.
#[derive(Debug)]
pub(crate) struct Requests {
    clock: Clock,
    chain: Arc<chain::Metrics>,
    buckets: Arc<storage::Metrics>,
    /// The window of the newest block, its first block that was seen, and the counts at that time.
    begun: Option<(Window, Height, Counts)>,
}

/// The requests since the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    chain: u64,
    buckets: u64,
}

impl Requests {
    pub(crate) fn new(clock: Clock, chain: Arc<chain::Metrics>, buckets: Arc<storage::Metrics>) -> Self {
        Self { clock, chain, buckets, begun: None }
    }

    /// Notes a block. Logs the requests of a window at the first block after it, and returns whether this
    /// block is the first of a window.
    pub(crate) fn saw(&mut self, height: Height) -> bool {
        let Position::Within { window, .. } = self.clock.position(height) else { return false };
        let now = Counts { chain: self.chain.requests.total(), buckets: self.buckets.requests.total() };
        match self.begun {
            Some((of, ..)) if of == window => return false,
            Some((of, first, before)) => {
                let blocks = height.0.saturating_sub(first.0);
                let (chain, buckets) = (now.chain - before.chain, now.buckets - before.buckets);
                tracing::info!(target: telemetry::target::NODE, window = %of, blocks, chain, buckets, "requests in the window");
            }
            None => {}
        }
        self.begun = Some((window, height, now));
        true
    }
}
