//! The pallet `SubtensorModule`: registration, stake, weights and epochs of subnets, as miners,
//! validators and Bittensor's tools use them.
//!
//! Names, indices, types, hashers and defaults are those of Subtensor spec 461; `tests/metadata.rs`
//! compares them by hash. The parts that these do not need are left out: delegation, child keys, coldkey
//! swaps, root, pools.

mod calls;
mod commit_reveal;
mod defaults;
mod epoch;
mod errors;
mod events;
mod price;
mod refusal;
mod registration;
mod serving;
mod staking;
mod timelock;
mod weights;

pub use commit_reveal::{HashCommit, Reveal};
pub use epoch::Schedule;
pub use pallet::*;
pub use refusal::PoolRefusal;
pub(crate) use staking::ALPHA_PRICE;
pub use staking::{LockState, SafeFloat};
pub use timelock::{Beacon, Ciphertext, TimelockedCommit};

use frame_support::pallet_macros::import_section;

/// The pallet itself. Its storage items have the chain's own names, `LastMechansimStepBlock` included.
#[import_section(errors::errors)]
#[import_section(events::events)]
#[import_section(calls::calls)]
#[allow(clippy::too_many_arguments)] // The chain's own parameters.
#[frame_support::pallet]
pub mod pallet {
    use super::{
        commit_reveal::{HashCommit, Reveal},
        defaults::*,
        epoch::Schedule,
        staking::{LockState, SafeFloat},
        timelock::{Beacon, Ciphertext, TimelockedCommit},
    };
    use crate::{
        metagraph::{AxonInfo, ChainIdentityV2, SubnetIdentityV3},
        types::{
            AlphaBalance, EpochConsensus, FixedI128, FixedU128, MechId, NetUid, NetUidStorageIndex,
            TaoBalance,
        },
        yuma::SparseRow,
    };
    use frame_support::{
        pallet_prelude::*,
        traits::{ConstU16, ConstU64, fungible::Mutate},
    };
    use frame_system::pallet_prelude::*;
    use parity_scale_codec::Compact;
    use sp_core::{H256, crypto::AccountId32};
    use sp_runtime::PerU16;
    use std::collections::VecDeque;

    /// The currency, the beacon and the event type of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> {
        /// The currency in which coldkeys pay for registration and stake.
        type Currency: Mutate<AccountId32, Balance = TaoBalance>;
        /// The beacon to whose rounds weights are encrypted.
        type Beacon: Beacon;
    }

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    // The network and its parameters.

    /// Whether a subnet exists.
    #[pallet::storage]
    pub type NetworksAdded<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// The number of neurons in a subnet.
    #[pallet::storage]
    pub type SubnetworkN<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// The maximum number of neurons in a subnet.
    #[pallet::storage]
    pub type MaxAllowedUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<256>>;
    /// The number of neurons out of immunity that replacement must keep.
    #[pallet::storage]
    pub type MinNonImmuneUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// The number of blocks for which a new neuron is immune, so that it is replaced last.
    #[pallet::storage]
    pub type ImmunityPeriod<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<4096>>;
    /// The coldkey of the subnet's owner.
    #[pallet::storage]
    pub type SubnetOwner<T> = StorageMap<_, Identity, NetUid, AccountId32, ValueQuery, ZeroAccount>;
    /// The hotkey of the subnet's owner.
    #[pallet::storage]
    pub type SubnetOwnerHotkey<T> = StorageMap<_, Identity, NetUid, AccountId32, ValueQuery, ZeroAccount>;
    /// The symbol of the subnet's token, UTF-8. Tools read it.
    #[pallet::storage]
    pub type TokenSymbol<T> = StorageMap<_, Identity, NetUid, Vec<u8>, ValueQuery, Tau>;
    /// The identity that a subnet's owner published. Tools read it; this chain has none.
    #[pallet::storage]
    pub type SubnetIdentitiesV3<T> = StorageMap<_, Blake2_128Concat, NetUid, SubnetIdentityV3, OptionQuery>;
    /// The height at which a subnet was created.
    #[pallet::storage]
    pub type NetworkRegisteredAt<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Whether new neurons may register.
    #[pallet::storage]
    pub type NetworkRegistrationAllowed<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, True>;
    /// The current price of a registration.
    #[pallet::storage]
    pub type Burn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<100_000_000>>;
    /// The lowest price of a registration.
    #[pallet::storage]
    pub type MinBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<500_000>>;
    /// The highest price of a registration.
    #[pallet::storage]
    pub type MaxBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<100_000_000_000>>;
    /// The number of blocks in which the price halves; 0 = the price does not fall.
    #[pallet::storage]
    pub type BurnHalfLife<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<360>>;
    /// The factor by which a registration raises the price.
    #[pallet::storage]
    pub type BurnIncreaseMult<T> = StorageMap<_, Identity, NetUid, FixedU128, ValueQuery, BurnBump>;

    /// The share of the price that is locked as collateral, in units of 1/65535. Tools read it; this
    /// chain burns the whole price.
    #[pallet::storage]
    pub type CollateralLockShare<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;

    // Weights.

    /// The minimum number of weights that a validator may set.
    #[pallet::storage]
    pub type MinAllowedWeights<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<1024>>;
    /// The largest share of one weight, in units of 1/65535.
    #[pallet::storage]
    pub type MaxWeightsLimit<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65535>>;
    /// The minimum number of blocks between two weight settings of a validator.
    #[pallet::storage]
    pub type WeightsSetRateLimit<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<100>>;
    /// The oldest version key that may set weights; 0 = any.
    #[pallet::storage]
    pub type WeightsVersionKey<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Whether weights must be committed and revealed.
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, True>;
    /// The number of epochs from a commit to its reveal.
    #[pallet::storage]
    pub type RevealPeriodEpochs<T> = StorageMap<_, Twox64Concat, NetUid, u64, ValueQuery, ConstU64<1>>;
    /// The version of encrypted commits.
    #[pallet::storage]
    pub type CommitRevealWeightsVersion<T> = StorageValue<_, u16, ValueQuery, ConstU16<4>>;
    /// The committed hashes of a hotkey that can still be revealed, the oldest first.
    #[pallet::storage]
    pub type WeightCommits<T> = StorageDoubleMap<
        _,
        Twox64Concat,
        NetUidStorageIndex,
        Twox64Concat,
        AccountId32,
        VecDeque<HashCommit>,
        OptionQuery,
    >;
    /// The encrypted commits of an epoch, the oldest first.
    #[pallet::storage]
    pub type TimelockedWeightCommits<T> = StorageDoubleMap<
        _,
        Twox64Concat,
        NetUidStorageIndex,
        Twox64Concat,
        u64,
        VecDeque<TimelockedCommit>,
        ValueQuery,
    >;
    /// The number of mechanisms of a subnet. Epochs compute mechanism 0 only.
    #[pallet::storage]
    pub type MechanismCountCurrent<T> = StorageMap<_, Twox64Concat, NetUid, MechId, ValueQuery, OneMechanism>;
    /// The stake weight, in rao, that a hotkey needs to set weights and to count in an epoch.
    #[pallet::storage]
    pub type StakeThreshold<T> = StorageValue<_, u64, ValueQuery>;
    /// The consensus of a subnet's epochs. Tools newer than spec 461 read it.
    #[pallet::storage]
    pub type SubnetEpochConsensus<T> = StorageMap<_, Identity, NetUid, EpochConsensus, ValueQuery>;
    /// The factor for stake in the root network when it counts in a subnet, in units of 2⁻⁶⁴.
    #[pallet::storage]
    pub type TaoWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<971_718_665_099_567_868>>;

    // Epochs.

    /// The number of blocks from one epoch to the next; 0 = no epochs.
    #[pallet::storage]
    pub type Tempo<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// The activity cutoff in blocks, under its older name. Epochs use the factor.
    #[pallet::storage]
    pub type ActivityCutoff<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<5000>>;
    /// The number of tempos without new weights after which a validator is inactive, in thousandths.
    #[pallet::storage]
    pub type ActivityCutoffFactorMilli<T> =
        StorageMap<_, Identity, NetUid, u32, ValueQuery, ConstU32<13_889>>;
    /// The majority that consensus needs, in units of 1/65535.
    #[pallet::storage]
    pub type Kappa<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<32767>>;
    /// The weight of the old bonds, in millionths.
    #[pallet::storage]
    pub type BondsMovingAverage<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<900_000>>;
    /// The share of clipped weights in bonds, in units of 1/65535.
    #[pallet::storage]
    pub type BondsPenalty<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65535>>;
    /// Whether Yuma 3 runs instead of Yuma 2.
    #[pallet::storage]
    pub type Yuma3On<T> = StorageMap<_, Blake2_128Concat, NetUid, bool, ValueQuery>;
    /// The maximum number of validator permits.
    #[pallet::storage]
    pub type MaxAllowedValidators<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<128>>;
    /// The number of blocks since the last epoch.
    #[pallet::storage]
    pub type BlocksSinceLastStep<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The height of the last epoch, under its older name.
    #[pallet::storage]
    pub type LastMechansimStepBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The height of the last epoch.
    #[pallet::storage]
    pub type LastEpochBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The height of an epoch that the owner requested; 0 = no request.
    #[pallet::storage]
    pub type PendingEpochAt<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The number of epochs so far.
    #[pallet::storage]
    pub type SubnetEpochIndex<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// The alpha that each block adds to the emission of the next epoch.
    #[pallet::storage]
    pub type SubnetAlphaOutEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// The alpha for servers in the next epoch's emission.
    #[pallet::storage]
    pub type PendingServerEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// The alpha for validators in the next epoch's emission.
    #[pallet::storage]
    pub type PendingValidatorEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;

    // Neurons.

    /// The coldkey that owns a hotkey.
    #[pallet::storage]
    pub type Owner<T> = StorageMap<_, Blake2_128Concat, AccountId32, AccountId32, ValueQuery, ZeroAccount>;
    /// The uid of a hotkey.
    #[pallet::storage]
    pub type Uids<T> = StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, AccountId32, u16, OptionQuery>;
    /// The hotkey of a uid.
    #[pallet::storage]
    pub type Keys<T> =
        StorageDoubleMap<_, Identity, NetUid, Identity, u16, AccountId32, ValueQuery, ZeroAccount>;
    /// Whether a hotkey has a uid.
    #[pallet::storage]
    pub type IsNetworkMember<T> =
        StorageDoubleMap<_, Blake2_128Concat, AccountId32, Identity, NetUid, bool, ValueQuery>;
    /// The height at which a uid was last assigned.
    #[pallet::storage]
    pub type BlockAtRegistration<T> = StorageDoubleMap<_, Identity, NetUid, Identity, u16, u64, ValueQuery>;
    /// The stake of a hotkey.
    #[pallet::storage]
    pub type TotalHotkeyAlpha<T> =
        StorageDoubleMap<_, Blake2_128Concat, AccountId32, Identity, NetUid, AlphaBalance, ValueQuery>;

    /// The identity that a coldkey published. Tools read it; this chain has none.
    #[pallet::storage]
    pub type IdentitiesV2<T> = StorageMap<_, Blake2_128Concat, AccountId32, ChainIdentityV2, OptionQuery>;
    /// The hotkeys of a coldkey.
    #[pallet::storage]
    pub type OwnedHotkeys<T> = StorageMap<_, Blake2_128Concat, AccountId32, Vec<AccountId32>, ValueQuery>;
    /// The announced address of a hotkey's server.
    #[pallet::storage]
    pub type Axons<T> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, AccountId32, AxonInfo, OptionQuery>;
    /// The minimum number of blocks between two announcements of a hotkey.
    #[pallet::storage]
    pub type ServingRateLimit<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<50>>;

    // Stake.

    /// The hotkeys on which a coldkey has staked.
    #[pallet::storage]
    pub type StakingHotkeys<T> = StorageMap<_, Blake2_128Concat, AccountId32, Vec<AccountId32>, ValueQuery>;
    /// A coldkey's shares of a hotkey's alpha (hotkey, coldkey, subnet).
    #[pallet::storage]
    pub type AlphaV2<T> = StorageNMap<
        _,
        (
            NMapKey<Blake2_128Concat, AccountId32>,
            NMapKey<Blake2_128Concat, AccountId32>,
            NMapKey<Identity, NetUid>,
        ),
        SafeFloat,
        ValueQuery,
    >;
    /// All shares of a hotkey's alpha.
    #[pallet::storage]
    pub type TotalHotkeySharesV2<T> =
        StorageDoubleMap<_, Blake2_128Concat, AccountId32, Identity, NetUid, SafeFloat, ValueQuery>;
    /// The TAO that was staked in a subnet.
    #[pallet::storage]
    pub type SubnetTAO<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;
    /// The alpha of a subnet that hotkeys hold.
    #[pallet::storage]
    pub type SubnetAlphaOut<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// The TAO that each block adds to a subnet's pool. Tools read it; this chain adds none.
    #[pallet::storage]
    pub type SubnetTaoInEmission<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery>;
    /// The moving average of the TAO that flows into a subnet (block, units of 2⁻⁶⁴). Tools read it;
    /// this chain does not compute it.
    #[pallet::storage]
    pub type SubnetEmaTaoFlow<T> = StorageMap<_, Identity, NetUid, (u64, FixedI128), OptionQuery>;
    /// The locked stake of a coldkey (coldkey, subnet, hotkey). Tools read it; this chain locks none.
    #[pallet::storage]
    pub type Lock<T> = StorageNMap<
        _,
        (
            NMapKey<Blake2_128Concat, AccountId32>,
            NMapKey<Identity, NetUid>,
            NMapKey<Blake2_128Concat, AccountId32>,
        ),
        LockState,
        OptionQuery,
    >;

    // Vectors with one entry per uid.

    /// Whether each neuron set weights within the activity cutoff.
    #[pallet::storage]
    pub type Active<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// The stake-weighted median weight on each neuron.
    #[pallet::storage]
    pub type Consensus<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// The share of the servers' reward.
    #[pallet::storage]
    pub type Incentive<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<PerU16>, ValueQuery>;
    /// The share of the validators' reward.
    #[pallet::storage]
    pub type Dividends<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// The alpha that each neuron earned in the last epoch.
    #[pallet::storage]
    pub type Emission<T> = StorageMap<_, Identity, NetUid, Vec<AlphaBalance>, ValueQuery>;
    /// The height of each neuron's last weights.
    #[pallet::storage]
    pub type LastUpdate<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<u64>, ValueQuery>;
    /// The sum of each validator's weights after clipping.
    #[pallet::storage]
    pub type ValidatorTrust<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// The permits to set weights on other neurons.
    #[pallet::storage]
    pub type ValidatorPermit<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// The share of the subnet's stake, in units of 1/65535.
    #[pallet::storage]
    pub type StakeWeight<T> = StorageMap<_, Identity, NetUid, Vec<u16>, ValueQuery>;

    // Rows of matrices.

    /// The weights that a uid set, scaled so that the largest is 65535.
    #[pallet::storage]
    pub type Weights<T> =
        StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, SparseRow, ValueQuery>;
    /// The bonds of a uid, in units of 1/65535.
    #[pallet::storage]
    pub type Bonds<T> =
        StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, SparseRow, ValueQuery>;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_block: BlockNumberFor<T>) -> Weight {
            let netuids: Vec<NetUid> = NetworksAdded::<T>::iter_keys().collect();
            netuids.iter().for_each(|netuid| Self::decay_registration_price(*netuid));
            Self::reveal_timelocked_weights(&netuids);
            netuids.iter().for_each(|netuid| Self::step_subnet(*netuid));
            Weight::zero()
        }
    }

    impl<T: Config> Pallet<T> {
        /// Returns the current height, in the pallet's type for heights.
        pub fn current_block() -> u64 {
            use sp_runtime::SaturatedConversion;
            frame_system::Pallet::<T>::block_number().saturated_into()
        }

        /// Returns the epoch schedule of a subnet.
        pub fn schedule(netuid: NetUid) -> Schedule {
            Schedule {
                tempo: Tempo::<T>::get(netuid).into(),
                last: LastEpochBlock::<T>::get(netuid),
                pending: PendingEpochAt::<T>::get(netuid),
            }
        }
    }
}
