//! The chain's numbers and block hashes, each with its own type so that none is mistaken for another.

use std::{fmt, str::FromStr};

use parity_scale_codec::{Decode, Encode, MaxEncodedLen};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Declares a number of the chain.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number! {
    /// The number of a subnet.
    Netuid(u16)
}

number! {
    /// The number of a subnet's mechanism: one of several sets of weights, each with its own share of the
    /// emission.
    Mechanism(u8)
}

impl Mechanism {
    /// The first mechanism. Most subnets have no other.
    pub const MAIN: Self = Self(0);
}

number! {
    /// A neuron's place on a subnet.
    ///
    /// The chain reassigns uids. To name a neuron for longer than one block, use its hotkey and block
    /// at registration ([`NeuronId`](crate::NeuronId)).
    Uid(u16)
}

number! {
    /// The number of a block, counted from genesis (0).
    Height(u64)
}

number! {
    /// A point in time: milliseconds since 1970-01-01 UTC, as in the chain's `Timestamp.Now`.
    UnixMillis(u64)
}

number! {
    /// A window of a run, counted from 0 at the run's start block.
    Window(u64)
}

impl Height {
    /// Returns the height of the next block.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The hash of a block's header.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
pub struct BlockHash(pub [u8; 32]);

/// An error in a text that should be a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash: a hash has 64 hex digits")]
pub struct ParseHashError(String);

impl ParseHashError {
    /// Creates the error for a text that is not a hash. Keeps at most 80 characters of the text.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

impl From<[u8; 32]> for BlockHash {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlockHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0u8; 32];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut hash).map_err(|_| ParseHashError::new(text))?;
        Ok(Self(hash))
    }
}

impl Serialize for BlockHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hash_that_is_too_short_is_refused() {
        assert_eq!("0xabc".parse::<BlockHash>(), Err(ParseHashError("0xabc".into())));
        assert!(serde_json::from_str::<BlockHash>("\"0xzz\"").is_err());
    }

    #[test]
    fn numbers_are_numbers_in_json_and_text() {
        assert_eq!(serde_json::to_string(&Netuid(3)).unwrap(), "3");
        assert_eq!("3".parse::<Netuid>(), Ok(Netuid(3)));
        assert!("65536".parse::<Uid>().is_err());
        assert_eq!(format!("{:>4}", Uid(7)), "   7");
    }

    proptest! {
        #[test]
        fn hashes_round_trip(hash: [u8; 32]) {
            let hash = BlockHash(hash);
            prop_assert_eq!(hash.to_string().parse::<BlockHash>(), Ok(hash));
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(serde_json::from_str::<BlockHash>(&json).unwrap(), hash);
        }
    }
}
