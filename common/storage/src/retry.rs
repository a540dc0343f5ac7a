//! Retries with exponential backoff and full jitter, so that nodes that failed together do not retry
//! together.

use crate::{Metrics, StorageError};
use std::time::Duration;

/// The retry policy for transient failures within an operation's time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The maximum number of attempts, including the first. At least one is made.
    pub attempts: u32,
    /// The maximum pause before the second attempt. It doubles with each further attempt.
    pub base: Duration,
    /// The upper bound of every pause, except one that a service asks for.
    pub most: Duration,
    /// The upper bound of a pause that a service asks for (`Retry-After`).
    pub most_asked: Duration,
}

impl Default for Retry {
    /// Returns 5 attempts, with pauses below 0.2, 0.4, 0.8 and 1.6 s, or of up to a minute if the service
    /// asks for it.
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(200),
            most: Duration::from_secs(10),
            most_asked: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// Returns the pause after `failures` failures (1 or more), for a random `draw` from [0, 1).
    fn pause(&self, failures: u32, draw: f64) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.base.saturating_mul(doubled).min(self.most).mul_f64(draw.clamp(0.0, 1.0))
    }

    /// Returns the pause after a failure: the own pause, or the one that the service asks for if that is
    /// longer. Some jitter is added to the latter too.
    fn pause_after(&self, error: &StorageError, failures: u32, draw: f64) -> Duration {
        let own = self.pause(failures, draw);
        match error.retry_after() {
            Some(asked) => own.saturating_add(asked.min(self.most_asked)),
            None => own,
        }
    }

    /// Runs `attempt` until it succeeds, fails permanently, or the attempts run out.
    pub(crate) async fn run<T, F>(&self, metrics: &Metrics, mut attempt: F) -> Result<T, StorageError>
    where
        F: AsyncFnMut() -> Result<T, StorageError>,
    {
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures += 1;
            if !error.is_transient() || failures >= self.attempts {
                return Err(error);
            }
            metrics.retries.increment();
            let pause = self.pause_after(&error, failures, rand::random());
            tracing::debug!(target: telemetry::target::STORAGE, error = %base::ErrorChain(&error), failures, ?pause, "retrying a bucket request");
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_up_to_the_most() {
        let retry = Retry::default();
        let longest = |failures| retry.pause(failures, 1.0).as_millis();
        assert_eq!([1, 2, 3, 7, 100].map(longest), [200, 400, 800, 10_000, 10_000]);
        assert_eq!(retry.pause(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_service_may_ask_for_a_longer_pause_up_to_a_bound() {
        let retry = Retry::default();
        let asking = |seconds: u64| StorageError::Unavailable {
            object: crate::ObjectName::new("alice", "k"),
            source: crate::Outage::Answer {
                status: 503,
                code: "SlowDown".to_owned(),
                retry_after: Some(Duration::from_secs(seconds)),
            },
        };
        assert_eq!(retry.pause_after(&asking(5), 1, 0.0), Duration::from_secs(5));
        assert_eq!(retry.pause_after(&asking(5), 1, 1.0), Duration::from_millis(5200));
        assert_eq!(retry.pause_after(&asking(u64::MAX), 1, 0.0), retry.most_asked);
    }

    proptest! {
        #[test]
        fn no_pause_is_too_long(failures: u32, draw in -1.0..2.0f64) {
            let retry = Retry::default();
            prop_assert!(retry.pause(failures, draw) <= retry.most);
        }
    }
}
