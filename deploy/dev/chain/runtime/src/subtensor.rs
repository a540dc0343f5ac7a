//! The pallet `SubtensorModule`: registration, weights and epochs of subnets, as miners and validators
//! use them.
//!
//! Names, indices, types, hashers and defaults are those of Subtensor spec 461; `tests/metadata.rs`
//! compares them by hash. The parts that Muster does not use are left out: delegation, swaps, coldkey
//! swaps, root, pools, commit-reveal.

mod defaults;
mod epoch;
mod price;
mod refusal;
mod registration;
mod weights;

pub use epoch::Schedule;
pub use pallet::*;
pub use refusal::PoolRefusal;

/// The pallet itself. Its storage items have the chain's own names, `LastMechansimStepBlock` included.
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

    /// The currency and the event type of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> {
        /// The currency in which coldkeys pay for registration.
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
    /// Whether weights must be committed and revealed. This chain cannot do that; it only refuses plain
    /// weights.
    #[pallet::storage]
    pub type CommitRevealWeightsEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery, True>;
    /// The stake weight, in rao, that a hotkey needs to set weights and to count in an epoch.
    #[pallet::storage]
    pub type StakeThreshold<T> = StorageValue<_, u64, ValueQuery>;
    /// The factor for stake in the root network when it counts in a subnet, in units of 2⁻⁶⁴.
    #[pallet::storage]
    pub type TaoWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<971_718_665_099_567_868>>;

    // Epochs.

    /// The number of blocks from one epoch to the next; 0 = no epochs.
    #[pallet::storage]
    pub type Tempo<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<10>>;
    /// The number of blocks without new weights after which a validator is inactive.
    #[pallet::storage]
    pub type ActivityCutoff<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery, ConstU16<5000>>;
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

    /// The events of the operations that Muster uses.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A validator set its weights (subnet and mechanism, uid).
        #[codec(index = 5)]
        WeightsSet(NetUidStorageIndex, u16),
        /// A hotkey got a uid.
        #[codec(index = 7)]
        NeuronRegistered(NetUid, u16, T::AccountId),
        /// An epoch paid its miners (one entry per uid).
        #[codec(index = 111)]
        IncentiveAlphaEmittedToMiners {
            /// The subnet and mechanism.
            netuid: NetUidStorageIndex,
            /// The alpha, one entry per uid.
            emissions: Vec<AlphaBalance>,
        },
    }

    /// The reasons why a call was refused.
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
        /// The coldkey cannot pay the registration price and keep the existential deposit.
        #[codec(index = 12)]
        NotEnoughBalanceToStake,
        /// The neuron has no validator permit.
        #[codec(index = 15)]
        NeuronNoValidatorPermit,
        /// The numbers of uids and weights differ.
        #[codec(index = 16)]
        WeightVecNotEqualSize,
        /// A uid occurs twice.
        #[codec(index = 17)]
        DuplicateUids,
        /// A uid is not in use.
        #[codec(index = 18)]
        UidVecContainInvalidOne,
        /// There are fewer weights than the subnet requires.
        #[codec(index = 19)]
        WeightVecLengthIsLow,
        /// The hotkey already has a uid in the subnet.
        #[codec(index = 21)]
        HotKeyAlreadyRegisteredInSubNet,
        /// A weight is above the subnet's limit.
        #[codec(index = 27)]
        MaxWeightExceeded,
        /// The last weights are more recent than the rate limit allows.
        #[codec(index = 29)]
        SettingWeightsTooFast,
        /// The version key is older than the subnet's.
        #[codec(index = 30)]
        IncorrectWeightVersionKey,
        /// There are more uids than the subnet has.
        #[codec(index = 32)]
        UidsLengthExceedUidsInSubNet,
        /// The subnet accepts no registrations.
        #[codec(index = 37)]
        SubNetRegistrationDisabled,
        /// The root network accepts no such registration.
        #[codec(index = 42)]
        RegistrationNotPermittedOnRootSubnet,
        /// The root network accepts no such weights.
        #[codec(index = 47)]
        CanNotSetRootNetworkWeights,
        /// No uid is free, and no neuron can be replaced.
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

    /// The calls that accounts can make.
    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets a validator's weights on the neurons of a subnet. The hotkey signs; the call is free of
        /// fees.
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

        /// Registers a hotkey for the current price. The coldkey signs and pays.
        #[pallet::call_index(7)]
        #[pallet::weight((Weight::zero(), DispatchClass::Normal, Pays::Yes))]
        pub fn burned_register(origin: OriginFor<T>, netuid: NetUid, hotkey: T::AccountId) -> DispatchResult {
            let coldkey = ensure_signed(origin)?;
            Self::do_register(&coldkey, netuid, &hotkey)
        }

        /// Registers a hotkey if the price is at most `limit_price` rao. The coldkey signs and pays.
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
