//! What the children are told: each a configuration file, as an operator would write it.

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

/// What a node thinks a block takes, in seconds. Blocks are held for minutes here; a node must not take that for a
/// lost connection.
const BLOCK_SECONDS: i64 = 60;

/// Windows between checkpoints: a joiner finds one soon.
const CHECKPOINT_EVERY: i64 = 2;

/// A participant's bucket: one key that reads, one that writes.
pub(crate) fn bucket(seed: u64, participant: &Participant) -> BucketConfig {
    let key = |purpose: &str| {
        let secret = hex::encode(derive(seed, &participant.name, &format!("bucket {purpose}")));
        Key { id: format!("{}-{purpose}", participant.name), secret: secret[..40].into() }
    };
    BucketConfig { name: participant.name.clone(), read: key("reads"), write: key("writes") }
}

/// What of a bucket nobody may ever see. (The key that reads is announced on chain, and still belongs in no log.)
pub(crate) fn secrets(bucket: &BucketConfig) -> [GeneratedSecret; 2] {
    let made = |what: &str, key: &Key| GeneratedSecret {
        what: format!("the secret of the key that {what} {}'s bucket", bucket.name),
        text: key.secret.clone(),
    };
    [made("reads", &bucket.read), made("writes to", &bucket.write)]
}

/// Where the network is.
pub(crate) struct Places<'a> {
    /// The chain: `ws://…`.
    pub(crate) chain: &'a str,
    /// Its genesis hash.
    pub(crate) genesis: String,
    /// The subnet.
    pub(crate) netuid: u16,
    /// The bucket server: `http://…`.
    pub(crate) buckets: String,
    /// The prepared dataset.
    pub(crate) data: &'a Path,
}

/// The configuration of a miner, a validator, or an adversary.
pub(crate) fn config(
    folder: &Folder,
    places: &Places<'_>,
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
    set("chain", "endpoints", Value::Array(vec![places.chain.into()]));
    set("chain", "genesis", places.genesis.clone().into());
    set("chain", "netuid", i64::from(places.netuid).into());
    set("chain", "block_time", BLOCK_SECONDS.into());
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
    if participant.part == Role::Validator {
        let every = Table::from_iter([("checkpoint_every".to_owned(), CHECKPOINT_EVERY.into())]);
        config.insert("validator".into(), Value::Table(every));
    }
    config
}
