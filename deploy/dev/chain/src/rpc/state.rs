//! The `state_*` methods: storage, runtime calls, metadata.

use std::collections::HashMap;

use jsonrpsee::{
    PendingSubscriptionSink,
    core::{SubscriptionResult, async_trait},
    proc_macros::rpc,
};
use parity_scale_codec::Decode;
use sp_core::{
    Bytes,
    storage::{StorageChangeSet, StorageData, StorageKey},
};
use sp_version::RuntimeVersion;

use super::{
    error::{self, Result},
    subscription::{self, Follower},
};
use crate::{
    handle::Handle,
    node::Node,
    store::{Block, Hash},
};

/// The maximum number of keys that one call lists, as in Substrate.
const MAX_PAGE: u32 = 1000;

/// The maximum number of keys or pairs that the calls without pages list.
const MAX_LIST: usize = 100_000;

/// The maximum number of blocks whose storage one `state_queryStorage` compares.
const MAX_RANGE: u32 = 10_000;

/// The maximum number of keys that one `state_subscribeStorage` watches.
const MAX_WATCHED: u32 = 4096;

#[rpc(server)]
pub(super) trait StateApi {
    #[method(name = "state_call", aliases = ["state_callAt"])]
    async fn call(&self, method: String, data: Bytes, at: Option<Hash>) -> Result<Bytes>;

    #[method(name = "state_getMetadata")]
    async fn metadata(&self, at: Option<Hash>) -> Result<Bytes>;

    #[method(name = "state_getRuntimeVersion", aliases = ["chain_getRuntimeVersion", "state_getRuntimeVersionAt"])]
    async fn runtime_version(&self, at: Option<Hash>) -> Result<RuntimeVersion>;

    #[method(name = "state_getStorage", aliases = ["state_getStorageAt"])]
    async fn storage(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<StorageData>>;

    #[method(name = "state_getStorageHash", aliases = ["state_getStorageHashAt"])]
    async fn storage_hash(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<Hash>>;

    #[method(name = "state_getStorageSize", aliases = ["state_getStorageSizeAt"])]
    async fn storage_size(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<u64>>;

    #[method(name = "state_getKeys")]
    async fn keys(&self, prefix: StorageKey, at: Option<Hash>) -> Result<Vec<StorageKey>>;

    #[method(name = "state_getPairs")]
    async fn pairs(&self, prefix: StorageKey, at: Option<Hash>) -> Result<Vec<(StorageKey, StorageData)>>;

    #[method(name = "state_getKeysPaged", aliases = ["state_getKeysPagedAt"])]
    async fn keys_paged(
        &self,
        prefix: Option<StorageKey>,
        count: u32,
        start: Option<StorageKey>,
        at: Option<Hash>,
    ) -> Result<Vec<StorageKey>>;

    #[method(name = "state_queryStorage")]
    async fn query_storage(
        &self,
        keys: Vec<StorageKey>,
        from: Hash,
        to: Option<Hash>,
    ) -> Result<Vec<StorageChangeSet<Hash>>>;

    #[method(name = "state_queryStorageAt")]
    async fn query_storage_at(
        &self,
        keys: Vec<StorageKey>,
        at: Option<Hash>,
    ) -> Result<Vec<StorageChangeSet<Hash>>>;

    #[subscription(
        name = "state_subscribeRuntimeVersion" => "state_runtimeVersion",
        aliases = ["chain_subscribeRuntimeVersion"],
        unsubscribe = "state_unsubscribeRuntimeVersion",
        unsubscribe_aliases = ["chain_unsubscribeRuntimeVersion"],
        item = RuntimeVersion
    )]
    async fn runtime_versions(&self) -> SubscriptionResult;

    #[subscription(
        name = "state_subscribeStorage" => "state_storage",
        unsubscribe = "state_unsubscribeStorage",
        item = StorageChangeSet<Hash>
    )]
    async fn storage_changes(&self, keys: Option<Vec<StorageKey>>) -> SubscriptionResult;
}

pub(super) struct State(pub(super) Handle);

/// The last seen values of keys.
type Seen = HashMap<StorageKey, Option<StorageData>>;

impl State {
    /// Reads the state of a block: the named one, or the newest.
    async fn at<T: Send + 'static>(
        &self,
        at: Option<Hash>,
        look: impl FnOnce(&Node, &Block) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.read(move |node| look(node, find(node, at)?)).await?
    }
}

fn find(node: &Node, at: Option<Hash>) -> Result<&Block> {
    let store = node.chain().store();
    at.map_or(Ok(store.best()), |hash| store.by_hash(&hash).ok_or_else(|| error::unknown_block(hash)))
}

/// Returns the values of `keys` after `block` that differ from those in `seen`, and updates `seen`.
fn changes(node: &Node, block: &Block, keys: &[StorageKey], seen: &mut Seen) -> StorageChangeSet<Hash> {
    let state = node.chain().state(block);
    let mut changes = Vec::new();
    for key in keys {
        let value = state.storage(&key.0).map(StorageData);
        if seen.get(key) != Some(&value) {
            changes.push((key.clone(), value.clone()));
            seen.insert(key.clone(), value);
        }
    }
    StorageChangeSet { block: block.hash, changes }
}

#[async_trait]
impl StateApiServer for State {
    async fn call(&self, method: String, data: Bytes, at: Option<Hash>) -> Result<Bytes> {
        let call =
            move |node: &Node, block: &Block| node.chain().call(block, &method, &data).map_err(error::call);
        Ok(Bytes(self.at(at, call).await?))
    }

    async fn metadata(&self, at: Option<Hash>) -> Result<Bytes> {
        let opaque = self.call("Metadata_metadata".into(), Bytes(Vec::new()), at).await?;
        // The runtime's answer is a byte vector that is itself SCALE-encoded.
        let metadata = Vec::<u8>::decode(&mut &opaque[..]);
        metadata.map(Bytes).map_err(|error| error::error(error::PARAMS, error.to_string()))
    }

    async fn runtime_version(&self, at: Option<Hash>) -> Result<RuntimeVersion> {
        self.at(at, |node, block| node.chain().version(block).map_err(error::call)).await
    }

    async fn storage(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<StorageData>> {
        self.at(at, move |node, block| Ok(node.chain().state(block).storage(&key.0).map(StorageData))).await
    }

    async fn storage_hash(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<Hash>> {
        self.at(at, move |node, block| Ok(node.chain().state(block).storage_hash(&key.0))).await
    }

    async fn storage_size(&self, key: StorageKey, at: Option<Hash>) -> Result<Option<u64>> {
        let size = move |node: &Node, block: &Block| {
            let state = node.chain().state(block);
            if let Some(value) = state.storage(&key.0) {
                return Ok(Some(value.len() as u64));
            }
            // Without a value at the key itself, Substrate returns the total size of all values below
            // it.
            let sum = state.pairs(&key.0, MAX_LIST).iter().map(|(_, value)| value.0.len() as u64).sum();
            Ok(Some(sum).filter(|sum| *sum > 0))
        };
        self.at(at, size).await
    }

    async fn keys(&self, prefix: StorageKey, at: Option<Hash>) -> Result<Vec<StorageKey>> {
        self.at(at, move |node, block| Ok(node.chain().state(block).keys(&prefix.0, None, MAX_LIST))).await
    }

    async fn pairs(&self, prefix: StorageKey, at: Option<Hash>) -> Result<Vec<(StorageKey, StorageData)>> {
        self.at(at, move |node, block| Ok(node.chain().state(block).pairs(&prefix.0, MAX_LIST))).await
    }

    async fn keys_paged(
        &self,
        prefix: Option<StorageKey>,
        count: u32,
        start: Option<StorageKey>,
        at: Option<Hash>,
    ) -> Result<Vec<StorageKey>> {
        if count > MAX_PAGE {
            return Err(error::count(count, MAX_PAGE));
        }
        let page = move |node: &Node, block: &Block| {
            let prefix = prefix.map_or_else(Vec::new, |prefix| prefix.0);
            let start = start.as_ref().map(|start| &start.0[..]);
            Ok(node.chain().state(block).keys(&prefix, start, count as usize))
        };
        self.at(at, page).await
    }

    async fn query_storage(
        &self,
        keys: Vec<StorageKey>,
        from: Hash,
        to: Option<Hash>,
    ) -> Result<Vec<StorageChangeSet<Hash>>> {
        let query = move |node: &Node, last: &Block| {
            let first = find(node, Some(from))?;
            let refuse = |details| error::block_range(from, last.hash, details);
            let length = last.header.number.checked_sub(first.header.number);
            let length = length.ok_or_else(|| refuse("from number > to number"))?;
            if length >= MAX_RANGE {
                return Err(refuse("too many blocks"));
            }
            let line = node.chain().store().line(first, last);
            let line = line.ok_or_else(|| refuse("the later block does not descend from the earlier one"))?;
            let mut seen = Seen::new();
            let sets = line.into_iter().map(|block| changes(node, block, &keys, &mut seen));
            Ok(sets.filter(|set| !set.changes.is_empty()).collect())
        };
        self.at(to, query).await
    }

    async fn query_storage_at(
        &self,
        keys: Vec<StorageKey>,
        at: Option<Hash>,
    ) -> Result<Vec<StorageChangeSet<Hash>>> {
        self.at(at, move |node, block| Ok(vec![changes(node, block, &keys, &mut Seen::new())])).await
    }

    async fn runtime_versions(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        let mut follower = Follower::from_newest(self.0.imports());
        subscription::run(pending, async |sink| {
            let mut told = None;
            while follower.next().await.is_some() {
                let version = self.runtime_version(None).await?;
                if told.as_ref() != Some(&version) {
                    subscription::send(sink, &version).await?;
                    told = Some(version);
                }
            }
            Ok(())
        })
        .await
    }

    async fn storage_changes(
        &self,
        pending: PendingSubscriptionSink,
        keys: Option<Vec<StorageKey>>,
    ) -> SubscriptionResult {
        let keys = keys.unwrap_or_default();
        if keys.is_empty() || keys.len() > MAX_WATCHED as usize {
            let message = format!("cannot watch {} keys; name 1 to {MAX_WATCHED}", keys.len());
            pending.reject(error::error(error::PARAMS, message)).await;
            return Ok(());
        }
        let mut follower = Follower::from_newest(self.0.imports());
        subscription::run(pending, async |sink| {
            let mut seen = Seen::new();
            while let Some(imports) = follower.next().await {
                let keys = keys.clone();
                let look = move |node: &Node| {
                    let imports = imports.filter_map(|import| node.chain().store().imported(import));
                    let best = imports.filter(|(_, is_best)| *is_best);
                    let sets: Vec<_> =
                        best.map(|(block, _)| changes(node, block, &keys, &mut seen)).collect();
                    (sets, seen)
                };
                let (sets, up_to_date) = self.0.read(look).await?;
                seen = up_to_date;
                for set in sets.iter().filter(|set| !set.changes.is_empty()) {
                    subscription::send(sink, set).await?;
                }
            }
            Ok(())
        })
        .await
    }
}
