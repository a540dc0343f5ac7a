//! The pallet `Commitments`: the on-chain announcements of hotkeys. A commitment has at most three
//! fields; each write replaces it as a whole.

mod data;

pub use data::{
    CommitmentInfo, Data, HashKind, MaxBigRaw, MaxFields, MaxTimelocked, Registration, Timelocked,
    UsageTracker,
};
pub use pallet::*;

/// The pallet itself.
#[frame_support::pallet]
pub mod pallet {
    use super::{CommitmentInfo, Registration, UsageTracker};
    use crate::types::{NetUid, TaoBalance};
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_core::crypto::AccountId32;

    /// The smallest cost of a call in bytes, however small its fields are.
    const MIN_COST: u64 = 100;

    /// The information about subnets that the pallet needs.
    pub trait Subnets {
        /// Checks whether the hotkey has a uid in the subnet.
        fn is_registered(netuid: NetUid, hotkey: &AccountId32) -> bool;
        /// Returns the number of epochs that the subnet has run.
        fn epoch_index(netuid: NetUid) -> u64;
    }

    /// The source of subnet information and the event type of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>> {
        /// The subnets.
        type Subnets: Subnets;
        /// The maximum number of fields of a commitment.
        #[pallet::constant]
        type MaxFields: Get<u32>;
    }

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    /// The commitment of a hotkey.
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
    /// The height of a hotkey's last write.
    #[pallet::storage]
    pub type LastCommitment<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, BlockNumberFor<T>, OptionQuery>;
    /// The revealed timelocked fields. This chain reveals none, so the map stays empty. Tools read it
    /// anyway.
    #[pallet::storage]
    pub type RevealedCommitments<T> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, Vec<(Vec<u8>, u64)>, OptionQuery>;
    /// The space that a hotkey has used in an epoch.
    #[pallet::storage]
    pub type UsedSpaceOf<T> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, AccountId32, UsageTracker, OptionQuery>;
    /// The bytes that a hotkey may write in an epoch.
    #[pallet::storage]
    pub type MaxSpace<T> = StorageValue<_, u32, ValueQuery, ConstU32<3100>>;

    /// The events of the pallet.
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

    /// The reasons why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The signer has no uid in the subnet.
        #[codec(index = 1)]
        AccountNotAllowedCommit,
        /// The signer has used up its bytes for this epoch.
        #[codec(index = 2)]
        SpaceLimitExceeded,
    }

    /// The calls that accounts can make.
    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Replaces the signer's commitment. The hotkey signs; the call is free of fees.
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
        /// Charges the bytes to the epoch's space. A new epoch starts from zero.
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
