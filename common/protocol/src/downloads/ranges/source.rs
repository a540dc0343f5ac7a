//! A source of a download: what it announced, delivered and failed at.

use crate::downloads::{INTERVAL, back_off, meter::Meter};
use std::time::Duration;

/// The failures in a row, without a byte between, after which a source is not asked again.
const MOST_FAILURES: u32 = 3;

/// A source, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSource {
    /// The size that it announces.
    pub(super) size: Option<u64>,
    /// The time at which it was asked for the size.
    pub(super) asked: Option<Duration>,
    /// The number of times that it was left because it was slow.
    pub(super) left: u32,
    /// The failures since its last byte.
    pub(super) failures: u32,
    /// The answers without the object.
    pub(super) absences: u32,
    pub(super) has_failed: bool,
    pub(super) is_liar: bool,
    /// Whether another source completed its range, while this one was below the floor.
    pub(super) is_overtaken: bool,
    /// Whether it did not have the object when it was asked last.
    pub(super) is_absent: bool,
    pub(super) not_before: Duration,
    /// The time since when it works without a pause.
    pub(super) busy_since: Option<Duration>,
    pub(super) meter: Meter,
}

impl RangeSource {
    /// Checks whether the source may still deliver the object.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_liar && self.failures < MOST_FAILURES
    }

    /// Checks whether the source has worked long enough for a rate, and is below the floor. The floor halves
    /// each time that the source is left: if the own line is slow, sources do not change for ever.
    pub(super) fn is_slow(&self, now: Duration, floor: u64) -> bool {
        let is_old = self.busy_since.is_some_and(|since| now.saturating_sub(since) >= INTERVAL);
        is_old && self.meter.rate(now) < floor >> self.left.min(63)
    }

    /// Checks whether the source was below the floor since it began to work, also if that is not long ago.
    pub(super) fn is_below(&self, now: Duration, floor: u64) -> bool {
        let age = self.busy_since.map_or(INTERVAL, |since| now.saturating_sub(since)).min(INTERVAL);
        let sent = u128::from(self.meter.rate(now)) * INTERVAL.as_millis();
        sent < u128::from(floor) * age.as_millis()
    }

    /// Checks whether the source is in use: it has a size or may still give one, and was never left.
    pub(super) fn is_well(&self, now: Duration) -> bool {
        let answers =
            self.size.is_some() || self.asked.is_some_and(|asked| now.saturating_sub(asked) < INTERVAL);
        self.is_usable() && answers && self.left == 0 && !self.has_failed
    }

    /// Leaves the source because it is slow. It may come back after a pause.
    pub(super) fn leave(&mut self, now: Duration) {
        self.left += 1;
        self.busy_since = None;
        self.not_before = now + back_off(self.left);
    }

    pub(super) fn fail(&mut self, now: Duration) {
        self.failures += 1;
        self.has_failed = true;
        self.busy_since = None;
        self.not_before = now + back_off(self.failures);
    }

    /// Notes that the source does not have the object. It may have it later.
    pub(super) fn miss(&mut self, now: Duration) {
        (self.asked, self.is_absent, self.has_failed) = (None, true, true);
        self.absences += 1;
        self.not_before = now + back_off(self.absences);
    }

    /// Checks whether the source has the object and did well: never left or overtaken, never failed, never
    /// lied.
    pub(super) fn has_served(&self) -> bool {
        let was_slow = self.left > 0 || self.is_overtaken;
        self.size.is_some() && !was_slow && !self.has_failed && !self.is_liar
    }
}
