//! The own line: its rate, whether it is full, and the number of downloads that it carries well.

use super::{INTERVAL, SLOTS, meter::Meter};
use std::time::Duration;

/// The most slots. A vote has a bit for each of at most 64 candidates; twice as many is never too few.
const MOST_SLOTS: usize = 128;

/// The own line, as far as the downloads of a window show it.
///
/// Its rate is the largest total rate over 3 s, in this window and in earlier ones. It is full while the
/// total rate is at least 0.8 of that. Other nodes can raise the largest rate only if they send faster, and
/// never lower it. So they can make the line look full only while they really send this many bytes, and
/// each of them has a budget of bytes.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The largest rate of earlier windows, or the setting; 0 if neither is known.
    known: u64,
    /// The largest rate of this window.
    seen: u64,
    total: Meter,
    slots: usize,
    /// The least number of slots: fewer did not fill the line, when its rate was `least_at`.
    least: usize,
    least_at: u64,
    /// The time at which the slots were changed, or were not all taken, for the last time.
    settled: Duration,
    /// The total rate when slots were added for the last time.
    rate_before: u64,
}

impl Line {
    pub(super) fn new(known: u64) -> Self {
        let total = Meter::default();
        let (slots, least) = (SLOTS, SLOTS);
        Self { known, seen: 0, total, slots, least, least_at: 0, settled: Duration::ZERO, rate_before: 0 }
    }

    pub(super) fn add(&mut self, now: Duration, bytes: u64) {
        self.total.add(now, bytes);
        self.seen = self.seen.max(self.total.rate(now));
    }

    /// Returns the largest rate of this window, in bytes per second.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Checks whether the total rate is at least 0.8 of the line's.
    pub(super) fn is_full(&self, now: Duration) -> bool {
        let line = self.rate();
        line > 0 && u128::from(self.total.rate(now)) * 10 >= u128::from(line) * 8
    }

    /// Returns the line's rate as far as it is known.
    fn rate(&self) -> u64 {
        self.known.max(self.seen)
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the smallest rate of a download that holds a slot: the floor, or a quarter of an equal share
    /// of the line if that is less. A download without bytes holds none.
    ///
    /// The floor may be more than an equal share. Without the other limit, no download would hold a slot on a
    /// full line: all would run at once, and none be complete in time. Shares are not quite equal, and
    /// half as large right after the slots were halved: hence the quarter.
    pub(super) fn least_rate(&self, floor: u64) -> u64 {
        floor.min(self.rate() / (4 * self.slots as u64)).max(1)
    }

    /// Adds slots if all of them are taken for 3 s and the line is not the reason, or takes slots back if the
    /// line is full with them. `taken` is the number of slots that are taken. `waits` says whether they are
    /// all of them, and another download waits.
    ///
    /// Peers that send just above the floor must not keep the slots from others. They do not fill the line,
    /// so others get as many slots again. If the line is not known yet, a total rate that has risen by a
    /// quarter since the last time shows that it was not full.
    ///
    /// More slots than are needed to fill the line only make all downloads later. So half of them are taken
    /// back while the line is full, unless half did not fill it before.
    pub(super) fn settle(&mut self, now: Duration, taken: usize, waits: bool) {
        if has_risen(self.rate(), self.least_at) {
            self.least = SLOTS;
        }
        let is_wide = self.slots > self.least && taken > self.slots / 2;
        if !waits && !is_wide {
            self.settled = now;
        }
        if now.saturating_sub(self.settled) < INTERVAL {
            return;
        }
        self.settled = now;
        let (rate, is_full) = (self.total.rate(now), self.is_full(now));
        if waits && (!is_full || (self.known == 0 && has_risen(rate, self.rate_before))) {
            self.slots = (self.slots * 2).min(MOST_SLOTS);
            self.rate_before = rate;
            if !is_full {
                (self.least, self.least_at) = (self.slots, self.rate());
            }
        } else if is_full && is_wide {
            (self.slots, self.rate_before) = (self.slots / 2, rate);
        }
    }
}

/// Checks whether a rate has risen by a quarter.
fn has_risen(rate: u64, before: u64) -> bool {
    u128::from(rate) * 4 >= u128::from(before) * 5
}

/// Returns the rate that brings an object of this size within a number of blocks, in bytes per second.
///
/// It is the smallest useful floor of [`PrefetchRules`](super::PrefetchRules): with the blocks from `D_w` to
/// `K_w`, an object that arrives at the floor is in time.
#[must_use]
pub fn required_rate(bytes: u64, blocks: u64, block_time: Duration) -> u64 {
    let milliseconds = block_time.as_millis().saturating_mul(blocks.into()).max(1);
    u64::try_from((u128::from(bytes) * 1000).div_ceil(milliseconds)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_rate_is_enough() {
        assert_eq!(required_rate(154_000_000, 5, Duration::from_secs(12)), 2_566_667);
        assert_eq!(required_rate(0, 5, Duration::from_secs(1)), 0);
        assert_eq!(required_rate(u64::MAX, 0, Duration::ZERO), u64::MAX);
    }

    #[test]
    fn a_line_is_full_at_four_fifths_of_its_largest_rate() {
        let mut line = Line::new(1000);
        let at = Duration::from_millis;
        assert!(!line.is_full(at(0)));
        line.add(at(0), 2399);
        assert!(!line.is_full(at(0)), "799 bytes per second");
        line.add(at(0), 1);
        assert!(line.is_full(at(2999)) && !line.is_full(at(3000)));
        line.add(at(3000), 6000);
        assert_eq!(line.seen(), 2000);
        line.add(at(6000), 4500);
        assert!(!line.is_full(at(6000)), "1500 of 2000");
    }
}
