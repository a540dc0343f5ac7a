//! Objects into one's own bucket, under the names where others look for them.

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

/// How long an object may take; a file of a checkpoint has the time on top that it takes at a megabyte a second.
const TIME: Duration = Duration::from_secs(600);
/// A service that does not answer within this time is asked again.
const FLOOR: Floor = Floor { bytes_per_second: 64 << 10, over: Duration::from_secs(30) };
/// Keys that are listed at a time.
const PAGE: usize = 1000;
/// Deletes under way at once.
const AT_ONCE: usize = 8;

/// One's own bucket, in a run. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Outbox {
    bucket: Bucket,
    run: RunHash,
}

/// Why an object was not put, or old ones not deleted.
#[derive(Debug, thiserror::Error)]
#[error("one's own bucket: {0}")]
pub struct OutboxError(#[from] StorageError);

impl OutboxError {
    /// May the same succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable()
    }

    /// What the bucket says.
    #[must_use]
    pub fn storage(&self) -> &StorageError {
        &self.0
    }
}

impl Outbox {
    /// Into a bucket that this node may write.
    #[must_use]
    pub fn new(bucket: Bucket, run: RunHash) -> Self {
        Self { bucket, run }
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn id(&self) -> RunId {
        self.run.id()
    }

    /// A submission: one's own, or as its custodian.
    ///
    /// # Errors
    /// The bucket does not take it.
    pub async fn put_submission(
        &self,
        window: Window,
        object: &ObjectHash,
        bytes: Bytes,
    ) -> Result<Stored, OutboxError> {
        self.put(&bucket_layout::submission(self.id(), window, object), bytes).await
    }

    /// The key of a sealed submission: one's own once claims are closed, or as its custodian.
    ///
    /// # Errors
    /// The bucket does not take it.
    pub async fn put_key(
        &self,
        window: Window,
        object: &ObjectHash,
        key: &[u8; KEY_BYTES],
    ) -> Result<Stored, OutboxError> {
        self.put(&bucket_layout::seal_key(self.id(), window, object), Bytes::copy_from_slice(key)).await
    }

    /// A signed score log.
    ///
    /// # Errors
    /// The bucket does not take it.
    pub async fn put_score_log(&self, window: Window, bytes: Bytes) -> Result<Stored, OutboxError> {
        self.put(&bucket_layout::score_log(self.id(), window), bytes).await
    }

    /// What was decided on a window.
    ///
    /// # Errors
    /// The bucket does not take it.
    pub async fn put_record(&self, record: &WindowRecord) -> Result<Stored, OutboxError> {
        self.put(&bucket_layout::record(self.id(), record.window), record.to_bytes(&self.run).into()).await
    }

    /// All files of a checkpoint, then its manifest, then the pointer to it.
    ///
    /// # Errors
    /// The bucket does not take one of them. The pointer still names the checkpoint before.
    pub async fn put_checkpoint(&self, folder: &Path, manifest: &Manifest) -> Result<Pointer, OutboxError> {
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

    /// Deletes submissions, their keys and checkpoints of windows before this one, but not the checkpoint that the pointer names;
    /// never score logs or records. How many objects were deleted.
    ///
    /// # Errors
    /// The bucket does not list or delete them.
    pub async fn delete_before(&self, window: Window) -> Result<usize, OutboxError> {
        let newest = self.newest_checkpoint().await?;
        let submissions = self.delete(&bucket_layout::submissions(self.id()), |of| of < window).await?;
        let keys_too = self.delete(&bucket_layout::seal_keys(self.id()), |of| of < window).await?;
        let is_old = |of| of < window && newest.is_none_or(|newest| of < newest);
        Ok(submissions + keys_too + self.delete(&bucket_layout::checkpoints(self.id()), is_old).await?)
    }

    /// The window of the checkpoint that the pointer names.
    async fn newest_checkpoint(&self) -> Result<Option<Window>, OutboxError> {
        let limits = Limits { bytes: bucket_layout::LARGEST_POINTER, time: TIME, floor: FLOOR };
        match self.bucket.get(&bucket_layout::checkpoint_pointer(self.id()), &limits).await {
            // What cannot be read protects nothing: others cannot read it either.
            Ok((bytes, _)) => Ok(Pointer::read(&bytes).ok().map(|pointer| pointer.window)),
            Err(StorageError::NotFound { .. } | StorageError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what lies below a prefix and is of windows that are old.
    async fn delete(&self, prefix: &str, is_old: impl Fn(Window) -> bool) -> Result<usize, OutboxError> {
        let (mut after, mut deleted) = (None, 0);
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

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Stored, OutboxError> {
        Ok(self.bucket.put(key, Content::Bytes(bytes), &how(TIME)).await?)
    }
}

fn how(time: Duration) -> Put {
    Put { time, floor: FLOOR, only_if_absent: false }
}
