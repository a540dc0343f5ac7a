//! Runtime interfaces that are Subtensor's own, as its metadata describes them.
#![allow(missing_docs)] // The macro makes undocumented items beside the documented ones.

use crate::{metagraph::Metagraph, types::NetUid};

sp_api::decl_runtime_apis! {
    /// About subnets.
    #[api_version(2)]
    pub trait SubnetInfoRuntimeApi {
        /// A subnet at a glance.
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph>;
        /// Height of a subnet's next epoch.
        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64>;
    }
}
