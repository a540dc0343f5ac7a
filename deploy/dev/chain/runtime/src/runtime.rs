//! The runtime: pallets under the indices of the real chain, and the layout of transactions.
#![allow(missing_docs)] // The macros generate undocumented items.

mod api;

pub use api::api as interface;

use crate::{
    aura, commitments, drand,
    extensions::{
        CheckMetadataHash, CheckNonce, CheckShieldedTxValidity, DrandPriority, SubtensorTransactionExtension,
        SudoTransactionExtension,
    },
    mev_shield, subtensor,
    types::{NetUid, TaoBalance},
};
use frame_support::{
    construct_runtime, derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    traits::{ConstU8, ConstU32, ConstU64, Get},
    weights::{
        ConstantMultiplier, Weight, WeightToFee,
        constants::{RocksDbWeight, WEIGHT_REF_TIME_PER_SECOND},
    },
};
use frame_system::limits::{BlockLength, BlockWeights};
use pallet_transaction_payment::{ConstFeeMultiplier, FungibleAdapter, Multiplier};
use parity_scale_codec::{Compact, Decode};
use sp_core::{H256, crypto::AccountId32};
use sp_io::hashing::twox_128;
use sp_runtime::{
    MultiAddress, MultiSignature, Perbill, generic,
    traits::{AccountIdLookup, BlakeTwo256},
};
use sp_version::{RuntimeVersion, runtime_version};
use std::borrow::Cow;

/// An account: a 32-byte public key.
pub type AccountId = AccountId32;
/// A block height.
pub type BlockNumber = u32;
/// The number of an account's transactions.
pub type Nonce = u32;
/// A hash of a block, a transaction or the state.
pub type Hash = H256;
/// A block header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A transaction as received.
pub type UncheckedExtrinsic =
    generic::UncheckedExtrinsic<MultiAddress<AccountId, ()>, RuntimeCall, MultiSignature, Extensions>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// The executor of blocks and transactions.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    Runtime,
    AllPalletsWithSystem,
>;

/// The transaction extensions, which a signature covers besides the call, in the chain's order.
pub type Extensions = (
    (
        frame_system::CheckNonZeroSender<Runtime>,
        frame_system::CheckSpecVersion<Runtime>,
        frame_system::CheckTxVersion<Runtime>,
        frame_system::CheckGenesis<Runtime>,
        frame_system::CheckMortality<Runtime>,
        CheckNonce,
        frame_system::CheckWeight<Runtime>,
    ),
    (
        pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
        SudoTransactionExtension,
        CheckShieldedTxValidity,
        SubtensorTransactionExtension,
        DrandPriority,
        CheckMetadataHash,
    ),
);

/// The runtime version that clients ask for. It has the name and number of the Subtensor release whose
/// interface this chain has.
#[runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("node-subtensor"),
    impl_name: Cow::Borrowed("muster-devchain"),
    authoring_version: 1,
    spec_version: 461,
    impl_version: 1,
    apis: api::RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 1,
};

construct_runtime!(
    pub enum Runtime {
        System: frame_system = 0,
        Timestamp: pallet_timestamp = 2,
        Aura: aura = 3,
        Balances: pallet_balances = 5,
        TransactionPayment: pallet_transaction_payment = 6,
        SubtensorModule: subtensor = 7,
        Commitments: commitments = 18,
        Drand: drand = 26,
        MevShield: mev_shield = 30,
    }
);

/// The longest reference time of a block's transactions.
const BLOCK_TIME_BUDGET: Weight = Weight::from_parts(4 * WEIGHT_REF_TIME_PER_SECOND, u64::MAX);
/// The largest size of a block, in bytes.
const BLOCK_BYTES: u32 = 10 * 1024 * 1024;
/// The share of a block that is open to ordinary transactions.
const NORMAL_SHARE: Perbill = Perbill::from_percent(75);

/// The version in the form that FRAME needs.
pub struct Version;
impl Get<RuntimeVersion> for Version {
    fn get() -> RuntimeVersion {
        version()
    }
}

/// Returns the version of the runtime in the present state: the spec version is that of the last upgrade
/// (`System.LastRuntimeUpgrade`). Outside of a node it is that of [`VERSION`].
#[must_use]
pub fn version() -> RuntimeVersion {
    let read = |ext: &mut dyn sp_externalities::Externalities| ext.storage(&last_upgrade_key());
    let written = sp_externalities::with_externalities(read).flatten();
    let spec = written.and_then(|bytes| Compact::<u32>::decode(&mut &bytes[..]).ok());
    RuntimeVersion { spec_version: spec.map_or(VERSION.spec_version, |spec| spec.0), ..VERSION }
}

/// Returns the storage key of `System.LastRuntimeUpgrade`: the spec version in compact form, and the name.
#[must_use]
pub fn last_upgrade_key() -> Vec<u8> {
    [twox_128(b"System"), twox_128(b"LastRuntimeUpgrade")].concat()
}

parameter_types! {
    /// The limits on the execution time of a block.
    pub Weights: BlockWeights = BlockWeights::with_sensible_defaults(BLOCK_TIME_BUDGET, NORMAL_SHARE);
    /// The limits on the size of a block.
    pub Length: BlockLength = BlockLength::builder()
        .max_length(BLOCK_BYTES)
        .modify_max_length_for_class(DispatchClass::Normal, |bytes| *bytes = NORMAL_SHARE * BLOCK_BYTES)
        .build();
    /// The fee multiplier. It is constant, so fees do not follow demand.
    pub FeeMultiplier: Multiplier = Multiplier::from_u32(1);
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type Block = Block;
    type AccountId = AccountId;
    type Lookup = AccountIdLookup<AccountId, ()>;
    type Nonce = Nonce;
    type Hash = Hash;
    type AccountData = pallet_balances::AccountData<TaoBalance>;
    type BlockHashCount = ConstU32<2400>;
    type BlockWeights = Weights;
    type BlockLength = Length;
    type DbWeight = RocksDbWeight;
    type SS58Prefix = frame_support::traits::ConstU16<42>;
    type Version = Version;
}

impl pallet_timestamp::Config for Runtime {
    type Moment = u64;
    type OnTimestampSet = ();
    type MinimumPeriod = ConstU64<0>;
    type WeightInfo = ();
}

/// The balance below which an account is removed: 500 rao.
pub struct ExistentialDeposit;
impl Get<TaoBalance> for ExistentialDeposit {
    fn get() -> TaoBalance {
        TaoBalance(500)
    }
}

impl pallet_balances::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeHoldReason = RuntimeHoldReason;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type Balance = TaoBalance;
    type DustRemoval = ();
    type ExistentialDeposit = ExistentialDeposit;
    type AccountStore = System;
    type ReserveIdentifier = [u8; 8];
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxLocks = ConstU32<50>;
    type MaxReserves = ConstU32<50>;
    type MaxFreezes = ConstU32<50>;
    type DoneSlashHandler = ();
    type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
}

/// The fee for a transaction's reference time: half a rao per million picoseconds.
pub struct TimeFee;
impl WeightToFee for TimeFee {
    type Balance = TaoBalance;

    fn weight_to_fee(weight: &Weight) -> TaoBalance {
        TaoBalance(weight.ref_time() / 2_000)
    }
}

/// The fee for a transaction's length: one rao per byte.
pub struct RaoPerByte;
impl Get<TaoBalance> for RaoPerByte {
    fn get() -> TaoBalance {
        TaoBalance(1)
    }
}

impl pallet_transaction_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type OnChargeTransaction = FungibleAdapter<Balances, ()>;
    type WeightToFee = TimeFee;
    type LengthToFee = ConstantMultiplier<TaoBalance, RaoPerByte>;
    type FeeMultiplierUpdate = ConstFeeMultiplier<FeeMultiplier>;
    type OperationalFeeMultiplier = ConstU8<5>;
    type WeightInfo = ();
}

impl aura::Config for Runtime {
    type SlotDuration = aura::SlotDuration;
}

impl drand::Config for Runtime {}

impl mev_shield::Config for Runtime {}

impl subtensor::Config for Runtime {
    type Currency = Balances;
    type Beacon = Drand;
}

impl subtensor::Beacon for Drand {
    fn advance(awaited: impl Iterator<Item = u64>) {
        Self::store_pulses(awaited);
    }

    fn last_round() -> u64 {
        drand::LastStoredRound::<Runtime>::get()
    }

    fn decrypt(round: u64, ciphertext: &[u8]) -> Option<Option<Vec<u8>>> {
        let pulse = drand::Pulses::<Runtime>::get(round)?;
        Some(drand::beacon::decrypt(ciphertext, &pulse.signature))
    }
}

impl commitments::Config for Runtime {
    type Subnets = Subnets;
    type MaxFields = commitments::MaxFields;
}

/// The subnets of `SubtensorModule`, as the commitments pallet sees them.
pub struct Subnets;
impl commitments::Subnets for Subnets {
    fn is_registered(netuid: NetUid, hotkey: &AccountId) -> bool {
        subtensor::Uids::<Runtime>::contains_key(netuid, hotkey)
    }

    fn epoch_index(netuid: NetUid) -> u64 {
        subtensor::SubnetEpochIndex::<Runtime>::get(netuid)
    }
}
