//! Access control: each bucket has a read key and a write key, like the tokens of Cloudflare R2.

use crate::names;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    path::S3Path,
    s3_error,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use thiserror::Error;

/// A bucket and its two keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// The name: 3 to 63 characters of `a-z`, `0-9` and `-`, without `-` at either end.
    pub name: String,
    /// The read key, which a miner announces: it may read and list.
    pub read: Key,
    /// The write key, which the owner keeps secret: it may also write and delete.
    pub write: Key,
}

/// An access key with its secret.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The access key id, which is sent with each request.
    pub id: String,
    /// The secret, which signs requests and is never sent.
    pub secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("secret", &"[hidden]").finish()
    }
}

/// The error of a wrong configuration of buckets and keys.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeysError {
    /// A bucket name is invalid.
    #[error("'{0}' is not a valid bucket name: use 3 to 63 of a-z, 0-9 and '-', with no '-' at either end")]
    Name(String),
    /// Two buckets have the same name.
    #[error("two buckets have the name {0}: give each bucket its own name")]
    TwiceNamed(String),
    /// Two keys have the same id.
    #[error("two keys have the id {0}: give each key its own id, also within a bucket")]
    TwiceUsed(String),
    /// An id or a secret is too short.
    #[error("the {what} of a key of the bucket {bucket} is shorter than 8 bytes: choose a longer one")]
    Short {
        /// The name of the bucket.
        bucket: String,
        /// The short part: `id` or `secret`.
        what: &'static str,
    },
}

#[derive(Debug)]
struct Grant {
    bucket: String,
    writes: bool,
    secret: SecretText,
}

/// A secret that `Debug` does not print.
struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// All keys by id. Tells `s3s` the secret of a key, and whether the signer of a request has access.
/// Clones share one table.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    grants: Arc<BTreeMap<String, Grant>>,
    /// Whether read keys may not list.
    hidden: Arc<AtomicBool>,
}

impl Keys {
    pub(crate) fn new(buckets: &[BucketConfig]) -> Result<Self, KeysError> {
        let mut grants = BTreeMap::new();
        let mut names = std::collections::BTreeSet::new();
        for bucket in buckets {
            if !names::is_bucket(&bucket.name) {
                return Err(KeysError::Name(bucket.name.clone()));
            }
            if !names.insert(&bucket.name) {
                return Err(KeysError::TwiceNamed(bucket.name.clone()));
            }
            for (key, writes) in [(&bucket.read, false), (&bucket.write, true)] {
                let short = |what| KeysError::Short { bucket: bucket.name.clone(), what };
                let lengths = [(&key.id, "id"), (&key.secret, "secret")];
                if let Some((_, what)) = lengths.iter().find(|(text, _)| text.len() < 8) {
                    return Err(short(what));
                }
                let secret = SecretText(key.secret.clone());
                let grant = Grant { bucket: bucket.name.clone(), writes, secret };
                if grants.insert(key.id.clone(), grant).is_some() {
                    return Err(KeysError::TwiceUsed(key.id.clone()));
                }
            }
        }
        Ok(Self { grants: Arc::new(grants), hidden: Arc::default() })
    }

    /// Sets whether read keys may list their buckets.
    pub(crate) fn let_readers_list(&self, may: bool) {
        self.hidden.store(!may, Relaxed);
    }

    /// Checks whether this key may list its bucket.
    pub(crate) fn lists(&self, id: &str) -> bool {
        self.grants.get(id).is_some_and(|grant| grant.writes || !self.hidden.load(Relaxed))
    }

    fn may(&self, id: &str, operation: &str, bucket: Option<&str>) -> bool {
        self.grants.get(id).is_some_and(|grant| {
            Some(grant.bucket.as_str()) == bucket
                && (operation != LIST || self.lists(id))
                && (READS.contains(&operation) || (grant.writes && WRITES.contains(&operation)))
        })
    }
}

const LIST: &str = "ListObjectsV2";
const READS: [&str; 4] = ["GetObject", "HeadObject", "HeadBucket", LIST];
const WRITES: [&str; 8] = [
    "PutObject",
    "DeleteObject",
    "DeleteObjects",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "ListMultipartUploads",
];

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let grant =
            self.grants.get(id).ok_or_else(|| s3_error!(InvalidAccessKeyId, "no such access key id"))?;
        Ok(grant.secret.0.as_str().into())
    }
}

#[async_trait::async_trait]
impl S3Access for Keys {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let bucket = match context.s3_path() {
            S3Path::Root => None,
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(&**bucket),
        };
        let Some(signer) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "requests must be signed"));
        };
        if self.may(&signer.access_key, context.s3_op().name(), bucket) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "this key does not allow the operation on this bucket"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str) -> BucketConfig {
        let key =
            |kind: &str| Key { id: format!("{name}-{kind}-id"), secret: format!("{name}-{kind}-secret") };
        BucketConfig { name: name.to_owned(), read: key("read"), write: key("write") }
    }

    #[test]
    fn keys_work_in_their_own_bucket_and_only_for_their_purpose() {
        let keys = Keys::new(&[bucket("alice"), bucket("bob")]).unwrap();
        assert!(keys.may("alice-read-id", "GetObject", Some("alice")));
        assert!(keys.may("alice-write-id", "GetObject", Some("alice")));
        assert!(keys.may("alice-write-id", "PutObject", Some("alice")));
        assert!(!keys.may("alice-read-id", "PutObject", Some("alice")));
        assert!(!keys.may("alice-write-id", "PutObject", Some("bob")));
        assert!(!keys.may("alice-write-id", "ListBuckets", None));
        assert!(!keys.may("mallory-id", "GetObject", Some("alice")));
        assert!(keys.may("alice-read-id", LIST, Some("alice")));
        keys.let_readers_list(false);
        assert!(!keys.may("alice-read-id", LIST, Some("alice")));
        assert!(keys.may("alice-write-id", LIST, Some("alice")));
        assert!(keys.may("alice-read-id", "GetObject", Some("alice")));
    }

    #[test]
    fn wrong_tables_are_refused_by_name() {
        let refusal = |buckets: &[BucketConfig]| Keys::new(buckets).unwrap_err();
        assert_eq!(refusal(&[bucket("../x")]), KeysError::Name("../x".to_owned()));
        assert_eq!(refusal(&[bucket("alice"), bucket("alice")]), KeysError::TwiceNamed("alice".to_owned()));
        let mut same = bucket("alice");
        same.write.id = same.read.id.clone();
        assert_eq!(refusal(&[same]), KeysError::TwiceUsed("alice-read-id".to_owned()));
        let mut short = bucket("alice");
        short.read.secret = "short".to_owned();
        assert_eq!(refusal(&[short]), KeysError::Short { bucket: "alice".to_owned(), what: "secret" });
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?} {:?}", bucket("alice"), Keys::new(&[bucket("alice")]).unwrap());
        assert!(!shown.contains("alice-read-secret") && shown.contains("alice-read-id"), "{shown}");
    }
}
