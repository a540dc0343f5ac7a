//! Uploads of objects: in one request below 64 MiB, in parts from there on. The service checks a CRC-32.

use crate::{Bucket, Floor, ObjectName, StorageError, bucket::boxed};
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_types::base64;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The smallest object that is uploaded in parts, in bytes.
pub const MULTIPART_FROM: u64 = 64 << 20;
/// The size of a part, in bytes. S3 allows 10,000 parts, so an object has at most 156 GiB.
pub const PART: u64 = 16 << 20;
/// The maximum number of parts (S3's limit).
const MOST_PARTS: u64 = 10_000;
/// The number of concurrent part uploads. Their buffers take 64 MiB. That is enough to saturate a connection.
const AT_ONCE: usize = 4;

/// The content of an upload.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file. It must not change during the upload. At most 64 MiB of it are in memory at once.
    File(&'a Path),
}

/// The options of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The time limit of the whole upload, including retries.
    pub time: Duration,
    /// The minimum rate. An attempt is given up after the floor's interval plus the time that its bytes
    /// take at this rate.
    pub floor: Floor,
    /// Whether to fail if the object exists already. Some services replace the object all the same
    /// (Garage 2.5, rclone), so correctness must not depend on it.
    pub only_if_absent: bool,
}

/// The result of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The number of bytes.
    pub bytes: u64,
    /// The service's entity tag of the content, if the service sent one.
    pub tag: Option<String>,
}

impl Bucket {
    /// Uploads an object. It replaces an object of the same key atomically.
    ///
    /// # Errors
    /// See [`StorageError`]. After [`StorageError::Unavailable`] and [`StorageError::Expired`] the
    /// object may exist all the same: the answer was lost, but perhaps not the request.
    pub async fn put(&self, key: &str, content: Content<'_>, how: &Put) -> Result<Stored, StorageError> {
        let started = Instant::now();
        let stored = self.within(key, how.time, self.put_content(key, content, how)).await?;
        self.metrics.put_seconds.observe(started.elapsed().as_secs_f64());
        Ok(stored)
    }

    async fn put_content(&self, key: &str, content: Content<'_>, how: &Put) -> Result<Stored, StorageError> {
        let object = self.object(key);
        let source = Source::open(content)?;
        let upload = Upload { bucket: self, key, object, how, source: &source };
        if source.size < MULTIPART_FROM {
            upload.whole().await
        } else if source.size.div_ceil(PART) <= MOST_PARTS {
            upload.in_parts().await
        } else {
            Err(StorageError::TooLarge { object: upload.object, cap: PART * MOST_PARTS })
        }
    }
}

/// Opened content, with its size.
struct Source {
    path: PathBuf,
    size: u64,
    from: From,
}

enum From {
    Bytes(Bytes),
    File(Arc<std::fs::File>),
}

impl Source {
    fn open(content: Content<'_>) -> Result<Self, StorageError> {
        match content {
            Content::Bytes(bytes) => {
                Ok(Self { path: PathBuf::new(), size: bytes.len() as u64, from: From::Bytes(bytes) })
            }
            Content::File(path) => {
                let fail = |source| StorageError::Local { path: path.to_owned(), source };
                let file = std::fs::File::open(path).map_err(fail)?;
                let meta = file.metadata().map_err(fail)?;
                if !meta.is_file() {
                    return Err(fail(io::Error::other("not a regular file")));
                }
                Ok(Self { path: path.to_owned(), size: meta.len(), from: From::File(Arc::new(file)) })
            }
        }
    }

    /// Reads `length` bytes from `start`, or as many as are left.
    async fn part(&self, start: u64, length: u64) -> Result<Bytes, StorageError> {
        let length = usize::try_from(length.min(self.size - start)).expect("a part fits into memory");
        match &self.from {
            From::Bytes(bytes) => {
                let start = usize::try_from(start).expect("a place within bytes in memory");
                Ok(bytes.slice(start..start + length))
            }
            From::File(file) => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, start).map(|()| Bytes::from(bytes))
                });
                let read = read.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
                read.map_err(|source| StorageError::Local { path: self.path.clone(), source })
            }
        }
    }
}

/// The state of one upload.
struct Upload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    object: ObjectName,
    how: &'a Put,
    source: &'a Source,
}

impl Upload<'_> {
    fn condition(&self) -> Option<String> {
        self.how.only_if_absent.then(|| "*".to_owned())
    }

    async fn whole(&self) -> Result<Stored, StorageError> {
        let bytes = self.source.part(0, MULTIPART_FROM).await?;
        let crc32 = crc32(&bytes);
        let tag = self
            .retry(bytes.len(), async || {
                let request = self.bucket.client.put_object().bucket(&self.bucket.name).key(self.key);
                let request = request.checksum_crc32(&crc32).set_if_none_match(self.condition());
                let answer = boxed(request.body(ByteStream::from(bytes.clone())).send()).await;
                answer
                    .map(|answer| answer.e_tag)
                    .map_err(|error| self.refusal(StorageError::from_sdk(&error, &self.object)))
            })
            .await?;
        self.bucket.metrics.sent_bytes.add(self.source.size);
        Ok(Stored { bytes: self.source.size, tag })
    }

    async fn in_parts(&self) -> Result<Stored, StorageError> {
        let id = self.begin().await?;
        match self.send_parts(&id).await {
            Ok(tag) => Ok(Stored { bytes: self.source.size, tag }),
            Err(error) => {
                // Best effort: a lifecycle rule of the bucket removes uploads that stay behind.
                let client = &self.bucket.client;
                let abort =
                    client.abort_multipart_upload().bucket(&self.bucket.name).key(self.key).upload_id(id);
                let _ = tokio::time::timeout(self.how.floor.over, boxed(abort.send())).await;
                Err(error)
            }
        }
    }

    async fn begin(&self) -> Result<String, StorageError> {
        let begun = self
            .retry(0, async || {
                let request =
                    self.bucket.client.create_multipart_upload().bucket(&self.bucket.name).key(self.key);
                let answer = boxed(request.checksum_algorithm(ChecksumAlgorithm::Crc32).send()).await;
                answer.map_err(|error| StorageError::from_sdk(&error, &self.object))
            })
            .await?;
        let what = "an upload without an id".to_owned();
        begun.upload_id.ok_or_else(|| StorageError::Malformed { object: self.object.clone(), what })
    }

    async fn send_parts(&self, id: &str) -> Result<Option<String>, StorageError> {
        let parts = stream::iter(0..self.source.size.div_ceil(PART)).map(|part| self.send_part(id, part));
        let parts: Vec<CompletedPart> = parts.buffered(AT_ONCE).try_collect().await?;
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        self.retry(0, async || {
            let request =
                self.bucket.client.complete_multipart_upload().bucket(&self.bucket.name).key(self.key);
            let request = request.upload_id(id).multipart_upload(whole.clone());
            let answer = boxed(request.set_if_none_match(self.condition()).send()).await;
            answer
                .map(|answer| answer.e_tag)
                .map_err(|error| self.refusal(StorageError::from_sdk(&error, &self.object)))
        })
        .await
    }

    async fn send_part(&self, id: &str, part: u64) -> Result<CompletedPart, StorageError> {
        let bytes = self.source.part(part * PART, PART).await?;
        let crc32 = crc32(&bytes);
        let length = bytes.len();
        let number = i32::try_from(part + 1).expect("at most 10,000 parts");
        let sent = self
            .retry(length, async || {
                let request = self.bucket.client.upload_part().bucket(&self.bucket.name).key(self.key);
                let request = request.upload_id(id).part_number(number).checksum_crc32(&crc32);
                let answer = boxed(request.body(ByteStream::from(bytes.clone())).send()).await;
                answer.map_err(|error| StorageError::from_sdk(&error, &self.object))
            })
            .await?;
        self.bucket.metrics.sent_bytes.add(length as u64);
        // The checksum is sent again here: Garage refuses parts without it, although it knows the checksum.
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).checksum_crc32(crc32).build())
    }

    /// Runs `attempt` with the bucket's retries. Each attempt may take the floor's interval plus the
    /// time that `bytes` take at the floor's rate.
    async fn retry<T>(
        &self,
        bytes: usize,
        mut attempt: impl AsyncFnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let Floor { bytes_per_second: floor, over } = self.how.floor;
        let transfer =
            Duration::try_from_secs_f64(bytes as f64 / floor.max(1) as f64).unwrap_or(Duration::MAX);
        let patience = over.saturating_add(transfer);
        self.bucket
            .retry
            .run(&self.bucket.metrics, async || match tokio::time::timeout(patience, attempt()).await {
                Ok(done) => done,
                Err(_) => {
                    Err(StorageError::Slow { object: self.object.clone(), bytes: 0, over: patience, floor })
                }
            })
            .await
    }

    fn refusal(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::Refused { status: 409 | 412, .. } => {
                StorageError::Exists { object: self.object.clone() }
            }
            error => error,
        }
    }
}

/// Returns the CRC-32 of the bytes in the form of S3's headers: big endian, base64.
fn crc32(bytes: &[u8]) -> String {
    base64::encode(crc32fast::hash(bytes).to_be_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksums_are_as_s3_documents_them() {
        // The check value of CRC-32/ISO-HDLC: cbf43926.
        assert_eq!(super::crc32(b"123456789"), "y/Q5Jg==");
    }
}
