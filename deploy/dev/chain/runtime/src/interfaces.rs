//! The runtime APIs that are specific to Subtensor, as its metadata describes them.
#![allow(missing_docs)] // The macro generates undocumented items.

use crate::{
    info::{
        delegates::{DelegateInfo, Delegated},
        hyperparameters::HyperparamEntry,
        neurons::NeuronInfoLite,
        prices::{SimSwapResult, SubnetPrice},
        stake::{StakeAvailability, StakeInfo},
    },
    metagraph::Metagraph,
    types::{AlphaBalance, NetUid, TaoBalance},
};
use sp_core::crypto::AccountId32;
use std::collections::BTreeMap;

sp_api::decl_runtime_apis! {
    /// Information about subnets.
    #[api_version(2)]
    pub trait SubnetInfoRuntimeApi {
        /// Returns a summary of a subnet.
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph>;
        /// Returns the height of a subnet's next epoch.
        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64>;
        /// Returns the hyperparameters of a subnet.
        fn get_subnet_hyperparams_v3(netuid: NetUid) -> Option<Vec<HyperparamEntry>>;
    }

    /// Information about neurons.
    pub trait NeuronInfoRuntimeApi {
        /// Returns all neurons of a subnet.
        fn get_neurons_lite(netuid: NetUid) -> Vec<NeuronInfoLite>;
        /// Returns one neuron.
        fn get_neuron_lite(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite>;
    }

    /// Information about stake.
    pub trait StakeInfoRuntimeApi {
        /// Returns all stake of a coldkey.
        fn get_stake_info_for_coldkey(coldkey_account: AccountId32) -> Vec<StakeInfo>;
        /// Returns all stake of several coldkeys.
        fn get_stake_info_for_coldkeys(
            coldkey_accounts: Vec<AccountId32>,
        ) -> Vec<(AccountId32, Vec<StakeInfo>)>;
        /// Returns a coldkey's stake on a hotkey.
        fn get_stake_info_for_hotkey_coldkey_netuid(
            hotkey_account: AccountId32,
            coldkey_account: AccountId32,
            netuid: NetUid,
        ) -> Option<StakeInfo>;
        /// Returns the stake that coldkeys can withdraw.
        fn get_stake_availability_for_coldkeys(
            coldkey_accounts: Vec<AccountId32>,
            netuids: Option<Vec<NetUid>>,
        ) -> BTreeMap<AccountId32, BTreeMap<NetUid, StakeAvailability>>;
    }

    /// Information about hotkeys on which coldkeys have staked.
    pub trait DelegateInfoRuntimeApi {
        /// Returns a hotkey.
        fn get_delegate(delegate_account: AccountId32) -> Option<DelegateInfo>;
        /// Returns all positions of a coldkey.
        fn get_delegated(delegatee_account: AccountId32) -> Vec<Delegated>;
    }

    /// Prices of alpha.
    pub trait SwapRuntimeApi {
        /// Returns the price of a subnet's alpha in rao.
        fn current_alpha_price(netuid: NetUid) -> u64;
        /// Returns the prices of all subnets' alpha.
        fn current_alpha_price_all() -> Vec<SubnetPrice>;
        /// Returns the result of a sale of TAO.
        fn sim_swap_tao_for_alpha(netuid: NetUid, tao: TaoBalance) -> SimSwapResult;
        /// Returns the result of a sale of alpha.
        fn sim_swap_alpha_for_tao(netuid: NetUid, alpha: AlphaBalance) -> SimSwapResult;
    }

    /// Dividends of the root network. This chain has none.
    pub trait BetaBasketRuntimeApi {
        /// Returns the dividends that a coldkey can claim.
        fn get_root_basket_owed(coldkey: AccountId32) -> TaoBalance;
        /// Returns the shares of a coldkey in validators' baskets.
        fn get_root_basket_positions(coldkey: AccountId32) -> Vec<(AccountId32, u64, TaoBalance)>;
    }
}
