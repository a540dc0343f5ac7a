//! The events of the pallet, with the numbers of the real chain.

use frame_support::pallet_macros::pallet_section;

/// The events.
#[pallet_section]
mod events {
    /// The events of the operations that this chain has.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A coldkey added stake to a hotkey (coldkey, hotkey, TAO, alpha, subnet, fee in rao).
        #[codec(index = 2)]
        StakeAdded(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// A coldkey removed stake from a hotkey (coldkey, hotkey, TAO, alpha, subnet, fee in rao).
        #[codec(index = 3)]
        StakeRemoved(T::AccountId, T::AccountId, TaoBalance, AlphaBalance, NetUid, u64),
        /// A validator set its weights (subnet and mechanism, uid).
        #[codec(index = 5)]
        WeightsSet(NetUidStorageIndex, u16),
        /// A hotkey got a uid.
        #[codec(index = 7)]
        NeuronRegistered(NetUid, u16, T::AccountId),
        /// A hotkey announced its address.
        #[codec(index = 29)]
        AxonServed(NetUid, T::AccountId),
        /// A validator committed the hash of its weights (hotkey, subnet and mechanism, hash).
        #[codec(index = 86)]
        WeightsCommitted(T::AccountId, NetUidStorageIndex, H256),
        /// A validator revealed committed weights (hotkey, subnet and mechanism, hash).
        #[codec(index = 87)]
        WeightsRevealed(T::AccountId, NetUidStorageIndex, H256),
        /// A validator revealed several commits (hotkey, subnet, hashes).
        #[codec(index = 88)]
        WeightsBatchRevealed(T::AccountId, NetUid, Vec<H256>),
        /// A batch is done (subnets, hotkey).
        #[codec(index = 89)]
        BatchWeightsCompleted(Vec<Compact<NetUid>>, T::AccountId),
        /// At least one item of the batch failed.
        #[codec(index = 90)]
        BatchCompletedWithErrors(),
        /// An item of a batch failed.
        #[codec(index = 91)]
        BatchWeightItemFailed(NetUid, sp_runtime::DispatchError),
        /// A validator committed encrypted weights (hotkey, subnet and mechanism, hash, reveal round).
        #[codec(index = 108)]
        TimelockedWeightsCommitted(T::AccountId, NetUidStorageIndex, H256, u64),
        /// The chain revealed encrypted weights (subnet and mechanism, hotkey).
        #[codec(index = 109)]
        TimelockedWeightsRevealed(NetUidStorageIndex, T::AccountId),
        /// An epoch paid its miners (one entry per uid).
        #[codec(index = 111)]
        IncentiveAlphaEmittedToMiners {
            /// The subnet and mechanism.
            netuid: NetUidStorageIndex,
            /// The alpha, one entry per uid.
            emissions: Vec<AlphaBalance>,
        },
    }
}
