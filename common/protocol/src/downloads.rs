//! Decides which downloads from other nodes run at which time, so that no stranger delays another.
//!
//! * [`Prefetch`]: the claimed objects of a window, from the bucket of each miner. What is incomplete when
//!   block `K_w` is final is late.
//! * [`Ranges`]: one object that several nodes store, such as an accepted submission or a file of a
//!   checkpoint. Ranges of it come from all sources at once.
//! * [`PeerOutcome`]: the result for each miner, and the fault behind it.
//! * [`ClockReadings`]: the evidence on this node's own clock.
//!
//! The machines do no I/O and read no clock. A step takes an event and the time since the machine began, and
//! returns commands. The drivers in the crate `exchange` carry the commands out, and a simulation can drive
//! the same machines in virtual time.
//!
//! Both machines share one rule: a slow download keeps running, but no other download waits for it.

mod line;
mod meter;
mod outcome;
mod prefetch;
mod ranges;
mod readings;

pub use line::required_rate;
pub use outcome::{PeerOutcome, TryFailure, faults, is_cut_off};
pub use prefetch::{Part, Prefetch, PrefetchCommand, PrefetchEvent, PrefetchRules, SLOTS, TRIES};
pub use ranges::{
    LARGEST_RANGE, ObjectCopy, Ranges, RangesCommand, RangesEvent, RangesRules, SMALLEST_RANGE,
};
pub use readings::{ClockReadings, REFUSED};

use std::time::Duration;

/// The time over which rates are measured. A download is young for this time: its rate is not known yet.
pub const INTERVAL: Duration = Duration::from_secs(3);

/// The longest time between two [`PrefetchEvent::Tick`] or [`RangesEvent::Tick`] while a download is open.
pub const TICK: Duration = Duration::from_millis(250);

/// The number of one try of a download. No two tries of a machine have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TryId(pub u64);

/// Returns the pause after a number of failures (1 or more): 1, 2, 4, 8, 16, then 30 s.
fn back_off(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pauses = [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|failures| back_off(failures).as_secs());
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 30, 30, 30]);
    }
}
