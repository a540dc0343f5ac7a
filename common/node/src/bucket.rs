//! The node's own bucket, tried before anything depends on it.

use crate::BucketConfig;
use base::{Exit, Hotkey, digest::RunId};
use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use storage::{Bucket, Content, Floor, Limits, Put, Storage, StorageError};

/// Time for each of the three requests.
const TIME: Duration = Duration::from_secs(30);
/// A service that says nothing for so long is down.
const FLOOR: Floor = Floor { bytes_per_second: 0, over: Duration::from_secs(15) };

/// Why the node's own bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It cannot be written to.
    #[error("[bucket] with the write key: {0}")]
    Write(#[source] StorageError),
    /// What was written cannot be read with the key that is announced.
    #[error("[bucket] with the read key, which everybody reads it with: {0}")]
    Read(#[source] StorageError),
    /// Other bytes came back.
    #[error(
        "[bucket] {0}: other bytes came back than were written: the endpoint is no S3 service, or a broken one"
    )]
    OtherBytes(String),
}

impl BucketError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Write(error) | Self::Read(error) => storage_exit(error),
            Self::OtherBytes(_) => Exit::Failed,
        }
    }
}

/// How a program ends that cannot use a bucket.
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

/// Opens the bucket, writes an object, reads it as everybody does, and deletes it.
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
