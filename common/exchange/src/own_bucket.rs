//! Uploads objects to this node's own bucket, under the keys where other nodes expect them.

use base::{
    Window,
    digest::{ObjectHash, RunHash, RunId},
};
use bytes::Bytes;
use codec::submission::KEY_BYTES;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use protocol::{
    bucket_layout,
    checkpoint::{MANIFEST, Manifest, Pointer},
    history::WindowRecord,
};
use std::{path::Path, time::Duration};
use storage::{Bucket, Content, Floor, Limits, Put, StorageError, Stored};

/// The time limit for one object. A file of a checkpoint has additional time: its bytes at 1 MiB/s.
const TIME: Duration = Duration::from_secs(600);
/// The lowest allowed speed: 64 KiB/s over 30 s. The request is repeated if the service does not answer
/// within this time.
const FLOOR: Floor = Floor { bytes_per_second: 64 << 10, over: Duration::from_secs(30) };
/// The number of keys in one listing.
const PAGE: usize = 1000;
/// The number of concurrent deletes.
const AT_ONCE: usize = 8;

/// This node's own bucket, in a run. Clones are cheap.
#[derive(Clone, Debug)]
pub struct OwnBucket {
    bucket: Bucket,
    run: RunHash,
}

/// The reason why an upload or a delete failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot update this node's own bucket")]
pub struct OwnBucketError(#[from] StorageError);

impl OwnBucketError {
    /// Returns whether a retry may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable()
    }

    /// Returns the error of the bucket.
    #[must_use]
    pub fn storage(&self) -> &StorageError {
        &self.0
    }
}

impl OwnBucket {
    /// Creates an own bucket for a bucket that this node may write.
    #[must_use]
    pub fn new(bucket: Bucket, run: RunHash) -> Self {
        Self { bucket, run }
    }

    /// Returns the bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn id(&self) -> RunId {
        self.run.id()
    }

    /// Uploads a submission: this node's own, or one that it stores as custodian.
    ///
    /// # Errors
    /// The bucket does not accept it.
    pub async fn put_submission(
        &self,
        window: Window,
        object: &ObjectHash,
        bytes: Bytes,
    ) -> Result<Stored, OwnBucketError> {
        self.put(&bucket_layout::submission(self.id(), window, object), bytes).await
    }

    /// Uploads the key of a sealed submission: this node's own after claims are closed, or one that
    /// it stores as custodian.
    ///
    /// # Errors
    /// The bucket does not accept it.
    pub async fn put_key(
        &self,
        window: Window,
        object: &ObjectHash,
        key: &[u8; KEY_BYTES],
    ) -> Result<Stored, OwnBucketError> {
        self.put(&bucket_layout::seal_key(self.id(), window, object), Bytes::copy_from_slice(key)).await
    }

    /// Uploads a signed score log.
    ///
    /// # Errors
    /// The bucket does not accept it.
    pub async fn put_score_log(&self, window: Window, bytes: Bytes) -> Result<Stored, OwnBucketError> {
        self.put(&bucket_layout::score_log(self.id(), window), bytes).await
    }

    /// Uploads the record of a window's decision.
    ///
    /// # Errors
    /// The bucket does not accept it.
    pub async fn put_record(&self, record: &WindowRecord) -> Result<Stored, OwnBucketError> {
        self.put(&bucket_layout::record(self.id(), record.window), record.to_bytes(&self.run).into()).await
    }

    /// Uploads all files of a checkpoint, then its manifest, then the pointer to it.
    ///
    /// # Errors
    /// The bucket does not accept one of them. The pointer then still names the previous checkpoint.
    pub async fn put_checkpoint(
        &self,
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<Pointer, OwnBucketError> {
        let key = |file: &str| bucket_layout::checkpoint(self.id(), manifest.window, file);
        for part in &manifest.parts {
            let path = folder.join(&part.file);
            let time = TIME.saturating_add(Duration::from_secs(part.bytes >> 20));
            self.bucket.put(&key(&part.file), Content::File(&path), &how(time)).await?;
        }
        let pointer = Pointer::of(manifest);
        self.put(&key(MANIFEST), manifest.to_bytes().into()).await?;
        self.put(&bucket_layout::checkpoint_pointer(self.id()), pointer.to_bytes().into()).await?;
        Ok(pointer)
    }

    /// Deletes submissions, their keys and checkpoints of windows before this one, but not the
    /// checkpoint that the pointer names. It never deletes score logs or records. Returns the number
    /// of deleted objects.
    ///
    /// # Errors
    /// The bucket cannot list or delete them.
    pub async fn delete_before(&self, window: Window) -> Result<usize, OwnBucketError> {
        let newest = self.newest_checkpoint().await?;
        let submissions = self.delete(&bucket_layout::submissions(self.id()), |of| of < window).await?;
        let keys_too = self.delete(&bucket_layout::seal_keys(self.id()), |of| of < window).await?;
        let is_old = |of| of < window && newest.is_none_or(|newest| of < newest);
        Ok(submissions + keys_too + self.delete(&bucket_layout::checkpoints(self.id()), is_old).await?)
    }

    /// Returns the window of the checkpoint that the pointer names.
    async fn newest_checkpoint(&self) -> Result<Option<Window>, OwnBucketError> {
        let limits = Limits { bytes: bucket_layout::LARGEST_POINTER, time: TIME, floor: FLOOR };
        match self.bucket.get(&bucket_layout::checkpoint_pointer(self.id()), &limits).await {
            // A pointer that cannot be read protects nothing: other nodes cannot read it either.
            Ok((bytes, _)) => Ok(Pointer::read(&bytes).ok().map(|pointer| pointer.window)),
            Err(StorageError::TooLarge { .. }) => Ok(None),
            Err(error) if error.may_be_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes all objects below a prefix whose windows are old. Returns their number.
    async fn delete(&self, prefix: &str, is_old: impl Fn(Window) -> bool) -> Result<usize, OwnBucketError> {
        let mut after = None;
        let mut deleted = 0;
        loop {
            let page = self.bucket.list(prefix, after.as_deref(), PAGE, TIME).await?;
            let keys: Vec<&str> = page.iter().map(|listed| listed.key.as_str()).collect();
            let old = |key: &&str| bucket_layout::window(key, prefix).is_some_and(&is_old);
            let old: Vec<&str> = keys.iter().copied().filter(old).collect();
            let deletes = stream::iter(&old).map(|key| self.bucket.delete(key, TIME));
            deletes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            deleted += old.len();
            if page.len() < PAGE {
                return Ok(deleted);
            }
            after = keys.last().map(|&key| key.to_owned());
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Stored, OwnBucketError> {
        Ok(self.bucket.put(key, Content::Bytes(bytes), &how(TIME)).await?)
    }
}

fn how(time: Duration) -> Put {
    Put { time, floor: FLOOR, only_if_absent: false }
}
