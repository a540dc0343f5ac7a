//! The comparison of this machine's clock with a service's.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// The header in which each answer names the time of the service, in full seconds.
pub(crate) const DATE: &str = "date";

/// The difference from the service's clock in the newest answer.
#[derive(Debug, Default)]
pub(crate) struct ServiceClock(Mutex<Option<i64>>);

impl ServiceClock {
    /// Notes the date of an answer that arrived just now. A date that cannot be read is left out.
    pub(crate) fn note(&self, date: Option<&str>) {
        if let Some(ahead) = date.and_then(ahead_of) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
    }

    /// Returns the seconds by which this machine's clock is ahead of the service's.
    pub(crate) fn ahead(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the seconds by which this machine's clock is ahead of a date in an answer.
pub(crate) fn ahead_of(date: &str) -> Option<i64> {
    let date = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?.secs();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(now).ok()?.saturating_sub(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_are_compared() {
        let clock = ServiceClock::default();
        for date in [None, Some(""), Some("yesterday"), Some("2026-11-30T00:00:00Z")] {
            clock.note(date);
            assert_eq!(clock.ahead(), None, "{date:?}");
        }
        clock.note(Some("Thu, 01 Jan 1970 00:00:10 GMT"));
        assert!(clock.ahead().unwrap() > 1_700_000_000);
    }
}
