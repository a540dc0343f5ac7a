//! The pallet `SubtensorModule`: registration, weights and epochs of subnets, as miners and validators meet them.
//!
//! Names, indices, types, hashers and defaults are those of Subtensor spec 461; `tests/metadata.rs` compares each by
//! hash. What Muster does not touch (delegation, swaps, coldkey swaps, root, pools, commit-reveal) is not here.

mod defaults;
mod epoch;
mod price;
mod refusal;
mod registration;
mod weights;

pub use epoch::Schedule;
pub use pallet::*;
pub use refusal::PoolRefusal;

/// The pallet proper. Its storage items carry the chain's own names, `LastMechansimStepBlock` included.
#[frame_support::pallet]
pub mod pallet {
    use super::{defaults::*, epoch::Schedule};
    use crate::{
        types::{AlphaBalance, FixedU128, NetUid, NetUidStorageIndex, TaoBalance},
        yuma::SparseRow,
    };
    use frame_support::{
        pallet_prelude::*,
        traits::{ConstU16, ConstU64, fungible::Mutate},
    };
    use frame_system::pallet_prelude::*;
    use sp_core::crypto::AccountId32;
    use sp_runtime::PerU16;

    /// Where the pallet takes balances from, and its events.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> {
        /// Coldkeys pay for registration from here.
        type Currency: Mutate<AccountId32, Balance = TaoBalance>;
    }

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    // The network and its parameters.

    /// Whether a subnet exists.
    #[pallet::storage]
    pub type NetworksAdded<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// Neurons in a subnet.
    #[pallet::storage]
    pub type SubnetworkN<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Neurons in a subnet, at most.
    #[pallet::storage]
    pub type MaxAllowedUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<256>>;
    /// Neurons out of immunity that replacement leaves.
    #[pallet::storage]
    pub type MinNonImmuneUids<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// Blocks for which a new neuron is replaced last.
    #[pallet::storage]
    pub type ImmunityPeriod<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<4096>>;
    /// Coldkey of the subnet's owner.
    #[pallet::storage]
    pub type SubnetOwner<T> = StorageMap<_, Identity, NetUid, AccountId32, ValueQuery, ZeroAccount>;
    /// Hotkey of the subnet's owner.
    #[pallet::storage]
    pub type SubnetOwnerHotkey<T> = StorageMap<_, Identity, NetUid, AccountId32, ValueQuery, ZeroAccount>;
    /// Symbol of the subnet's token, UTF-8; tools look for it.
    #[pallet::storage]
    pub type TokenSymbol<T> = StorageMap<_, Identity, NetUid, Vec<u8>, ValueQuery, Tau>;
    /// Whether new neurons may register.
    #[pallet::storage]
    pub type NetworkRegistrationAllowed<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, True>;
    /// Price of a registration now.
    #[pallet::storage]
    pub type Burn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<100_000_000>>;
    /// Lowest price.
    #[pallet::storage]
    pub type MinBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<500_000>>;
    /// Highest price.
    #[pallet::storage]
    pub type MaxBurn<T> = StorageMap<_, Identity, NetUid, TaoBalance, ValueQuery, Rao<100_000_000_000>>;
    /// Blocks in which the price halves; 0 = it does not fall.
    #[pallet::storage]
    pub type BurnHalfLife<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<360>>;
    /// Factor by which a registration raises the price.
    #[pallet::storage]
    pub type BurnIncreaseMult<T> = StorageMap<_, Identity, NetUid, FixedU128, ValueQuery, BurnBump>;

    // Weights.

    /// Weights that a validator sets at least.
    #[pallet::storage]
    pub type MinAllowedWeights<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<1024>>;
    /// Largest share of one weight, in units of 1/65535.
    #[pallet::storage]
    pub type MaxWeightsLimit<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65535>>;
    /// Blocks between two settings of weights.
    #[pallet::storage]
    pub type WeightsSetRateLimit<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<100>>;
    /// Oldest version key that may set weights; 0 = any.
    #[pallet::storage]
    pub type WeightsVersionKey<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Whether weights must be committed and revealed, which this chain cannot do: it only refuses plain ones.
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, True>;
    /// Stake weight, in rao, that setting weights and counting in an epoch needs.
    #[pallet::storage]
    pub type StakeThreshold<T> = StorageValue<_, u64, ValueQuery>;
    /// What stake in the root network counts in a subnet, in units of 2⁻⁶⁴.
    #[pallet::storage]
    pub type TaoWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<971_718_665_099_567_868>>;

    // Epochs.

    /// Blocks from one epoch to the next; 0 = none.
    #[pallet::storage]
    pub type Tempo<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// Blocks without new weights after which a validator counts as inactive.
    #[pallet::storage]
    pub type ActivityCutoff<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<5000>>;
    /// Majority of consensus, in units of 1/65535.
    #[pallet::storage]
    pub type Kappa<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<32767>>;
    /// Weight of the old bonds, in millionths.
    #[pallet::storage]
    pub type BondsMovingAverage<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<900_000>>;
    /// How far bonds follow clipped weights, in units of 1/65535.
    #[pallet::storage]
    pub type BondsPenalty<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<65535>>;
    /// Yuma 3 instead of Yuma 2.
    #[pallet::storage]
    pub type Yuma3On<T> = StorageMap<_, Blake2_128Concat, NetUid, bool, ValueQuery>;
    /// Validator permits, at most.
    #[pallet::storage]
    pub type MaxAllowedValidators<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<128>>;
    /// Blocks since the last epoch.
    #[pallet::storage]
    pub type BlocksSinceLastStep<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Height of the last epoch, under its older name.
    #[pallet::storage]
    pub type LastMechansimStepBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Height of the last epoch.
    #[pallet::storage]
    pub type LastEpochBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Height of an epoch that the owner has asked for; 0 = none.
    #[pallet::storage]
    pub type PendingEpochAt<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Epochs run so far.
    #[pallet::storage]
    pub type SubnetEpochIndex<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Alpha that each block adds to what the next epoch hands out.
    #[pallet::storage]
    pub type SubnetAlphaOutEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha for servers that the next epoch hands out.
    #[pallet::storage]
    pub type PendingServerEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha for validators that the next epoch hands out.
    #[pallet::storage]
    pub type PendingValidatorEmission<T> = StorageMap<_, Identity, NetUid, AlphaBalance, ValueQuery>;

    // Neurons.

    /// Coldkey that owns a hotkey.
    #[pallet::storage]
    pub type Owner<T> = StorageMap<_, Blake2_128Concat, AccountId32, AccountId32, ValueQuery, ZeroAccount>;
    /// Uid of a hotkey.
    #[pallet::storage]
    pub type Uids<T> = StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, AccountId32, u16, OptionQuery>;
    /// Hotkey of a uid.
    #[pallet::storage]
    pub type Keys<T> =
        StorageDoubleMap<_, Identity, NetUid, Identity, u16, AccountId32, ValueQuery, ZeroAccount>;
    /// Whether a hotkey has a uid.
    #[pallet::storage]
    pub type IsNetworkMember<T> =
        StorageDoubleMap<_, Blake2_128Concat, AccountId32, Identity, NetUid, bool, ValueQuery>;
    /// Height at which a uid was last given.
    #[pallet::storage]
    pub type BlockAtRegistration<T> = StorageDoubleMap<_, Identity, NetUid, Identity, u16, u64, ValueQuery>;
    /// Stake of a hotkey.
    #[pallet::storage]
    pub type TotalHotkeyAlpha<T> =
        StorageDoubleMap<_, Blake2_128Concat, AccountId32, Identity, NetUid, AlphaBalance, ValueQuery>;

    // Vectors with one entry a uid.

    /// Whether each neuron set weights within the cutoff.
    #[pallet::storage]
    pub type Active<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// Stake-weighted median weight on each neuron.
    #[pallet::storage]
    pub type Consensus<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// Share of the servers' reward.
    #[pallet::storage]
    pub type Incentive<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<PerU16>, ValueQuery>;
    /// Share of the validators' reward.
    #[pallet::storage]
    pub type Dividends<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// Alpha that each neuron got in the last epoch.
    #[pallet::storage]
    pub type Emission<T> = StorageMap<_, Identity, NetUid, Vec<AlphaBalance>, ValueQuery>;
    /// Height of each neuron's last weights.
    #[pallet::storage]
    pub type LastUpdate<T> = StorageMap<_, Identity, NetUidStorageIndex, Vec<u64>, ValueQuery>;
    /// Sum of each validator's weights after clipping.
    #[pallet::storage]
    pub type ValidatorTrust<T> = StorageMap<_, Identity, NetUid, Vec<PerU16>, ValueQuery>;
    /// Who may set weights on others.
    #[pallet::storage]
    pub type ValidatorPermit<T> = StorageMap<_, Identity, NetUid, Vec<bool>, ValueQuery>;
    /// Share of the subnet's stake, in units of 1/65535.
    #[pallet::storage]
    pub type StakeWeight<T> = StorageMap<_, Identity, NetUid, Vec<u16>, ValueQuery>;

    // Rows of matrices.

    /// Weights that a uid set, the largest at 65535.
    #[pallet::storage]
    pub type Weights<T> =
        StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, SparseRow, ValueQuery>;
    /// Bonds of a uid, in units of 1/65535.
    #[pallet::storage]
    pub type Bonds<T> =
        StorageDoubleMap<_, Identity, NetUidStorageIndex, Identity, u16, SparseRow, ValueQuery>;

    /// What happened, of what Muster causes.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A validator set its weights (subnet and mechanism, uid).
        #[codec(index = 5)]
        WeightsSet(NetUidStorageIndex, u16),
        /// A hotkey got a uid.
        #[codec(index = 7)]
        NeuronRegistered(NetUid, u16, T::AccountId),
        /// An epoch gave its miners their share, one entry a uid.
        #[codec(index = 111)]
        IncentiveAlphaEmittedToMiners {
            /// Subnet and mechanism.
            netuid: NetUidStorageIndex,
            /// Alpha, one entry a uid.
            emissions: Vec<AlphaBalance>,
        },
    }

    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The hotkey has no uid in the subnet.
        #[codec(index = 4)]
        HotKeyNotRegisteredInSubNet,
        /// The hotkey belongs to another coldkey.
        #[codec(index = 7)]
        NonAssociatedColdKey,
        /// The hotkey's stake weight is below the threshold.
        #[codec(index = 10)]
        NotEnoughStakeToSetWeights,
        /// The coldkey cannot pay the registration price and stay alive.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The neuron holds no validator permit.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// Uids and weights differ in number.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// A uid occurs twice.
        #[codec(index = 17)]
        DuplicateUids,
        /// A uid is not in use.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// Fewer weights than the subnet asks for.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// The hotkey has a uid in the subnet.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// A weight is above the subnet's limit.
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The last weights are younger than the rate limit.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// The version key is older than the subnet's.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// More uids than the subnet has.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// The subnet takes no registrations.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// The root network takes no such registration.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// The root network takes no such weights.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No uid is free and none can be freed.
        #[codec(index = 48)]
        NoNeuronIdAvailable,
        /// Weights must be committed and revealed.
        #[codec(index = 53)]
        CommitRevealEnabled,
        /// The subnet has no such mechanism, or does not exist.
        #[codec(index = 74)]
        MechanismDoesNotExist,
        /// The subnet does not exist.
        #[codec(index = 76)]
        SubnetNotExists,
        /// The price is above the caller's limit.
        #[codec(index = 136)]
        RegistrationPriceLimitExceeded,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_block: BlockNumberFor<T>) -> Weight {
            for netuid in NetworksAdded::<T>::iter_keys().collect::<Vec<_>>() {
                Self::decay_registration_price(netuid);
                Self::step_subnet(netuid);
            }
            Weight::zero()
        }
    }

    /// What accounts can ask for.
    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets a validator's weights on the neurons of a subnet; signed by the hotkey, free of fees.
        #[pallet::call_index(0)]
        #[pallet::weight((Weight::zero(), DispatchClass::Normal, Pays::No))]
        pub fn set_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            dests: Vec<u16>,
            weights: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            let hotkey = ensure_signed(origin)?;
            Self::do_set_weights(&hotkey, netuid, &dests, &weights, version_key)
        }

        /// Registers a hotkey for the current price; signed and paid by the coldkey.
        #[pallet::call_index(7)]
        #[pallet::weight((Weight::zero(), DispatchClass::Normal, Pays::Yes))]
        pub fn burned_register(origin: OriginFor<T>, netuid: NetUid, hotkey: T::AccountId) -> DispatchResult {
            let coldkey = ensure_signed(origin)?;
            Self::do_register(&coldkey, netuid, &hotkey)
        }

        /// Registers a hotkey if the price is at most `limit_price` rao; signed and paid by the coldkey.
        #[pallet::call_index(134)]
        #[pallet::weight((Weight::zero(), DispatchClass::Normal, Pays::Yes))]
        pub fn register_limit(
            origin: OriginFor<T>,
            netuid: NetUid,
            hotkey: T::AccountId,
            limit_price: u64,
        ) -> DispatchResult {
            let coldkey = ensure_signed(origin)?;
            Self::do_register_limit(&coldkey, netuid, &hotkey, limit_price)
        }
    }

    impl<T: Config> Pallet<T> {
        /// The current height as the pallet keeps heights.
        pub fn current_block() -> u64 {
            use sp_runtime::SaturatedConversion;
            frame_system::Pallet::<T>::block_number().saturated_into()
        }

        /// When the epochs of a subnet are due.
        pub fn schedule(netuid: NetUid) -> Schedule {
            Schedule {
                tempo: Tempo::<T>::get(netuid).into(),
                last: LastEpochBlock::<T>::get(netuid),
                pending: PendingEpochAt::<T>::get(netuid),
            }
        }
    }
}
