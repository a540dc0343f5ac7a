//! The `chain_*` methods: blocks and headers.

use std::ops::RangeInclusive;

use jsonrpsee::{
    PendingSubscriptionSink,
    core::{SubscriptionResult, async_trait},
    proc_macros::rpc,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sp_core::Bytes;

use super::{
    error::{self, Result},
    subscription::{self, Follower},
};
use crate::{
    handle::Handle,
    store::{Block, Hash, Header},
};

/// A single value or a list of values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ListOrValue<T> {
    List(Vec<T>),
    Value(T),
}

/// A height as a number or a hexadecimal text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum NumberOrHex {
    Number(u64),
    Hex(String),
}

impl NumberOrHex {
    /// Returns the height. One above `u32::MAX` becomes `u32::MAX`, which no block has.
    fn height(&self) -> Result<u32> {
        let height = match self {
            Self::Number(number) => Some(*number),
            Self::Hex(text) => text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
        };
        let height = height.ok_or_else(|| error::height(&self.to_text()))?;
        Ok(u32::try_from(height).unwrap_or(u32::MAX))
    }

    fn to_text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Hex(text) => text.chars().take(70).collect(),
        }
    }
}

#[rpc(server)]
pub(super) trait ChainApi {
    #[method(name = "chain_getBlock")]
    async fn block(&self, hash: Option<Hash>) -> Result<Option<Value>>;

    #[method(name = "chain_getBlockHash", aliases = ["chain_getHead"])]
    async fn block_hash(
        &self,
        heights: Option<ListOrValue<NumberOrHex>>,
    ) -> Result<ListOrValue<Option<Hash>>>;

    #[method(name = "chain_getHeader")]
    async fn header(&self, hash: Option<Hash>) -> Result<Option<Header>>;

    #[method(name = "chain_getFinalizedHead", aliases = ["chain_getFinalisedHead"])]
    async fn finalized_head(&self) -> Result<Hash>;

    #[subscription(
        name = "chain_subscribeAllHeads" => "chain_allHead",
        unsubscribe = "chain_unsubscribeAllHeads",
        item = Header
    )]
    async fn all_heads(&self) -> SubscriptionResult;

    #[subscription(
        name = "chain_subscribeNewHeads" => "chain_newHead",
        aliases = ["subscribe_newHead", "chain_subscribeNewHead"],
        unsubscribe = "chain_unsubscribeNewHeads",
        unsubscribe_aliases = ["unsubscribe_newHead", "chain_unsubscribeNewHead"],
        item = Header
    )]
    async fn new_heads(&self) -> SubscriptionResult;

    #[subscription(
        name = "chain_subscribeFinalizedHeads" => "chain_finalizedHead",
        aliases = ["chain_subscribeFinalisedHeads"],
        unsubscribe = "chain_unsubscribeFinalizedHeads",
        unsubscribe_aliases = ["chain_unsubscribeFinalisedHeads"],
        item = Header
    )]
    async fn finalized_heads(&self) -> SubscriptionResult;
}

/// The heads that a subscription tells.
#[derive(Clone, Copy, PartialEq)]
enum Heads {
    /// Every block at its arrival.
    All,
    /// Every block that was the best one at its arrival. After a change of branch, this is the branch's
    /// last block only.
    Best,
    /// Every block that became final, in the order of heights.
    Finalized,
}

pub(super) struct Chain(pub(super) Handle);

impl Chain {
    async fn find(&self, hash: Option<Hash>) -> Result<Option<Block>> {
        let find = move |node: &crate::node::Node| {
            let store = node.chain().store();
            hash.map_or(Some(store.best()), |hash| store.by_hash(&hash)).cloned()
        };
        Ok(self.0.read(find).await?)
    }

    /// Follows new heads, from the newest one on.
    async fn follow(&self, pending: PendingSubscriptionSink, heads: Heads) -> SubscriptionResult {
        let mut follower = Follower::from_newest(match heads {
            Heads::All | Heads::Best => self.0.imports(),
            Heads::Finalized => self.0.finalized_heights(),
        });
        subscription::run(pending, async |sink| {
            while let Some(numbers) = follower.next().await {
                for header in self.headers(numbers, heads).await? {
                    subscription::send(sink, &header).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Returns the headers of heads by their numbers: heights of final blocks, or numbers of imports.
    async fn headers(&self, numbers: RangeInclusive<u32>, heads: Heads) -> Result<Vec<Header>> {
        let headers = move |node: &crate::node::Node| {
            let store = node.chain().store();
            let head = |number| match heads {
                Heads::Finalized => store.by_height(number),
                Heads::All => store.imported(number).map(|(block, _)| block),
                Heads::Best => store.imported(number).filter(|(_, is_best)| *is_best).map(|(block, _)| block),
            };
            numbers.filter_map(head).map(|block| block.header.clone()).collect()
        };
        Ok(self.0.read(headers).await?)
    }
}

#[async_trait]
impl ChainApiServer for Chain {
    async fn block(&self, hash: Option<Hash>) -> Result<Option<Value>> {
        Ok(self.find(hash).await?.map(|Block { header, body, .. }| {
            let extrinsics: Vec<Bytes> = body.into_iter().map(Bytes).collect();
            json!({ "block": { "header": header, "extrinsics": extrinsics }, "justifications": null })
        }))
    }

    async fn block_hash(
        &self,
        heights: Option<ListOrValue<NumberOrHex>>,
    ) -> Result<ListOrValue<Option<Hash>>> {
        let Some(heights) = heights else {
            let best = self.0.read(|node| node.chain().store().best().hash).await?;
            return Ok(ListOrValue::Value(Some(best)));
        };
        let (list, single) = match heights {
            ListOrValue::List(list) => (list, false),
            ListOrValue::Value(value) => (vec![value], true),
        };
        let list = list.iter().map(NumberOrHex::height).collect::<Result<Vec<u32>>>()?;
        let hash_at = move |node: &crate::node::Node| {
            let hash = |height| node.chain().store().by_height(height).map(|block| block.hash);
            list.into_iter().map(hash).collect::<Vec<_>>()
        };
        let mut hashes = self.0.read(hash_at).await?;
        Ok(if single { ListOrValue::Value(hashes.pop().flatten()) } else { ListOrValue::List(hashes) })
    }

    async fn header(&self, hash: Option<Hash>) -> Result<Option<Header>> {
        Ok(self.find(hash).await?.map(|block| block.header))
    }

    async fn finalized_head(&self) -> Result<Hash> {
        Ok(self.0.read(|node| node.chain().store().finalized().hash).await?)
    }

    async fn all_heads(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        self.follow(pending, Heads::All).await
    }

    async fn new_heads(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        self.follow(pending, Heads::Best).await
    }

    async fn finalized_heads(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        self.follow(pending, Heads::Finalized).await
    }
}
