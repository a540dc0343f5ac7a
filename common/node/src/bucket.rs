//! Opens the node's own bucket, and tests it before anything depends on it.

use crate::BucketConfig;
use base::{Exit, Hotkey, digest::RunId};
use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use storage::{Bucket, Content, Floor, Limits, Put, Storage, StorageError};

/// The time limit of each of the three requests.
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
            Self::OtherBytes(_) => Exit::Failed,
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

/// Opens the bucket, writes an object, reads it as other nodes do, and deletes it.
pub(crate) async fn open(
    storage: &Storage,
    config: &BucketConfig,
    run: RunId,
    hotkey: Hotkey,
) -> Result<Bucket, BucketError> {
    let own = storage.own_bucket(&config.announced, &config.write).map_err(BucketError::Write)?;
    let public = storage.bucket(&config.announced).map_err(BucketError::Read)?;
    let key = format!("{run}/probe/{hotkey}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let probe = format!("{key} {now}").into_bytes(); // Other bytes each time: an old object is not taken for this one.
    let how = Put { time: TIME, floor: FLOOR, only_if_absent: false };
    own.put(&key, Content::Bytes(Bytes::from(probe.clone())), &how).await.map_err(BucketError::Write)?;
    let limits = Limits { bytes: 4096, time: TIME, floor: FLOOR };
    let (found, _) = public.get(&key, &limits).await.map_err(BucketError::Read)?;
    if found != probe {
        return Err(BucketError::OtherBytes(own.name().to_owned()));
    }
    own.delete(&key, TIME).await.map_err(BucketError::Write)?;
    Ok(own)
}
