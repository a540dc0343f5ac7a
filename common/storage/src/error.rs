//! What can go wrong with a bucket, and what to do about it.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use blake3::Hash;
use http_body_util::LengthLimitError;
use protocol::announcement::{AddressError, EndpointError};
use std::{error::Error, fmt, io, path::PathBuf, time::Duration};
use thiserror::Error;

use crate::guard::ElsewhereError;

/// An object in a bucket, or a bucket alone, as messages name it: `bucket/key`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    pub(crate) fn new(bucket: &str, key: &str) -> Self {
        // Keys in lists are a stranger's words: no control characters, no lines of endless length.
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

/// Why an operation on a bucket failed. Each message says what to do.
#[derive(Debug, Error)]
pub enum StorageError {
    /// There is no such object, or no such bucket.
    #[error("{object} is not there: check the bucket and the key, or wait until it is uploaded")]
    NotFound {
        /// What was asked for.
        object: ObjectName,
    },
    /// The service refuses the key: a wrong secret, no right to do this, or a clock that is off.
    #[error("{object} is forbidden ({code}): check the access key, its rights, and this machine's clock")]
    Forbidden {
        /// What was asked for.
        object: ObjectName,
        /// The service's word for it, such as `SignatureDoesNotMatch`.
        code: String,
    },
    /// The object is larger than the reader allows. Nothing above the cap was stored.
    #[error("{object} is larger than {cap} bytes: it is not what was expected, do not use it")]
    TooLarge {
        /// What was read.
        object: ObjectName,
        /// The cap, in bytes.
        cap: u64,
    },
    /// The object was replaced while it was being read.
    #[error("{object} changed while it was read: its owner has replaced it, read it anew from the start")]
    Changed {
        /// What was read.
        object: ObjectName,
    },
    /// The object is not the one that was expected.
    #[error("{object} has the BLAKE3 hash {found}, not {expected}: do not use it, get it from somebody else")]
    WrongContent {
        /// What was read.
        object: ObjectName,
        /// The hash that was asked for.
        expected: Hash,
        /// The hash of what came.
        found: Hash,
    },
    /// There is an object already, where one was to be put only if there is none.
    #[error("{object} exists already: choose another key, or allow it to be replaced")]
    Exists {
        /// What was to be put.
        object: ObjectName,
    },
    /// A range goes beyond the object's end.
    #[error("{object} does not have the bytes {from} to {to}: ask for its size first")]
    OutOfRange {
        /// What was read.
        object: ObjectName,
        /// First byte.
        from: u64,
        /// The byte behind the last.
        to: u64,
    },
    /// Bytes come, but below the floor.
    #[error("{object} is slow: {bytes} bytes in {seconds} s, at least {floor} bytes a second are asked for; try another time or another source", seconds = over.as_secs_f64())]
    Slow {
        /// What was moved.
        object: ObjectName,
        /// Bytes that came in the window.
        bytes: u64,
        /// The window.
        over: Duration,
        /// The floor, in bytes per second.
        floor: u64,
    },
    /// The operation's time is over.
    #[error("{object} took longer than {seconds} s: allow more time, or try another source", seconds = time.as_secs_f64())]
    Expired {
        /// What was moved.
        object: ObjectName,
        /// The time that was allowed.
        time: Duration,
    },
    /// The service or the way to it has failed: no connection, a broken one, an answer from 500 on.
    #[error("{object} is unavailable ({why}): try again later")]
    Unavailable {
        /// What was asked for.
        object: ObjectName,
        /// What happened.
        why: String,
    },
    /// The service sends the client elsewhere. Nobody follows: it could lead into this machine's own network.
    #[error("{object} answers with a redirect ({status}): correct the bucket's endpoint or region")]
    Redirected {
        /// What was asked for.
        object: ObjectName,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not S3's.
    #[error("{object} answers what S3 does not say ({what}): the endpoint is no S3 service, or a broken one")]
    Malformed {
        /// What was asked for.
        object: ObjectName,
        /// What is wrong with it.
        what: String,
    },
    /// The service understands, and will not.
    #[error(
        "{object} is refused with HTTP status {status} ({code}): the service does not do this; see its documentation"
    )]
    Refused {
        /// What was asked for.
        object: ObjectName,
        /// The HTTP status.
        status: u16,
        /// The service's word for it.
        code: String,
    },
    /// The bucket's endpoint is none that a node connects to.
    #[error("the bucket {bucket} cannot be used: {source}")]
    Endpoint {
        /// The bucket's name.
        bucket: String,
        /// Why not.
        source: EndpointError,
    },
    /// The endpoint's name leads to an address that a node does not connect to.
    #[error("{object} cannot be used: its endpoint leads to {source}")]
    Address {
        /// What was asked for.
        object: ObjectName,
        /// Which address, and why not.
        source: AddressError,
    },
    /// A file of this machine cannot be read or written.
    #[error("{path} failed ({source}): check the path, its rights and the free space", path = path.display())]
    Local {
        /// The file; empty if bytes went elsewhere.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StorageError {
    /// Whether the same operation may succeed at another time, without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Slow { .. } | Self::Expired { .. } | Self::Changed { .. }
        )
    }

    /// Whether another attempt is worth its time within the same operation.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The kind in one word, as metrics name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Forbidden { .. } => "forbidden",
            Self::TooLarge { .. } => "too-large",
            Self::Changed { .. } => "changed",
            Self::WrongContent { .. } => "wrong-content",
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

    /// What the SDK's error means.
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
            return Self::Malformed { object, what: "the answer does not end".to_owned() };
        }
        let Some(response) = error.raw_response() else {
            return Self::Unavailable { object, why: deepest(error) };
        };
        let code =
            error.as_service_error().and_then(ProvideErrorMetadata::code).map_or_else(String::new, word);
        Self::from_status(object, response.status().as_u16(), code, error)
    }

    fn from_status(object: ObjectName, status: u16, code: String, error: &(dyn Error + 'static)) -> Self {
        let transient = [
            "InternalError",
            "SlowDown",
            "ServiceUnavailable",
            "RequestTimeout",
            "BadDigest",
            "IncompleteBody",
        ];
        match status {
            // Also a success whose body says otherwise, as CompleteMultipartUpload's may.
            _ if transient.contains(&code.as_str()) => Self::Unavailable { object, why: code },
            404 => Self::NotFound { object },
            401 | 403 => {
                Self::Forbidden { object, code: if code.is_empty() { status.to_string() } else { code } }
            }
            408 | 429 | 500.. => Self::Unavailable {
                object,
                why: format!("HTTP status {status} {code}").trim_end().to_owned(),
            },
            300..400 => Self::Redirected { object, status },
            400..500 => Self::Refused { object, status, code },
            _ => Self::Malformed { object, what: deepest(error) },
        }
    }
}

/// A stranger's word, made fit for a message.
fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

/// An error and its causes, from the outside in. `io::Error` leaves out what it wraps when it is asked for its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let inner = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    };
    std::iter::successors(Some(error), move |&error| inner(error))
}

/// The first cause of this type.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The last cause, which says the most: "connection refused" rather than "dispatch failure".
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map_or_else(String::new, ToString::to_string);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(status: u16, code: &str) -> StorageError {
        let object = ObjectName::new("alice", "k");
        StorageError::from_status(object, status, code.to_owned(), &io::Error::other("parsing failed"))
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
        assert_eq!(from(503, "").to_string(), "alice/k is unavailable (HTTP status 503): try again later");
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
