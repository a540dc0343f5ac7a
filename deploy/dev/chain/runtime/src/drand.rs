//! The pallet `Drand`: the pulses of the randomness beacon to which weights are encrypted.
//!
//! On the real chain, nodes fetch each pulse of drand's quicknet. Here the runtime signs the pulses
//! itself, with the known key of [`beacon`]. It stores the newest pulse of each block and those that a
//! commit waits for, and only while a subnet has commit-reveal on.

pub mod beacon;
mod config;

pub use config::{BeaconConfiguration, Metadata, Pulse};
pub use pallet::*;

/// The pallet itself.
#[frame_support::pallet]
pub mod pallet {
    use super::{
        beacon,
        config::{BeaconConfiguration, Pulse},
    };
    use frame_support::pallet_prelude::*;

    /// The pallet takes the time from the timestamps of blocks.
    #[pallet::config]
    pub trait Config: frame_system::Config + pallet_timestamp::Config<Moment = u64> {}

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    /// The public key and the schedule of the beacon.
    #[pallet::storage]
    pub type BeaconConfig<T> = StorageValue<_, BeaconConfiguration, ValueQuery>;
    /// The stored pulses by round.
    #[pallet::storage]
    pub type Pulses<T> = StorageMap<_, Blake2_128Concat, u64, Pulse, OptionQuery>;
    /// The newest stored round; 0 = none.
    #[pallet::storage]
    pub type LastStoredRound<T> = StorageValue<_, u64, ValueQuery>;
    /// The oldest stored round; 0 = none.
    #[pallet::storage]
    pub type OldestStoredRound<T> = StorageValue<_, u64, ValueQuery>;

    impl<T: Config> Pallet<T> {
        /// Stores the newest pulse at the parent block's time, and those of the `awaited` rounds that
        /// are not in the future.
        pub fn store_pulses(awaited: impl Iterator<Item = u64>) {
            let newest = BeaconConfig::<T>::get().clock().round_at(pallet_timestamp::Now::<T>::get());
            let due = awaited.filter(|round| (1..=newest).contains(round));
            due.chain((newest > 0).then_some(newest)).for_each(Self::store_pulse);
            if newest > LastStoredRound::<T>::get() {
                LastStoredRound::<T>::put(newest);
            }
        }

        fn store_pulse(round: u64) {
            if Pulses::<T>::contains_key(round) {
                return;
            }
            Pulses::<T>::insert(round, Pulse::new(round, beacon::sign(round)));
            OldestStoredRound::<T>::mutate(|oldest| {
                *oldest = if *oldest == 0 { round } else { (*oldest).min(round) }
            });
        }
    }
}
