//! The comparison of this machine's clock with those of its bucket and of the chain.
//!
//! Buckets refuse signatures that are more than 15 minutes off. A node with a wrong clock then reads and
//! writes nothing, and no other node is at fault.

use crate::NodeMetrics;
use base::UnixMillis;
use chain::Client;
use protocol::downloads::ClockReadings;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::{Bucket, Floor, Limits};
use telemetry::{Component, target::NODE};
use tokio::sync::Mutex;

/// The largest difference that is not worth a warning, in seconds.
const TOLERATED: i64 = 30;
/// The time that the own bucket has for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The object that is read from the own bucket for the date of the answer. It need not exist.
const PROBE: &str = "clock";
/// The number of block times that the best block may be old. Now and then, a block is left out.
const BLOCKS: u32 = 3;

/// Compares the clock of this machine, at the start and once a window.
#[derive(Debug)]
pub(crate) struct OwnClock {
    pub(crate) client: Client,
    /// A handle of the own bucket. Each answer to it has a date.
    pub(crate) bucket: Bucket,
    pub(crate) block_time: Duration,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) component: Component,
    /// Taken during a comparison: one at a time is enough.
    pub(crate) running: Mutex<()>,
}

impl OwnClock {
    /// Compares the clock, and says what it finds.
    pub(crate) async fn check(self: Arc<Self>) {
        let Ok(_running) = self.running.try_lock() else { return };
        self.report(self.newest().await);
    }

    /// Reads the clocks of the own bucket (one request) and of the chain (two). If the bucket does not answer
    /// in time, its clock is that of its newest answer.
    pub(crate) async fn read(&self) -> ClockReadings {
        self.ask_bucket().await;
        self.newest().await
    }

    /// Lets the own bucket answer. The handle notes the date of each answer, a refusal's too.
    async fn ask_bucket(&self) {
        let floor = Floor { bytes_per_second: 0, over: PATIENCE };
        let limits = Limits { bytes: 4096, time: PATIENCE, floor };
        if let Err(error) = self.bucket.get(PROBE, &limits).await {
            tracing::trace!(target: NODE, error = %base::ErrorChain(&error), "the own bucket was asked for the time");
        }
    }

    /// Reads the clock of the chain, and takes the bucket's from its newest answer.
    async fn newest(&self) -> ClockReadings {
        let chain = match self.client.best().await {
            Ok(block) => ahead_of_chain(now(), block.time, self.block_time),
            Err(error) => {
                tracing::debug!(target: NODE, error = %base::ErrorChain(&error), "the chain's time is not known");
                None
            }
        };
        ClockReadings { bucket: self.bucket.clock_ahead(), chain }
    }

    #[allow(clippy::cast_precision_loss)] // Seconds are far below 2^53.
    fn report(&self, readings: ClockReadings) {
        let Some(ahead) = readings.ahead() else { return self.component.ready() };
        let ClockReadings { bucket, chain } = readings;
        self.metrics.clock_difference_seconds.set(ahead as f64);
        if ahead.abs() <= TOLERATED {
            return self.component.ready();
        }
        let text = format!("this machine's clock is {}: set it right (with NTP)", off(ahead));
        tracing::warn!(target: NODE, seconds = ahead, ?bucket, ?chain, "{text}");
        self.component.degraded(text);
    }
}

/// Returns the seconds by which this machine's clock is ahead of the time that the best block allows. The
/// block carries the time at which its author began it, so it is up to a few block times old. The genesis
/// block has no time.
fn ahead_of_chain(now: UnixMillis, block: UnixMillis, block_time: Duration) -> Option<i64> {
    if block.0 == 0 {
        return None;
    }
    let age = i64::try_from(now.0).ok()?.saturating_sub(i64::try_from(block.0).ok()?) / 1000;
    let usual = i64::try_from(block_time.saturating_mul(BLOCKS).as_secs()).ok()?;
    Some(if age <= usual { age.min(0) } else { age - usual })
}

fn now() -> UnixMillis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

/// Returns a difference in words.
pub(crate) fn off(ahead: i64) -> String {
    let word = if ahead < 0 { "behind" } else { "ahead" };
    format!("{} s {word}", ahead.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_block_is_no_difference() {
        let at = |own_seconds: u64| {
            let block = UnixMillis(1_000_000_000);
            ahead_of_chain(UnixMillis(own_seconds * 1000), block, Duration::from_secs(12)).unwrap()
        };
        assert_eq!([1_000_000, 1_000_012, 1_000_036].map(at), [0, 0, 0], "up to three block times");
        assert_eq!([999_990, 992_800].map(at), [-10, -7200], "a block from the future");
        assert_eq!([1_000_076, 1_007_236].map(at), [40, 7200]);
        assert_eq!(ahead_of_chain(UnixMillis(1), UnixMillis(0), Duration::from_secs(12)), None, "genesis");
    }
}
