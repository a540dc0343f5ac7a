//! The chain's own number types, with the names and type structure of its metadata.
//!
//! Subtensor wraps its integers in newtypes. Their paths and structure are part of every storage and
//! call hash. They are encoded as the bare integers.

mod arithmetic;
mod fixed;

pub use fixed::{FixedI64, FixedI128, FixedU128};

use parity_scale_codec::{CompactAs, Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::{Path, Type, TypeInfo, build::Fields};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Defines a newtype over an integer, with the path that the chain's metadata gives it.
macro_rules! chain_integer {
    ($(#[$doc:meta])* $name:ident($inner:ty), $($segment:literal)::+) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, DecodeWithMemTracking,
            MaxEncodedLen, CompactAs, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl TypeInfo for $name {
            type Identity = Self;

            fn type_info() -> Type {
                let path = Path::from_segments([$($segment),+, stringify!($name)])
                    .expect("the segments are identifiers");
                Type::builder().path(path).composite(Fields::unnamed().field(|f| f.ty::<$inner>().type_name(stringify!($inner))))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

chain_integer! {
    /// A subnet's number.
    NetUid(u16), "subtensor_runtime_common"
}
chain_integer! {
    /// A mechanism within a subnet. Most subnets have one mechanism, number 0.
    MechId(u8), "subtensor_runtime_common"
}
chain_integer! {
    /// The key of values kept per mechanism: `netuid + 4096 · mechanism`.
    NetUidStorageIndex(u16), "subtensor_runtime_common"
}
chain_integer! {
    /// An amount of TAO in rao (10⁻⁹ TAO).
    TaoBalance(u64), "subtensor_runtime_common" :: "currency"
}
chain_integer! {
    /// An amount of a subnet's alpha in units of 10⁻⁹.
    AlphaBalance(u64), "subtensor_runtime_common" :: "currency"
}

/// The consensus of a subnet's epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum EpochConsensus {
    /// Yuma consensus.
    #[default]
    Yuma,
    /// The mean of all weights. This chain does not have it.
    Null,
}

/// The number of subnets that storage indices leave room for.
const MAX_SUBNETS: u16 = 4096;

impl NetUidStorageIndex {
    /// Returns the index of a mechanism of a subnet.
    #[must_use]
    pub fn of(netuid: NetUid, mechanism: MechId) -> Self {
        Self(netuid.0.wrapping_add(MAX_SUBNETS.wrapping_mul(mechanism.0.into())))
    }
}

impl From<NetUid> for NetUidStorageIndex {
    /// Returns the index of mechanism 0 of a subnet.
    fn from(netuid: NetUid) -> Self {
        Self(netuid.0)
    }
}
