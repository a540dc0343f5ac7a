//! Creates the configuration files of the children, as an operator would write them.

use crate::{
    folder::Folder,
    roster::{Participant, Role},
    wallets::{GeneratedSecret, HOTKEY, derive},
};
use bucket_server::{BucketConfig, Key};
use std::{path::Path, time::Duration};
use toml::{Table, Value, toml};

/// The region of all buckets; the bucket server takes any.
const REGION: &str = "devnet";

/// The number of windows between checkpoints. It is small so that a joiner soon finds one.
const CHECKPOINT_EVERY: i64 = 2;

/// Creates a participant's bucket, with one key that reads and one that writes.
pub(crate) fn bucket(seed: u64, participant: &Participant) -> BucketConfig {
    let key = |purpose: &str| {
        let secret = hex::encode(derive(seed, &participant.name, &format!("bucket {purpose}")));
        Key { id: format!("{}-{purpose}", participant.name), secret: secret[..40].into() }
    };
    BucketConfig { name: participant.name.clone(), read: key("reads"), write: key("writes") }
}

/// Returns the secrets of a bucket. None of them may appear in a log. (The key that reads is announced
/// on chain, but it does not belong in a log either.)
pub(crate) fn secrets(bucket: &BucketConfig) -> [GeneratedSecret; 2] {
    let secret = |what: &str, key: &Key| GeneratedSecret {
        what: format!("the secret of the key that {what} {}'s bucket", bucket.name),
        text: key.secret.clone(),
    };
    [secret("reads", &bucket.read), secret("writes to", &bucket.write)]
}

/// The addresses of the network, for the configurations.
pub(crate) struct Places<'a> {
    /// The chain's genesis hash.
    pub(crate) genesis: String,
    /// The netuid of the subnet.
    pub(crate) netuid: u16,
    /// The URL of the bucket server: `http://…`.
    pub(crate) buckets: String,
    /// The folder of the prepared dataset.
    pub(crate) data: &'a Path,
    /// The port of the node with uid 0 for metrics. Each other node has this port plus its uid.
    pub(crate) metrics: Option<u16>,
}

/// The chain, as a node reaches it.
pub(crate) struct ChainAccess {
    /// The URLs of its endpoints: `ws://…`, in order of preference.
    pub(crate) endpoints: Vec<String>,
    /// The block time that the node expects. Blocks are held for minutes here, and a node must not mistake
    /// that for a lost connection.
    pub(crate) block_time: Duration,
}

/// Creates the configuration of a miner, a validator or an adversary.
pub(crate) fn config(
    folder: &Folder,
    places: &Places<'_>,
    chain: ChainAccess,
    participant: &Participant,
    bucket: &BucketConfig,
) -> Table {
    let text = |path: &Path| Value::String(path.display().to_string());
    let mut config = toml! {
        [chain]
        [wallet]
        [run]
        [data]
        [bucket]
        allow_loopback = true
        [node]
        threads = 1
        device = "cpu"
        [log]
        format = "human"
        level = "info"
    };
    let mut set = |section: &str, name: &str, value: Value| {
        if let Some(Value::Table(table)) = config.get_mut(section) {
            table.insert(name.into(), value);
        }
    };
    let endpoints = chain.endpoints.into_iter().map(Value::String).collect();
    set("chain", "endpoints", Value::Array(endpoints));
    set("chain", "genesis", places.genesis.clone().into());
    set("chain", "netuid", i64::from(places.netuid).into());
    set("chain", "block_time", Value::Integer(chain.block_time.as_secs() as i64));
    set("wallet", "folder", text(&folder.wallets()));
    set("wallet", "name", participant.name.clone().into());
    set("wallet", "hotkey", HOTKEY.into());
    set("run", "spec", text(&folder.spec()));
    set("data", "folder", text(places.data));
    set("bucket", "endpoint", places.buckets.clone().into());
    set("bucket", "region", REGION.into());
    set("bucket", "name", bucket.name.clone().into());
    set("bucket", "read_access", bucket.read.id.clone().into());
    set("bucket", "read_secret", bucket.read.secret.clone().into());
    set("bucket", "write_access", bucket.write.id.clone().into());
    set("bucket", "write_secret", bucket.write.secret.clone().into());
    set("node", "folder", text(&folder.node(&participant.name)));
    if let Some(port) = places.metrics {
        set("node", "metrics", format!("127.0.0.1:{}", port + participant.uid.0).into());
    }
    if participant.role == Role::Validator {
        let every = Table::from_iter([("checkpoint_every".to_owned(), CHECKPOINT_EVERY.into())]);
        config.insert("validator".into(), Value::Table(every));
    }
    config
}
