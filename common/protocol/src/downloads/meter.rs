//! Measures the rate of a transfer over the last seconds.

use super::INTERVAL;
use std::{collections::VecDeque, time::Duration};

/// The length of a slice of time, in milliseconds. Bytes are counted by slices.
const SLICE_MS: u64 = 250;
/// The number of slices in the measured interval.
const SLICES: u64 = INTERVAL.as_millis() as u64 / SLICE_MS;

/// The bytes of the last [`INTERVAL`], by slices of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// Slices with bytes, oldest first: number and bytes.
    slices: VecDeque<(u64, u64)>,
}

impl Meter {
    /// Counts bytes that arrived.
    pub(super) fn add(&mut self, now: Duration, bytes: u64) {
        let slice = slice(now);
        while self.slices.front().is_some_and(|(number, _)| number + SLICES <= slice) {
            self.slices.pop_front();
        }
        match self.slices.back_mut() {
            Some((number, sum)) if *number == slice => *sum = sum.saturating_add(bytes),
            _ => self.slices.push_back((slice, bytes)),
        }
    }

    /// Returns the mean rate over the last interval, in bytes per second.
    pub(super) fn rate(&self, now: Duration) -> u64 {
        let slice = slice(now);
        let recent = self.slices.iter().filter(|(number, _)| number + SLICES > slice);
        recent.fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes)) / INTERVAL.as_secs()
    }
}

fn slice(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) / SLICE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_interval_counts() {
        let at = Duration::from_millis;
        let mut meter = Meter::default();
        assert_eq!(meter.rate(at(0)), 0);
        meter.add(at(100), 3000);
        meter.add(at(200), 300);
        assert_eq!(meter.rate(at(200)), 1100);
        assert_eq!(meter.rate(at(2999)), 1100);
        assert_eq!(meter.rate(at(3000)), 0);
        meter.add(at(9000), 30);
        assert_eq!((meter.rate(at(9000)), meter.slices.len()), (10, 1));
        meter.add(Duration::MAX, u64::MAX);
        meter.add(Duration::MAX, u64::MAX);
        assert_eq!(meter.rate(Duration::MAX), u64::MAX / 3);
    }
}
