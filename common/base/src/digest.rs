//! Hashes: BLAKE3 with its own `derive_key` context and its own type for each kind of object.

use crate::ids::ParseHashError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Declares one kind of hash: 32 bytes, shown and parsed as hex, computed with its own `derive_key`
/// context.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $context:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The BLAKE3 `derive_key` context of this kind.
            pub const CONTEXT: &'static str = $context;

            /// Returns the hash of the concatenated parts.
            #[must_use]
            pub fn of(parts: &[&[u8]]) -> Self {
                let mut hasher = blake3::Hasher::new_derive_key(Self::CONTEXT);
                parts.iter().for_each(|part| {
                    hasher.update(part);
                });
                Self(*hasher.finalize().as_bytes())
            }

            /// Returns the bytes of the hash.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut hash = [0u8; 32];
                hex::decode_to_slice(text, &mut hash).map_err(|_| ParseHashError::new(text))?;
                Ok(Self(hash))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

digest! {
    /// The name of a run: the hash of its run spec's canonical bytes.
    RunHash, "muster v1 run"
}

digest! {
    /// The name of an object in a bucket: the hash of its bytes without the signature (signatures are
    /// randomized).
    ObjectHash, "muster v1 object"
}

digest! {
    /// The hash of the key that encrypts a sealed submission.
    KeyHash, "muster v1 seal key"
}

digest! {
    /// The hash of a sealed submission's body before encryption.
    PlaintextHash, "muster v1 plaintext"
}

digest! {
    /// The hash of a sealed submission's key object, without its signature.
    KeyObjectHash, "muster v1 key object"
}

digest! {
    /// The hash of the shared parameters of a window.
    StateRoot, "muster v1 state root"
}

digest! {
    /// The hash that chains all accepted sets up to a window.
    Accumulator, "muster v1 accepted sets"
}

digest! {
    /// The hash that a vote names: the state root of a window together with the history of accepted
    /// sets before it.
    State, "muster v1 state"
}

digest! {
    /// The name of a dataset: the hash of its manifest's canonical bytes.
    DatasetHash, "muster v1 dataset"
}

digest! {
    /// The name of a tokenizer: the hash of its `tokenizer.json`.
    TokenizerHash, "muster v1 tokenizer"
}

digest! {
    /// The seed of a run's initial parameters: any 32 bytes.
    RunSeed, "muster v1 seed"
}

digest! {
    /// The hash of a shard's table of block hashes.
    BlockTableHash, "muster v1 block table"
}

digest! {
    /// The hash of the tokens of one block of a shard.
    DataBlockHash, "muster v1 data block"
}

digest! {
    /// The hash of the last line of a validator's score log, or of its header if it has no lines. Each
    /// line holds the hash of the line before it.
    ScoreLogHead, "muster v1 score log"
}

digest! {
    /// The hash of a validator's record of all miners: ratings, proofs, failures.
    StandingsHash, "muster v1 standings"
}

/// The first 8 bytes of a [`RunHash`]. Commitments carry these instead of the whole hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 8]);

impl RunHash {
    /// Returns the run's short name.
    #[must_use]
    pub fn id(&self) -> RunId {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        RunId([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_hash_the_same_bytes_differently() {
        assert_ne!(RunHash::of(&[b"x"]).0, ObjectHash::of(&[b"x"]).0);
        assert_eq!(RunHash::of(&[b"a", b"b"]), RunHash::of(&[b"ab"]));
    }

    #[test]
    fn a_hash_is_its_hex() {
        let hash = StateRoot::of(&[b"x"]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("00".parse::<StateRoot>().is_err());
        assert_eq!(RunHash([7; 32]).id().to_string(), "0707070707070707");
    }
}
