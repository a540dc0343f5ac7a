//! Creates the configuration files of the children, as an operator would write them.

use crate::{
    folder::Folder,
    roster::{Participant, Role},
    wallets::{GeneratedSecret, HOTKEY, derive},
};
use bucket_server::{BucketConfig, Key};
use std::path::Path;
use toml::{Table, Value, toml};

/// The region of all buckets; the bucket server takes any.
const REGION: &str = "devnet";

/// The block time that a node expects, in seconds. Blocks are held for minutes here, and a node must
/// not mistake that for a lost connection.
const BLOCK_SECONDS: i64 = 60;

/// The block time that a node with a proxy before the chain expects, in seconds. It is short, so that the
/// node notices within a hold that the proxy is silent.
const BLOCK_SECONDS_BEHIND_PROXY: i64 = 3;

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
    /// The URL of the chain: `ws://…`.
    pub(crate) chain: &'a str,
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

/// Creates the configuration of a miner, a validator or an adversary. The node prefers the URL `proxy` to the
/// chain's own.
pub(crate) fn config(
    folder: &Folder,
    places: &Places<'_>,
    participant: &Participant,
    bucket: &BucketConfig,
    proxy: Option<String>,
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
    let block_seconds = if proxy.is_some() { BLOCK_SECONDS_BEHIND_PROXY } else { BLOCK_SECONDS };
    let endpoints = proxy.into_iter().chain([places.chain.to_owned()]).map(Value::String);
    set("chain", "endpoints", Value::Array(endpoints.collect()));
    set("chain", "genesis", places.genesis.clone().into());
    set("chain", "netuid", i64::from(places.netuid).into());
    set("chain", "block_time", block_seconds.into());
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
