//! The runtime APIs that are specific to Subtensor, as its metadata describes them.
#![allow(missing_docs)] // The macro generates undocumented items.

use crate::{metagraph::Metagraph, types::NetUid};

sp_api::decl_runtime_apis! {
    /// Information about subnets.
    #[api_version(2)]
    pub trait SubnetInfoRuntimeApi {
        /// Returns a summary of a subnet.
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph>;
        /// Returns the height of a subnet's next epoch.
        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64>;
    }
}
