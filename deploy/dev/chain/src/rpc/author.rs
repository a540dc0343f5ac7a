//! The `author_*` methods: transactions for the pool.

use jsonrpsee::{
    PendingSubscriptionSink,
    core::{SubscriptionResult, async_trait},
    proc_macros::rpc,
};
use serde::{Deserialize, Serialize};
use sp_core::Bytes;
use sp_crypto_hashing::blake2_256;

use super::{error::Result, subscription};
use crate::{handle::Handle, pool::Status, store::Hash};

/// A transaction to remove, by its hash or its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ExtrinsicOrHash {
    Hash(Hash),
    Extrinsic(Bytes),
}

/// A status in the form that `author_extrinsicUpdate` has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Update {
    Future,
    Ready,
    InBlock(Hash),
    Retracted(Hash),
    FinalityTimeout(Hash),
    Finalized(Hash),
    Usurped(Hash),
    Dropped,
    Invalid,
}

impl From<Status> for Update {
    fn from(status: Status) -> Self {
        match status {
            Status::Future => Self::Future,
            Status::Ready => Self::Ready,
            Status::Included(block) => Self::InBlock(block),
            Status::Retracted(block) => Self::Retracted(block),
            Status::FinalityTimeout(block) => Self::FinalityTimeout(block),
            Status::Finalized(block) => Self::Finalized(block),
            Status::Usurped(by) => Self::Usurped(by),
            Status::Dropped => Self::Dropped,
            Status::Invalid => Self::Invalid,
        }
    }
}

#[rpc(server)]
pub(super) trait AuthorApi {
    #[method(name = "author_submitExtrinsic")]
    async fn submit(&self, extrinsic: Bytes) -> Result<Hash>;

    #[method(name = "author_pendingExtrinsics")]
    async fn pending(&self) -> Result<Vec<Bytes>>;

    #[method(name = "author_removeExtrinsic")]
    async fn remove(&self, transactions: Vec<ExtrinsicOrHash>) -> Result<Vec<Hash>>;

    #[subscription(
        name = "author_submitAndWatchExtrinsic" => "author_extrinsicUpdate",
        unsubscribe = "author_unwatchExtrinsic",
        item = Update
    )]
    async fn submit_and_watch(&self, extrinsic: Bytes) -> SubscriptionResult;
}

pub(super) struct Author(pub(super) Handle);

#[async_trait]
impl AuthorApiServer for Author {
    async fn submit(&self, extrinsic: Bytes) -> Result<Hash> {
        Ok(self.0.submit(extrinsic.0).await?)
    }

    async fn pending(&self) -> Result<Vec<Bytes>> {
        Ok(self.0.pending().await?.into_iter().map(Bytes).collect())
    }

    async fn remove(&self, transactions: Vec<ExtrinsicOrHash>) -> Result<Vec<Hash>> {
        let hash = |transaction| match transaction {
            ExtrinsicOrHash::Hash(hash) => hash,
            ExtrinsicOrHash::Extrinsic(bytes) => blake2_256(&bytes).into(),
        };
        Ok(self.0.remove(transactions.into_iter().map(hash).collect()).await?)
    }

    async fn submit_and_watch(
        &self,
        pending: PendingSubscriptionSink,
        extrinsic: Bytes,
    ) -> SubscriptionResult {
        let mut statuses = match self.0.submit_and_watch(extrinsic.0).await {
            Ok((_, statuses)) => statuses,
            Err(refused) => {
                pending.reject(refused).await;
                return Ok(());
            }
        };
        subscription::run(pending, async |sink| {
            while let Some(status) = statuses.recv().await {
                subscription::send(sink, &Update::from(status)).await?;
            }
            Ok(())
        })
        .await
    }
}
