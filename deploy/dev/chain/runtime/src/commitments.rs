//! The pallet `Commitments`: what a hotkey announces on chain, at most three fields, each write replacing all.

mod data;

pub use data::{
    CommitmentInfo, Data, HashKind, MaxBigRaw, MaxFields, MaxTimelocked, Registration, Timelocked,
    UsageTracker,
};
pub use pallet::*;

/// The pallet proper.
#[frame_support::pallet]
pub mod pallet {
    use super::{CommitmentInfo, Registration, UsageTracker};
    use crate::types::{NetUid, TaoBalance};
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_core::crypto::AccountId32;

    /// Bytes that a call costs at least, however small its fields.
    const MIN_COST: u64 = 100;

    /// What the pallet asks the subnets.
    pub trait Subnets {
        /// Whether the hotkey holds a uid in the subnet.
        fn is_registered(netuid: NetUid, hotkey: &AccountId32) -> bool;
        /// How many epochs the subnet has run.
        fn epoch_index(netuid: NetUid) -> u64;
    }

    /// Where the pallet asks about subnets, and its events.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> {
        /// The subnets.
        type Subnets: Subnets;
        /// Fields of a commitment, at most.
        #[pallet::constant]
        type MaxFields: Get<u32>;
    }

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    /// What a hotkey announces.
    #[pallet::storage]
    pub type CommitmentOf<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Twox64Concat,
        AccountId32,
        Registration<BlockNumberFor<T>>,
        OptionQuery,
    >;
    /// Height of a hotkey's last write.
    #[pallet::storage]
    pub type LastCommitment<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, BlockNumberFor<T>, OptionQuery>;
    /// Timelocked fields that opened. This chain opens none, so the map stays empty; tools look for it all the same.
    #[pallet::storage]
    pub type RevealedCommitments<T> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, Vec<(Vec<u8>, u64)>, OptionQuery>;
    /// Space that a hotkey has used of an epoch's.
    #[pallet::storage]
    pub type UsedSpaceOf<T> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, UsageTracker, OptionQuery>;
    /// Bytes that a hotkey may write in an epoch.
    #[pallet::storage]
    pub type MaxSpace<T> = StorageValue<_, u32, ValueQuery, ConstU32<3100>>;

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(fn deposit_event)]
    pub enum Event<T: Config> {
        /// A hotkey wrote its commitment.
        Commitment {
            /// The subnet.
            netuid: NetUid,
            /// The hotkey.
            who: T::AccountId,
        },
    }

    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The signer holds no uid in the subnet.
        #[codec(index = 1)]
        AccountNotAllowedCommit,
        /// The signer's bytes for this epoch are used up.
        #[codec(index = 2)]
        SpaceLimitExceeded,
    }

    /// What accounts can ask for.
    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Replaces the signer's commitment; signed by the hotkey, free of fees.
        #[pallet::call_index(0)]
        #[pallet::weight((Weight::zero(), DispatchClass::Normal, Pays::No))]
        pub fn set_commitment(
            origin: OriginFor<T>,
            netuid: NetUid,
            info: Box<CommitmentInfo>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            ensure!(T::Subnets::is_registered(netuid, &who), Error::<T>::AccountNotAllowedCommit);
            Self::use_space(netuid, &who, &info)?;
            let block = frame_system::Pallet::<T>::block_number();
            CommitmentOf::<T>::insert(
                netuid,
                &who,
                Registration { deposit: TaoBalance(0), block, info: *info },
            );
            LastCommitment::<T>::insert(netuid, &who, block);
            Self::deposit_event(Event::Commitment { netuid, who });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        /// Charges the epoch's space; a new epoch starts from zero.
        fn use_space(netuid: NetUid, who: &AccountId32, info: &CommitmentInfo) -> DispatchResult {
            let epoch = T::Subnets::epoch_index(netuid);
            let mut usage = UsedSpaceOf::<T>::get(netuid, who).unwrap_or_default();
            if usage.last_epoch != epoch {
                usage = UsageTracker { last_epoch: epoch, used_space: 0 };
            }
            let bytes: u64 = info.fields.iter().map(|field| field.len() as u64).sum();
            usage.used_space = usage.used_space.saturating_add(bytes.max(MIN_COST));
            ensure!(usage.used_space <= u64::from(MaxSpace::<T>::get()), Error::<T>::SpaceLimitExceeded);
            UsedSpaceOf::<T>::insert(netuid, who, usage);
            Ok(())
        }
    }
}
