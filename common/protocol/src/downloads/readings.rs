//! Judges whether this node's clock is wrong, so that buckets refuse its requests.

/// The difference from which buckets refuse signatures, in seconds: 15 minutes for S3.
pub const REFUSED: i64 = 900;

/// The seconds by which this machine's clock is ahead of clocks that no other participant sets.
///
/// A bucket that says that this clock is wrong may lie: its owner would never be at fault then, although it
/// serves no validator. So another participant's bucket is no evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReadings {
    /// The difference from the service of the own bucket. `None` if it has not answered.
    pub bucket: Option<i64>,
    /// The difference from the time that the best block allows. `None` if it is not known. If the chain
    /// stands still, it looks as if this clock were ahead.
    pub chain: Option<i64>,
}

impl ClockReadings {
    /// Returns the best estimate of the difference. The bucket's date is exact. The chain's time counts only
    /// without it.
    #[must_use]
    pub fn ahead(self) -> Option<i64> {
        self.bucket.or(self.chain)
    }

    /// Checks whether buckets may refuse this node for its clock. They may if no reading is known.
    #[must_use]
    pub fn may_be_refused(self) -> bool {
        self.ahead().is_none_or(|ahead| ahead.unsigned_abs() > REFUSED.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_beyond_a_quarter_of_an_hour_is_refused() {
        let judged = |bucket, chain| ClockReadings { bucket, chain }.may_be_refused();
        assert!(!judged(Some(0), Some(30)));
        assert!(!judged(Some(-900), None) && !judged(None, Some(900)));
        assert!(judged(Some(901), Some(0)) && judged(Some(-7200), None), "the bucket says so");
        assert!(judged(None, Some(-7200)), "the chain says so");
        assert!(judged(None, None), "nothing is known");
    }

    #[test]
    fn a_chain_that_stands_still_does_not_move_the_estimate() {
        let ahead = |bucket, chain| ClockReadings { bucket, chain }.ahead();
        assert_eq!(ahead(Some(0), Some(3600)), Some(0));
        assert_eq!(ahead(None, Some(3600)), Some(3600));
        assert_eq!(ahead(Some(-7200), None), Some(-7200));
        assert_eq!(ahead(None, None), None);
    }
}
