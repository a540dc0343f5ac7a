//! The `dev_*` methods: control of the chain for tests. They are the operations of [`Handle`].
//!
//! | method | parameters | answer |
//! |---|---|---|
//! | `dev_newBlock` | number of blocks, default 1 | status |
//! | `dev_fastForward` | number of blocks | status |
//! | `dev_hold`, `dev_release` | none | height |
//! | `dev_stallFinality` | number of blocks; 0 ends a stall | finalized height |
//! | `dev_lagFinality` | number of blocks | finalized height |
//! | `dev_dropBlocks` | largest number of blocks to drop, default 1 | status |
//! | `dev_setStorage` | list of `[key, value or null]`, hexadecimal | height at which it is written |
//! | `dev_upgrade` | spec version, metadata or null, hexadecimal | height at which it takes effect |
//! | `dev_snapshot` | path of a new file on the chain's machine | null |
//! | `dev_fault` | a [`FaultChange`] | the active faults |
//! | `dev_status` | none | status and faults |
//!
//! They work on every connection. Connections to the path `/dev` are also free of faults.

use std::path::PathBuf;

use jsonrpsee::{core::async_trait, proc_macros::rpc};
use sp_core::{
    Bytes,
    storage::{StorageData, StorageKey},
};

use super::error::Result;
use crate::{
    faults::{FaultChange, FaultStatus},
    handle::{ChainStatus, Handle},
    log::StorageWrite,
    node::NodeStatus,
};

#[rpc(server)]
pub(super) trait DevApi {
    #[method(name = "dev_newBlock")]
    async fn new_block(&self, count: Option<u32>) -> Result<NodeStatus>;

    #[method(name = "dev_fastForward")]
    async fn fast_forward(&self, count: u32) -> Result<NodeStatus>;

    #[method(name = "dev_hold")]
    async fn hold(&self) -> Result<u32>;

    #[method(name = "dev_release")]
    async fn release(&self) -> Result<u32>;

    #[method(name = "dev_stallFinality")]
    async fn stall_finality(&self, blocks: u32) -> Result<u32>;

    #[method(name = "dev_lagFinality")]
    async fn lag_finality(&self, blocks: u32) -> Result<u32>;

    #[method(name = "dev_dropBlocks")]
    async fn drop_blocks(&self, count: Option<u32>) -> Result<NodeStatus>;

    #[method(name = "dev_setStorage")]
    async fn set_storage(&self, writes: Vec<(StorageKey, Option<StorageData>)>) -> Result<u32>;

    #[method(name = "dev_upgrade")]
    async fn upgrade(&self, spec_version: u32, metadata: Option<Bytes>) -> Result<u32>;

    #[method(name = "dev_snapshot")]
    async fn snapshot(&self, path: PathBuf) -> Result<()>;

    #[method(name = "dev_fault")]
    async fn fault(&self, change: FaultChange) -> Result<FaultStatus>;

    #[method(name = "dev_status")]
    async fn status(&self) -> Result<ChainStatus>;
}

pub(super) struct Dev(pub(super) Handle);

#[async_trait]
impl DevApiServer for Dev {
    async fn new_block(&self, count: Option<u32>) -> Result<NodeStatus> {
        Ok(self.0.new_block(count.unwrap_or(1)).await?)
    }

    async fn fast_forward(&self, count: u32) -> Result<NodeStatus> {
        Ok(self.0.fast_forward(count).await?)
    }

    async fn hold(&self) -> Result<u32> {
        Ok(self.0.hold().await?)
    }

    async fn release(&self) -> Result<u32> {
        Ok(self.0.release().await?)
    }

    async fn stall_finality(&self, blocks: u32) -> Result<u32> {
        Ok(self.0.stall_finality(blocks).await?)
    }

    async fn lag_finality(&self, blocks: u32) -> Result<u32> {
        Ok(self.0.lag_finality(blocks).await?)
    }

    async fn drop_blocks(&self, count: Option<u32>) -> Result<NodeStatus> {
        Ok(self.0.drop_blocks(count.unwrap_or(1)).await?)
    }

    async fn set_storage(&self, writes: Vec<(StorageKey, Option<StorageData>)>) -> Result<u32> {
        let write = |(key, value): (StorageKey, Option<StorageData>)| StorageWrite {
            key: key.0,
            value: value.map(|value| value.0),
        };
        Ok(self.0.set_storage(writes.into_iter().map(write).collect()).await?)
    }

    async fn upgrade(&self, spec_version: u32, metadata: Option<Bytes>) -> Result<u32> {
        Ok(self.0.upgrade(spec_version, metadata.map(|bytes| bytes.0)).await?)
    }

    async fn snapshot(&self, path: PathBuf) -> Result<()> {
        Ok(self.0.snapshot(&path).await?)
    }

    async fn fault(&self, change: FaultChange) -> Result<FaultStatus> {
        Ok(self.0.fault(change)?)
    }

    async fn status(&self) -> Result<ChainStatus> {
        Ok(self.0.status().await?)
    }
}
