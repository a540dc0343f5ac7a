//! Lists of objects, and deletes.

use crate::{Bucket, ObjectName, StorageError, bucket::boxed};
use aws_sdk_s3::{operation::list_objects_v2::ListObjectsV2Output, primitives::DateTime};
use std::time::{Duration, SystemTime};

/// The maximum number of keys in a page (S3's limit).
const PAGE: usize = 1000;
/// The maximum length of a key, in bytes (S3's limit).
const LONGEST_KEY: usize = 1024;

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The size, in bytes.
    pub bytes: u64,
    /// The service's entity tag of the content, if the service sent one.
    pub tag: Option<String>,
    /// The time of the upload by the service's clock, to the second.
    pub modified: Option<SystemTime>,
}

impl Bucket {
    /// Lists up to `most` objects whose keys begin with `prefix` and come after `after`, in the
    /// service's order (S3: the order of bytes). Requests as many pages as necessary.
    ///
    /// # Errors
    /// See [`StorageError`]. [`StorageError::Malformed`] also for keys with another prefix and for
    /// endless lists.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
        time: Duration,
    ) -> Result<Vec<Listed>, StorageError> {
        self.within(prefix, time, self.list_pages(prefix, after, most)).await
    }

    async fn list_pages(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Listed>, StorageError> {
        let object = self.object(prefix);
        let mut listed = Vec::new();
        let mut token = None;
        // A service may send pages that are not full. The bound stops one that does so forever.
        for _ in 0..most.div_ceil(PAGE).saturating_mul(4).max(16) {
            let wanted = (most - listed.len()).min(PAGE);
            if wanted == 0 {
                return Ok(listed);
            }
            let page = self.page(&object, prefix, after, token, wanted).await?;
            for entry in page.contents.into_iter().flatten().take(wanted) {
                listed.push(read(entry, prefix).ok_or_else(|| malformed(&object, "an invalid list entry"))?);
            }
            token = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
            if token.is_none() {
                return Ok(listed);
            }
        }
        Err(malformed(&object, "an endless list"))
    }

    async fn page(
        &self,
        object: &ObjectName,
        prefix: &str,
        after: Option<&str>,
        token: Option<String>,
        wanted: usize,
    ) -> Result<ListObjectsV2Output, StorageError> {
        let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
        self.retry
            .run(&self.metrics, async || {
                let request =
                    self.client.list_objects_v2().bucket(&self.name).prefix(prefix).max_keys(wanted);
                let request =
                    request.set_start_after(after.map(str::to_owned)).set_continuation_token(token.clone());
                boxed(request.send()).await.map_err(|error| StorageError::from_sdk(&error, object))
            })
            .await
    }

    /// Deletes an object. An object that does not exist counts as deleted.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn delete(&self, key: &str, time: Duration) -> Result<(), StorageError> {
        self.within(key, time, self.delete_one(key)).await
    }

    async fn delete_one(&self, key: &str) -> Result<(), StorageError> {
        let object = self.object(key);
        let deleted = self.retry.run(&self.metrics, async || {
            let answer = boxed(self.client.delete_object().bucket(&self.name).key(key).send()).await;
            answer.map_err(|error| StorageError::from_sdk(&error, &object))
        });
        match deleted.await {
            // Some services report a missing object.
            Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn malformed(object: &ObjectName, what: &str) -> StorageError {
    StorageError::Malformed { object: object.clone(), what: what.to_owned() }
}

/// Reads an entry of a list. Returns `None` for a missing or wrong key, or a negative size.
fn read(entry: aws_sdk_s3::types::Object, prefix: &str) -> Option<Listed> {
    let key = entry.key.filter(|key| key.starts_with(prefix) && key.len() <= LONGEST_KEY)?;
    let bytes = u64::try_from(entry.size.unwrap_or(0)).ok()?;
    let tag = entry.e_tag.filter(|tag| tag.len() <= 200);
    Some(Listed { key, bytes, tag, modified: entry.last_modified.as_ref().and_then(time_of) })
}

/// Converts a time of the SDK. Returns `None` for times before 1970.
fn time_of(time: &DateTime) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(time.secs()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::Object;

    #[test]
    fn entries_of_other_lists_are_refused() {
        let entry = |key: &str, size| {
            Object::builder().key(key).size(size).last_modified(DateTime::from_secs(7)).build()
        };
        let fine = read(entry("run/1", 5), "run/").unwrap();
        assert_eq!((fine.bytes, fine.modified), (5, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7))));
        assert_eq!(read(entry("other", 5), "run/"), None);
        assert_eq!(read(entry("run/1", -5), "run/"), None);
        assert_eq!(read(entry(&"x".repeat(1025), 5), ""), None);
        assert_eq!(read(Object::builder().build(), ""), None);
        assert_eq!(time_of(&DateTime::from_secs(-1)), None);
    }
}
