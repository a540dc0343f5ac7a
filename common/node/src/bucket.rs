//! Opens the node's own bucket, and tests it before anything depends on it.

use crate::{BucketConfig, own_clock::off};
use base::{Exit, Hotkey, digest::RunId};
use bytes::Bytes;
use protocol::downloads::REFUSED;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use storage::{Bucket, Content, Floor, Limits, Put, Storage, StorageError};
use telemetry::target::STORAGE;

/// The time limit of each request.
const TIME: Duration = Duration::from_secs(30);
/// The time without an answer after which a service counts as down.
const FLOOR: Floor = Floor { bytes_per_second: 0, over: Duration::from_secs(15) };

/// The error of a bucket of the node's own that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The write key cannot write.
    #[error("cannot use [bucket] with the write key")]
    Write(#[source] StorageError),
    /// The announced read key cannot read.
    #[error("cannot use [bucket] with the read key, which all other nodes use")]
    Read(#[source] StorageError),
    /// The clock of this machine is so far off that the bucket refuses signatures.
    #[error(
        "this machine's clock is {}, compared with its bucket's: buckets refuse signatures that are more than 15 \
         minutes off; set the clock right (with NTP), then start again",
        .ahead.map_or_else(|| "far ahead or behind".to_owned(), off)
    )]
    Clock {
        /// The seconds by which this machine's clock is ahead, if the bucket named its time.
        ahead: Option<i64>,
    },
    /// The bucket returned other bytes than were written.
    #[error(
        "[bucket] {0}: other bytes came back than were written: the endpoint is no S3 service, or a broken one"
    )]
    OtherBytes(String),
}

impl BucketError {
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Write(error) | Self::Read(error) => storage_exit(error),
            Self::Clock { .. } | Self::OtherBytes(_) => Exit::Failed,
        }
    }
}

/// Returns the exit code of a program that cannot use a bucket.
pub(crate) fn storage_exit(error: &StorageError) -> Exit {
    match error {
        StorageError::Forbidden { .. } => Exit::NotPermitted,
        StorageError::NotFound { .. }
        | StorageError::Redirected { .. }
        | StorageError::Endpoint { .. }
        | StorageError::Address { .. } => Exit::Usage,
        StorageError::Unavailable { .. } | StorageError::Slow { .. } | StorageError::Expired { .. } => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    }
}

fn write_error(error: StorageError) -> BucketError {
    match error {
        StorageError::Clock { ahead, .. } => BucketError::Clock { ahead },
        error => BucketError::Write(error),
    }
}

fn read_error(error: StorageError) -> BucketError {
    match error {
        StorageError::Clock { ahead, .. } => BucketError::Clock { ahead },
        error => BucketError::Read(error),
    }
}

/// Opens the bucket, writes an object, reads it as other nodes do, deletes it, and reads the absent object.
pub(crate) async fn open(
    storage: &Storage,
    config: &BucketConfig,
    run: RunId,
    hotkey: Hotkey,
) -> Result<Bucket, BucketError> {
    let own = storage.own_bucket(&config.announced, &config.write).map_err(write_error)?;
    let public = storage.bucket(&config.announced).map_err(read_error)?;
    let key = format!("{run}/probe/{hotkey}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let probe = format!("{key} {now}").into_bytes(); // Other bytes each time: an old object is not taken for this one.
    let how = Put { time: TIME, floor: FLOOR, only_if_absent: false };
    own.put(&key, Content::Bytes(Bytes::from(probe.clone())), &how).await.map_err(write_error)?;
    let limits = Limits { bytes: 4096, time: TIME, floor: FLOOR };
    let (found, _) = public.get(&key, &limits).await.map_err(read_error)?;
    if found != probe {
        return Err(BucketError::OtherBytes(own.name().to_owned()));
    }
    own.delete(&key, TIME).await.map_err(write_error)?;
    read_absent(&public, &key, &limits).await?;
    // Some services refuse no signatures for their time. Other nodes' buckets do.
    match own.clock_ahead().filter(|ahead| ahead.abs() > REFUSED) {
        Some(ahead) => Err(BucketError::Clock { ahead: Some(ahead) }),
        None => Ok(own),
    }
}

/// Reads an object that does not exist, as other nodes do while they wait for one, and explains the answer.
async fn read_absent(public: &Bucket, key: &str, limits: &Limits) -> Result<(), BucketError> {
    match public.get(key, limits).await {
        Err(StorageError::NotFound { .. }) => Ok(()),
        Err(error) if error.may_be_absent() => {
            tracing::warn!(
                target: STORAGE,
                bucket = public.name(),
                "the read key may not list the bucket, so absent objects answer 403, not 404: other nodes cannot tell a \
                 late object from a wrong key; allow it to list (s3:ListBucket)"
            );
            Ok(())
        }
        // Some services delete late.
        Ok(_) => Ok(()),
        Err(error) => Err(read_error(error)),
    }
}
