//! The `system_*` methods: identity and health of the node and its chain.

use std::str::FromStr;

use jsonrpsee::{core::async_trait, proc_macros::rpc};
use serde_json::{Value, json};
use sp_core::{Bytes, crypto::AccountId32};

use super::error::{self, Result};
use crate::{handle::Handle, store::Hash};

/// The name that clients show for the chain.
const CHAIN: &str = "Muster devchain";

#[rpc(server)]
pub(super) trait SystemApi {
    #[method(name = "system_name")]
    fn name(&self) -> Result<&'static str>;

    #[method(name = "system_version")]
    fn version(&self) -> Result<&'static str>;

    #[method(name = "system_chain")]
    fn chain(&self) -> Result<&'static str>;

    #[method(name = "system_chainType")]
    fn chain_type(&self) -> Result<&'static str>;

    #[method(name = "system_properties")]
    fn properties(&self) -> Result<Value>;

    #[method(name = "system_health")]
    fn health(&self) -> Result<Value>;

    #[method(name = "system_nodeRoles")]
    fn node_roles(&self) -> Result<Vec<&'static str>>;

    #[method(name = "system_localPeerId")]
    fn local_peer_id(&self) -> Result<&'static str>;

    #[method(name = "system_localListenAddresses")]
    fn local_listen_addresses(&self) -> Result<Vec<String>>;

    #[method(name = "system_peers")]
    fn peers(&self) -> Result<Vec<Value>>;

    #[method(name = "system_syncState")]
    async fn sync_state(&self) -> Result<Value>;

    #[method(name = "system_accountNextIndex", aliases = ["account_nextIndex"])]
    async fn account_next_index(&self, account: String) -> Result<u32>;

    #[method(name = "system_dryRun", aliases = ["system_dryRunAt"])]
    async fn dry_run(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Bytes>;
}

pub(super) struct System(pub(super) Handle);

#[async_trait]
impl SystemApiServer for System {
    fn name(&self) -> Result<&'static str> {
        Ok("muster-devchain")
    }

    fn version(&self) -> Result<&'static str> {
        Ok(env!("CARGO_PKG_VERSION"))
    }

    fn chain(&self) -> Result<&'static str> {
        Ok(CHAIN)
    }

    fn chain_type(&self) -> Result<&'static str> {
        Ok("Development")
    }

    fn properties(&self) -> Result<Value> {
        Ok(json!({ "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO" }))
    }

    fn health(&self) -> Result<Value> {
        Ok(json!({ "peers": 0, "isSyncing": false, "shouldHavePeers": false }))
    }

    fn node_roles(&self) -> Result<Vec<&'static str>> {
        Ok(vec!["Authority"])
    }

    /// Returns an empty identity: there is no peer-to-peer network.
    fn local_peer_id(&self) -> Result<&'static str> {
        Ok("")
    }

    fn local_listen_addresses(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn peers(&self) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }

    async fn sync_state(&self) -> Result<Value> {
        let height = *self.0.heights().borrow();
        Ok(json!({ "startingBlock": 0, "currentBlock": height, "highestBlock": height }))
    }

    async fn account_next_index(&self, account: String) -> Result<u32> {
        let account = AccountId32::from_str(&account)
            .map_err(|why| error::error(error::PARAMS, format!("`{account}` is not an account: {why}")))?;
        self.0.read(move |node| node.next_nonce(&account)).await?.map_err(error::call)
    }

    async fn dry_run(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Bytes> {
        let run = move |node: &crate::node::Node| {
            let store = node.chain().store();
            let block = at.map_or(Some(store.best()), |hash| store.by_hash(&hash));
            let block = block.ok_or_else(|| error::unknown_block(at.unwrap_or_default()))?;
            node.chain().call(block, "BlockBuilder_apply_extrinsic", &extrinsic).map_err(error::call)
        };
        Ok(Bytes(self.0.read(run).await??))
    }
}
