//! Counts the bytes that pass, and the most of them in any second.

use std::{collections::VecDeque, time::Duration};

/// The length of the intervals whose largest sum is kept.
const SECOND: Duration = Duration::from_secs(1);

/// A counter of bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    total: u64,
    most: u64,
    /// The bytes of the last second, with their times.
    newest: VecDeque<(Duration, u64)>,
    /// The sum of `newest`.
    sum: u64,
}

impl Meter {
    /// Counts bytes that pass now.
    pub(crate) fn note(&mut self, now: Duration, bytes: u64) {
        while let Some((_, old)) = self.newest.pop_front_if(|(at, _)| *at + SECOND <= now) {
            self.sum -= old;
        }
        self.newest.push_back((now, bytes));
        self.sum += bytes;
        self.total += bytes;
        self.most = self.most.max(self.sum);
    }

    /// Returns the number of all bytes.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns the largest number of bytes in any second.
    pub(crate) fn most_in_a_second(&self) -> u64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_second_counts() {
        let mut meter = Meter::default();
        for (ms, bytes) in [(0, 10), (500, 20), (999, 5), (1000, 1), (1600, 8), (9000, 34)] {
            meter.note(Duration::from_millis(ms), bytes);
        }
        assert_eq!((meter.total(), meter.most_in_a_second()), (78, 35));
        meter.note(Duration::from_millis(9500), 2);
        assert_eq!(meter.most_in_a_second(), 36);
    }
}
