//! The clock of the server. Tests may shift it, for all buckets or for one, so that a client's clock seems to
//! be off.

use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue},
};
use s3s::{
    Body, HttpResponse,
    dto::{Timestamp, TimestampFormat},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The largest difference between the time of a signature and the server's clock, in seconds, as in S3.
pub(crate) const LARGEST_SKEW: i64 = 900;
/// The header with the time of a signature, as in `20130524T000000Z`.
const SIGNED_AT: &str = "x-amz-date";

/// The server's clock. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<RwLock<Shifts>>);

/// The seconds by which the clock is ahead of the machine's.
#[derive(Debug, Default)]
struct Shifts {
    /// For all buckets.
    all: i64,
    /// For one bucket, in addition.
    of: BTreeMap<String, i64>,
}

impl Clock {
    /// Sets the seconds by which the clock is ahead of the machine's.
    pub(crate) fn shift(&self, seconds: i64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).all = seconds;
    }

    /// Sets the seconds by which the clock of a bucket is ahead of the other buckets'.
    pub(crate) fn shift_of(&self, bucket: &str, seconds: i64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).of.insert(bucket.to_owned(), seconds);
    }

    /// Returns the time of the bucket that a path `/bucket/key` names, in seconds since 1970.
    fn now(&self, path: &str) -> i64 {
        let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let shifts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let shift = shifts.all.saturating_add(shifts.of.get(bucket).copied().unwrap_or(0));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).unwrap_or(i64::MAX).saturating_add(shift)
    }

    /// Checks whether the time of a request's signature is too far from the clock.
    pub(crate) fn refuses(&self, path: &str, headers: &HeaderMap) -> bool {
        let signed = headers.get(SIGNED_AT).and_then(|text| text.to_str().ok()).and_then(seconds_of);
        signed.is_some_and(|signed| (signed - self.now(path)).abs() > LARGEST_SKEW)
    }

    /// Sets the date of an answer to a request with this path.
    pub(crate) fn date(&self, path: &str, answer: &mut HttpResponse) {
        let since_1970 = Duration::from_secs(u64::try_from(self.now(path)).unwrap_or(0));
        let mut text = Vec::new();
        if Timestamp::from(UNIX_EPOCH + since_1970).format(TimestampFormat::HttpDate, &mut text).is_ok()
            && let Ok(date) = HeaderValue::from_bytes(&text)
        {
            answer.headers_mut().insert(DATE, date);
        }
    }
}

/// Returns the answer of S3 to a signature of a wrong time.
pub(crate) fn too_skewed() -> HttpResponse {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>RequestTimeTooSkewed</Code>\
                <Message>The difference between the request time and the current time is too large.</Message></Error>";
    let mut answer = HttpResponse::new(Body::from(text.to_owned()));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

/// Returns the seconds since 1970 of a time like `20130524T000000Z`.
fn seconds_of(text: &str) -> Option<i64> {
    let digits = |from: usize, to: usize| text.get(from..to);
    let (date, clock) = ([digits(0, 4)?, digits(4, 6)?, digits(6, 8)?], text.get(8..)?);
    let (hour, minute, second) = (clock.get(1..3)?, clock.get(3..5)?, clock.get(5..7)?);
    let text = format!("{}T{hour}:{minute}:{second}Z", date.join("-"));
    let mut seconds = Vec::new();
    let time = Timestamp::parse(TimestampFormat::DateTime, &text).ok()?;
    time.format(TimestampFormat::EpochSeconds, &mut seconds).ok()?;
    std::str::from_utf8(&seconds).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_can_have_another_time() {
        let clock = Clock::default();
        let ahead = |path: &str, of: &str| clock.now(path) - clock.now(of);
        clock.shift_of("miner-1", 3600);
        assert!((3600..3610).contains(&ahead("/miner-1/run/object", "/miner-10/run/object")));
        clock.shift(-50);
        assert!((3600..3610).contains(&ahead("/miner-1", "/")));
        clock.shift_of("miner-1", 0);
        assert!((0..10).contains(&ahead("/miner-1", "/")));
    }

    #[test]
    fn times_of_signatures_are_read() {
        assert_eq!(seconds_of("20130524T000000Z"), Some(1_369_353_600));
        for text in ["", "20130524", "2013-05-24T00:00:00Z", "20131324T000000Z"] {
            assert_eq!(seconds_of(text), None, "{text}");
        }
    }
}
