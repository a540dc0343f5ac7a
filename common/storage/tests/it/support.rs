//! A bucket on the local server, with handles of its owner and of a reader.

use base::Secret;
use bucket_server::{BucketConfig, Config, Fault, Key, Plan, Rule, Server};
use bytes::Bytes;
use protocol::announcement::{self, AddressPolicy, ReadCredentials};
use std::{net::SocketAddr, ops::Range, time::Duration};
use storage::{Bucket, Content, Floor, Limits, Put, Retry, Storage, StorageError};

pub(crate) const NAME: &str = "alice";

/// A time limit that only a hanging test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(300);

pub(crate) const LIMITS: Limits =
    Limits { bytes: 1 << 30, time: LONG, floor: Floor { bytes_per_second: 0, over: LONG } };

pub(crate) const PUT: Put = Put { time: LONG, floor: LIMITS.floor, only_if_absent: false };

pub(crate) struct Network {
    pub(crate) server: Server,
    pub(crate) owner: Bucket,
    pub(crate) reader: Bucket,
    pub(crate) storage: Storage,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn key(kind: &str) -> ReadCredentials {
    let secret = format!("{NAME}-{kind}-secret");
    ReadCredentials { access_key: Secret::new(format!("{NAME}-{kind}")), secret: Secret::new(secret) }
}

pub(crate) fn announced(address: SocketAddr, key: Option<ReadCredentials>) -> announcement::Bucket {
    announcement::Bucket::s3(&format!("http://{address}"), "us-east-1", NAME, key).unwrap()
}

/// Creates a client that retries without pauses, so that tests do not wait.
pub(crate) fn storage() -> Storage {
    let retry = Retry { attempts: 3, base: Duration::ZERO, most: Duration::ZERO, most_asked: Duration::ZERO };
    Storage::new(AddressPolicy::PublicOrLoopback).with_retry(retry)
}

impl Network {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_of =
            |kind: &str| Key { id: format!("{NAME}-{kind}"), secret: format!("{NAME}-{kind}-secret") };
        let bucket = BucketConfig { name: NAME.to_owned(), read: key_of("reads"), write: key_of("writes") };
        let server = Server::start(Config::local(&folder.path().join("data"), vec![bucket])).await.unwrap();
        let storage = storage();
        let at = announced(server.address(), Some(key("reads")));
        let reader = storage.bucket(&at).unwrap();
        let owner = storage.own_bucket(&at, &key("writes")).unwrap();
        Self { server, owner, reader, storage, folder }
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        let content = Content::Bytes(Bytes::copy_from_slice(bytes));
        self.owner.put(key, content, &PUT).await.unwrap();
    }

    /// Downloads a range.
    pub(crate) async fn range(
        &self,
        key: &str,
        range: Range<u64>,
        limits: &Limits,
    ) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        self.reader.get_into(key, Some(range), limits, &mut bytes).await?;
        Ok(bytes)
    }

    /// Injects `fault` into the first `times` requests of a method.
    pub(crate) fn inject(&self, method: &str, fault: Fault, times: u64) {
        self.server
            .inject(Plan { seed: 1, rules: vec![Rule::always(method, "/alice/", fault).times(times)] });
    }
}

/// Returns bytes without a pattern, so that a wrong offset is visible.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}
