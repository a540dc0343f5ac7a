//! The pallet `MevShield`, of which tools read one value: the key for encrypted transactions. This
//! chain decrypts none, so the key is never set, and tools send their transactions unencrypted.

pub use pallet::*;

/// The pallet itself.
#[frame_support::pallet]
pub mod pallet {
    use frame_support::pallet_prelude::*;

    /// The maximum number of bytes of a key.
    pub type MaxKeyBytes = ConstU32<2048>;

    /// The pallet needs nothing else.
    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// The key to which the next block's transactions can be encrypted.
    #[pallet::storage]
    pub type NextKey<T> = StorageValue<_, BoundedVec<u8, MaxKeyBytes>, OptionQuery>;
}
