//! Errors of operations on buckets.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use http_body_util::LengthLimitError;
use protocol::announcement::{AddressError, EndpointError};
use std::{error::Error, fmt, io, path::PathBuf, time::Duration};
use thiserror::Error;

use crate::{
    clock::{DATE, ahead_of},
    guard::ElsewhereError,
};

/// The name of an object for messages: `bucket/key`. The key may be empty or a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    pub(crate) fn new(bucket: &str, key: &str) -> Self {
        // Keys in lists come from an untrusted peer. Control characters are replaced and the length is
        // bounded.
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let name = format!("{bucket}/{key}");
        Self(name.chars().map(clean).take(200).collect())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The failure of a service or a connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Outage {
    /// The connection failed. The text is the innermost cause, such as "connection refused".
    #[error("{0}")]
    Connection(String),
    /// The service answered with a status from 500, 408 or 429, or with the error code of a transient
    /// failure.
    #[error("HTTP status {status}{}{code}", if code.is_empty() { "" } else { " " })]
    Answer {
        /// The HTTP status.
        status: u16,
        /// The error code of the service, such as `SlowDown`. May be empty.
        code: String,
        /// The pause that the service asks for, in its header `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The service ended the answer early.
    #[error("the answer ended early")]
    Cut,
}

/// The error of an operation on a bucket. Each message includes the remedy.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The object or the bucket does not exist.
    #[error("{object} does not exist: check the bucket and the key, or wait until it is uploaded")]
    NotFound {
        /// The requested object.
        object: ObjectName,
    },
    /// The service refuses the access key: wrong secret or missing permission. S3 also answers this for an
    /// absent object if the key may not list the bucket: see [`StorageError::may_be_absent`].
    #[error("{object} is forbidden ({code}): check the access key and its permissions")]
    Forbidden {
        /// The requested object.
        object: ObjectName,
        /// The error code of the service, such as `SignatureDoesNotMatch`.
        code: String,
    },
    /// The service refuses signatures of this machine's time: its clock is off by more than 15 minutes. No
    /// owner of a bucket can cause or mend that.
    #[error("{object} is refused: this machine's clock is {}: set it right (with NTP)", off(*.ahead))]
    Clock {
        /// The requested object.
        object: ObjectName,
        /// The seconds by which this machine's clock is ahead of the service's, if the answer has a date.
        ahead: Option<i64>,
    },
    /// The object is larger than the cap. No bytes above the cap were stored.
    #[error("{object} is larger than {cap} bytes: it is not the expected object, do not use it")]
    TooLarge {
        /// The downloaded object.
        object: ObjectName,
        /// The cap, in bytes.
        cap: u64,
    },
    /// The object was replaced during the download.
    #[error("{object} changed during the download: its owner replaced it, download it again from the start")]
    Changed {
        /// The downloaded object.
        object: ObjectName,
    },
    /// The object exists already, and the upload must not replace it.
    #[error("{object} exists already: choose another key, or allow the upload to replace it")]
    Exists {
        /// The object to upload.
        object: ObjectName,
    },
    /// The range extends beyond the end of the object.
    #[error("{object} does not have the bytes {from} to {to}: check its size first")]
    OutOfRange {
        /// The downloaded object.
        object: ObjectName,
        /// The first byte.
        from: u64,
        /// The byte after the last.
        to: u64,
    },
    /// The transfer is slower than the minimum rate.
    #[error("{object} is too slow: {bytes} bytes in {seconds} s, the minimum is {floor} bytes/s; try again later, or try another source", seconds = over.as_secs_f64())]
    Slow {
        /// The transferred object.
        object: ObjectName,
        /// Bytes received in the measured interval. 0 for a request that did not finish in time.
        bytes: u64,
        /// The measured interval.
        over: Duration,
        /// The minimum rate, in bytes per second.
        floor: u64,
    },
    /// The operation exceeded its time limit.
    #[error("{object} took longer than {seconds} s: allow more time, or try another source", seconds = time.as_secs_f64())]
    Expired {
        /// The object of the operation.
        object: ObjectName,
        /// The time limit.
        time: Duration,
    },
    /// The service or the connection failed: no connection, a broken connection, or an HTTP status from 500.
    #[error("{object} is unavailable (try again later)")]
    Unavailable {
        /// The requested object.
        object: ObjectName,
        /// The failure.
        source: Outage,
    },
    /// The service answers with a redirect. It is not followed: it could lead into this machine's own
    /// network.
    #[error("{object} answers with a redirect ({status}): correct the bucket's endpoint or region")]
    Redirected {
        /// The requested object.
        object: ObjectName,
        /// The HTTP status.
        status: u16,
    },
    /// The answer violates the S3 protocol.
    #[error("{object} has an invalid answer ({what}): the endpoint is not an S3 service, or it is broken")]
    Malformed {
        /// The requested object.
        object: ObjectName,
        /// The violation.
        what: String,
    },
    /// The service refuses the request.
    #[error(
        "{object} is refused with HTTP status {status} ({code}): the service does not support the request; see its documentation"
    )]
    Refused {
        /// The requested object.
        object: ObjectName,
        /// The HTTP status.
        status: u16,
        /// The error code of the service.
        code: String,
    },
    /// The endpoint of the bucket is not allowed.
    #[error("cannot use the bucket {bucket}")]
    Endpoint {
        /// The name of the bucket.
        bucket: String,
        /// The reason.
        source: EndpointError,
    },
    /// The endpoint's host name resolves to an address that is not allowed.
    #[error("cannot use {object}: its endpoint resolves to a forbidden address")]
    Address {
        /// The requested object.
        object: ObjectName,
        /// The address and the reason.
        source: AddressError,
    },
    /// A local file cannot be read or written.
    #[error("cannot read or write {path} (check the path, its permissions and the free space)", path = path.display())]
    Local {
        /// The file. Empty if the bytes did not go to a file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

fn off(ahead: Option<i64>) -> String {
    match ahead {
        Some(ahead @ 0..) => format!("{ahead} s ahead of the service's"),
        Some(behind) => format!("{} s behind the service's", behind.unsigned_abs()),
        None => "too far from the service's".to_owned(),
    }
}

impl StorageError {
    /// Checks whether the object may not be there yet. A key that may not list a bucket gets the answer 403
    /// `AccessDenied` from S3 for an absent object, not 404. A wrong secret has other codes.
    #[must_use]
    pub fn may_be_absent(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Forbidden { code, .. } => code == "AccessDenied" || code == "403",
            _ => false,
        }
    }

    /// Returns the pause that the service asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { source: Outage::Answer { retry_after, .. }, .. } => *retry_after,
            _ => None,
        }
    }

    /// Checks whether the same operation may succeed later, without a change of configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Slow { .. } | Self::Expired { .. } | Self::Changed { .. }
        )
    }

    /// Checks whether the same operation should try again at once.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Returns the label that metrics use for this kind of error.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Forbidden { .. } => "forbidden",
            Self::Clock { .. } => "clock",
            Self::TooLarge { .. } => "too-large",
            Self::Changed { .. } => "changed",
            Self::Exists { .. } => "exists",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Slow { .. } => "slow",
            Self::Expired { .. } => "expired",
            Self::Unavailable { .. } => "unavailable",
            Self::Redirected { .. } => "redirected",
            Self::Malformed { .. } => "malformed",
            Self::Refused { .. } => "refused",
            Self::Endpoint { .. } | Self::Address { .. } => "address",
            Self::Local { .. } => "local",
        }
    }

    /// Converts an error of the SDK.
    pub(crate) fn from_sdk<E>(error: &SdkError<E, HttpResponse>, object: &ObjectName) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let object = object.clone();
        if let Some(&source) = find::<AddressError>(error) {
            return Self::Address { object, source };
        }
        if find::<ElsewhereError>(error).is_some() {
            return Self::Malformed { object, what: "a request would go to another host".to_owned() };
        }
        if find::<LengthLimitError>(error).is_some() {
            return Self::Malformed { object, what: "the answer is too long".to_owned() };
        }
        let Some(response) = error.raw_response() else {
            return Self::Unavailable { object, source: Outage::Connection(deepest(error)) };
        };
        let code =
            error.as_service_error().and_then(ProvideErrorMetadata::code).map_or_else(String::new, word);
        let headers = response.headers();
        let answer = Answer {
            status: response.status().as_u16(),
            code,
            retry_after: headers.get("retry-after").and_then(seconds),
            ahead: headers.get(DATE).and_then(ahead_of),
        };
        Self::from_answer(object, answer, error)
    }

    fn from_answer(object: ObjectName, answer: Answer, error: &(dyn Error + 'static)) -> Self {
        let Answer { status, code, retry_after, ahead } = answer;
        let transient = [
            "InternalError",
            "SlowDown",
            "ServiceUnavailable",
            "RequestTimeout",
            "BadDigest",
            "IncompleteBody",
        ];
        match status {
            // The status may be a success: CompleteMultipartUpload can report an error in its body.
            _ if transient.contains(&code.as_str()) => {
                Self::Unavailable { object, source: Outage::Answer { status, code, retry_after } }
            }
            _ if code == "RequestTimeTooSkewed" => Self::Clock { object, ahead },
            404 => Self::NotFound { object },
            401 | 403 => {
                Self::Forbidden { object, code: if code.is_empty() { status.to_string() } else { code } }
            }
            408 | 429 | 500.. => {
                Self::Unavailable { object, source: Outage::Answer { status, code, retry_after } }
            }
            300..400 => Self::Redirected { object, status },
            400..500 => Self::Refused { object, status, code },
            _ => Self::Malformed { object, what: deepest(error) },
        }
    }
}

/// The parts of an error answer that tell its meaning.
struct Answer {
    status: u16,
    code: String,
    retry_after: Option<Duration>,
    ahead: Option<i64>,
}

/// Reads a `Retry-After` in seconds. Services of buckets do not use its other form, a date.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Cleans an untrusted word for a message: ASCII letters and digits only, at most 64.
fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

/// Iterates over an error and its causes, outermost first. `io::Error::source` skips the error that it
/// wraps, so that error is read with `get_ref`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let inner = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    };
    std::iter::successors(Some(error), move |&error| inner(error))
}

/// Finds the first cause of this type.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Returns the text of the innermost cause, the most specific one: "connection refused" rather than
/// "dispatch failure".
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map_or_else(String::new, ToString::to_string);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(status: u16, code: &str) -> StorageError {
        let object = ObjectName::new("alice", "k");
        let answer = Answer { status, code: code.to_owned(), retry_after: None, ahead: Some(-7200) };
        StorageError::from_answer(object, answer, &io::Error::other("parsing failed"))
    }

    #[test]
    fn absent_and_forbidden_objects_of_others_are_told_apart_from_wrong_keys() {
        for (status, code) in [(404, ""), (404, "NoSuchKey"), (403, "AccessDenied"), (403, "")] {
            assert!(from(status, code).may_be_absent(), "{status} {code}");
        }
        for (status, code) in [
            (403, "SignatureDoesNotMatch"),
            (403, "InvalidAccessKeyId"),
            (403, "RequestTimeTooSkewed"),
            (401, ""),
            (503, ""),
        ] {
            assert!(!from(status, code).may_be_absent(), "{status} {code}");
        }
    }

    #[test]
    fn a_wrong_clock_has_its_own_message() {
        let object = ObjectName::new("alice", "k");
        let text = |ahead| StorageError::Clock { object: object.clone(), ahead }.to_string();
        assert_eq!(
            from(403, "RequestTimeTooSkewed").to_string(),
            "alice/k is refused: this machine's clock is 7200 s behind the service's: set it right (with NTP)"
        );
        assert!(text(Some(1000)).contains("1000 s ahead of the service's"));
        assert!(text(None).contains("too far from the service's"));
    }

    #[test]
    fn pauses_are_read_in_seconds() {
        assert_eq!(seconds(" 7 "), Some(Duration::from_secs(7)));
        for text in ["", "-1", "1.5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_have_their_meaning() {
        let kinds = [
            (404, "NoSuchKey", "not-found"),
            (403, "", "forbidden"),
            (301, "PermanentRedirect", "redirected"),
            (400, "InvalidRequest", "refused"),
            (400, "BadDigest", "unavailable"),
            (200, "InternalError", "unavailable"),
            (200, "", "malformed"),
            (503, "", "unavailable"),
            (429, "", "unavailable"),
            (501, "NotImplemented", "unavailable"),
        ];
        for (status, code, kind) in kinds {
            assert_eq!(from(status, code).kind(), kind, "{status} {code}");
        }
        let text = |error: StorageError| base::ErrorChain(&error).to_string();
        assert_eq!(text(from(503, "")), "alice/k is unavailable (try again later): HTTP status 503");
        assert_eq!(
            text(from(503, "SlowDown")),
            "alice/k is unavailable (try again later): HTTP status 503 SlowDown"
        );
    }

    #[test]
    fn names_and_words_of_strangers_are_tamed() {
        assert_eq!(ObjectName::new("a", "x\ny\u{1b}[31m").to_string(), "a/x\u{fffd}y\u{fffd}[31m");
        assert_eq!(ObjectName::new("a", &"x".repeat(5000)).to_string().chars().count(), 200);
        assert_eq!(word("Slow\nDown<script>"), "SlowDownscript");
    }

    #[test]
    fn causes_are_found() {
        let inner = AddressError::Loopback([127, 0, 0, 1].into());
        let outer = io::Error::other(io::Error::other(inner));
        assert_eq!(find::<AddressError>(&outer), Some(&inner));
    }
}
