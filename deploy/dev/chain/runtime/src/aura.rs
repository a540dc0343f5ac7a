//! The pallet `Aura`, of which tools read one constant: the block time.
//!
//! The block time is a setting of the node, not of the runtime. The node writes it to
//! [`slot_duration_key`] in the state on which it calls the metadata API; no block contains it.

use sp_core::Get;

pub use pallet::*;

/// The block time where the node wrote none, in milliseconds. It is that of the real chain.
const DEFAULT_MS: u64 = 12_000;

/// The pallet itself.
#[frame_support::pallet]
pub mod pallet {
    use frame_support::pallet_prelude::*;

    /// The block time.
    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// The time between two blocks, in milliseconds.
        #[pallet::constant]
        type SlotDuration: Get<u64>;
    }

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);
}

/// Returns the storage key under which the node writes its block time: milliseconds as a
/// SCALE-encoded `u64`.
#[must_use]
pub fn slot_duration_key() -> Vec<u8> {
    b":devchain:slot_duration".to_vec()
}

/// The block time that the node wrote. Outside of a node it is that of the real chain.
pub struct SlotDuration;
impl Get<u64> for SlotDuration {
    fn get() -> u64 {
        let read = |ext: &mut dyn sp_externalities::Externalities| ext.storage(&slot_duration_key());
        let written = sp_externalities::with_externalities(read).flatten();
        written.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))).unwrap_or(DEFAULT_MS)
    }
}
