//! The runtime's API for the node and for clients: the functions of `state_call`.
#![allow(missing_docs)] // The macros generate undocumented items.

use super::{
    AccountId, Block, Executive, InherentDataExt, Nonce, Runtime, SubtensorModule, System, TransactionPayment,
};
use crate::{
    info::{
        delegates::{self, DelegateInfo, Delegated},
        hyperparameters::{self, HyperparamEntry},
        neurons::{self, NeuronInfoLite},
        prices::{self, SimSwapResult, SubnetPrice},
        stake::{self, StakeAvailability, StakeInfo},
    },
    metagraph::Metagraph,
    types::{AlphaBalance, NetUid, TaoBalance},
};
use frame_support::weights::Weight;
use sp_api::impl_runtime_apis;
use sp_core::OpaqueMetadata;
use sp_runtime::{
    ApplyExtrinsicResult, ExtrinsicInclusionMode,
    traits::Block as BlockT,
    transaction_validity::{TransactionSource, TransactionValidity},
};
use sp_version::RuntimeVersion;
use std::collections::BTreeMap;

impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            super::version()
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            Runtime::metadata_at_version(version)
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl sp_block_builder::BlockBuilder<Block> for Runtime {
        fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
            Executive::apply_extrinsic(extrinsic)
        }

        fn finalize_block() -> <Block as BlockT>::Header {
            Executive::finalize_block()
        }

        fn inherent_extrinsics(data: sp_inherents::InherentData) -> Vec<<Block as BlockT>::Extrinsic> {
            data.create_extrinsics()
        }

        fn check_inherents(
            block: <Block as BlockT>::LazyBlock,
            data: sp_inherents::InherentData,
        ) -> sp_inherents::CheckInherentsResult {
            data.check_extrinsics(&block)
        }
    }

    impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            tx: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, tx, block_hash)
        }
    }

    impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
        fn account_nonce(account: AccountId) -> Nonce {
            System::account_nonce(account)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentApi<Block, TaoBalance> for Runtime {
        fn query_info(
            uxt: <Block as BlockT>::Extrinsic,
            len: u32,
        ) -> pallet_transaction_payment_rpc_runtime_api::RuntimeDispatchInfo<TaoBalance> {
            TransactionPayment::query_info(uxt, len)
        }

        fn query_fee_details(
            uxt: <Block as BlockT>::Extrinsic,
            len: u32,
        ) -> pallet_transaction_payment::FeeDetails<TaoBalance> {
            TransactionPayment::query_fee_details(uxt, len)
        }

        fn query_weight_to_fee(weight: Weight) -> TaoBalance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> TaoBalance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl crate::interfaces::SubnetInfoRuntimeApi<Block> for Runtime {
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph> {
            Metagraph::of(netuid)
        }

        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64> {
            SubtensorModule::schedule(netuid).next()
        }

        fn get_subnet_hyperparams_v3(netuid: NetUid) -> Option<Vec<HyperparamEntry>> {
            hyperparameters::of(netuid)
        }
    }

    impl crate::interfaces::NeuronInfoRuntimeApi<Block> for Runtime {
        fn get_neurons_lite(netuid: NetUid) -> Vec<NeuronInfoLite> {
            neurons::all(netuid)
        }

        fn get_neuron_lite(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite> {
            neurons::one(netuid, uid)
        }
    }

    impl crate::interfaces::StakeInfoRuntimeApi<Block> for Runtime {
        fn get_stake_info_for_coldkey(coldkey_account: AccountId) -> Vec<StakeInfo> {
            stake::positions(&coldkey_account)
        }

        fn get_stake_info_for_coldkeys(
            coldkey_accounts: Vec<AccountId>,
        ) -> Vec<(AccountId, Vec<StakeInfo>)> {
            let of = |coldkey: AccountId| (coldkey.clone(), stake::positions(&coldkey));
            coldkey_accounts.into_iter().map(of).collect()
        }

        fn get_stake_info_for_hotkey_coldkey_netuid(
            hotkey_account: AccountId,
            coldkey_account: AccountId,
            netuid: NetUid,
        ) -> Option<StakeInfo> {
            Some(stake::position(hotkey_account, coldkey_account, netuid))
        }

        fn get_stake_availability_for_coldkeys(
            coldkey_accounts: Vec<AccountId>,
            netuids: Option<Vec<NetUid>>,
        ) -> BTreeMap<AccountId, BTreeMap<NetUid, StakeAvailability>> {
            stake::availability(coldkey_accounts, netuids)
        }
    }

    impl crate::interfaces::DelegateInfoRuntimeApi<Block> for Runtime {
        fn get_delegate(delegate_account: AccountId) -> Option<DelegateInfo> {
            delegates::one(delegate_account)
        }

        fn get_delegated(delegatee_account: AccountId) -> Vec<Delegated> {
            delegates::positions(&delegatee_account)
        }
    }

    impl crate::interfaces::SwapRuntimeApi<Block> for Runtime {
        fn current_alpha_price(netuid: NetUid) -> u64 {
            prices::price(netuid)
        }

        fn current_alpha_price_all() -> Vec<SubnetPrice> {
            prices::all()
        }

        fn sim_swap_tao_for_alpha(_netuid: NetUid, tao: TaoBalance) -> SimSwapResult {
            SimSwapResult::of(tao.0)
        }

        fn sim_swap_alpha_for_tao(_netuid: NetUid, alpha: AlphaBalance) -> SimSwapResult {
            SimSwapResult::of(alpha.0)
        }
    }

    impl crate::interfaces::BetaBasketRuntimeApi<Block> for Runtime {
        fn get_root_basket_owed(_coldkey: AccountId) -> TaoBalance {
            TaoBalance(0)
        }

        fn get_root_basket_positions(_coldkey: AccountId) -> Vec<(AccountId, u64, TaoBalance)> {
            Vec::new()
        }
    }
}
