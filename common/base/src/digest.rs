//! Hashes: BLAKE3 with one context per kind of object, each kind a type of its own.

use crate::ids::ParseHashError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Declares one kind of hash: 32 bytes, shown and parsed as hex, made with its own `derive_key` context.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $context:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The BLAKE3 `derive_key` context of this kind.
            pub const CONTEXT: &'static str = $context;

            /// The hash of the parts, one after the other.
            #[must_use]
            pub fn of(parts: &[&[u8]]) -> Self {
                let mut hasher = blake3::Hasher::new_derive_key(Self::CONTEXT);
                parts.iter().for_each(|part| {
                    hasher.update(part);
                });
                Self(*hasher.finalize().as_bytes())
            }

            /// The hash's bytes.
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
    /// Names a run: the hash of its run spec's canonical bytes.
    RunHash, "muster v1 run"
}

digest! {
    /// Names an object in a bucket: the hash of its bytes without the signature (signatures are randomized).
    ObjectHash, "muster v1 object"
}

digest! {
    /// The key that a sealed submission is encrypted with.
    KeyHash, "muster v1 seal key"
}

digest! {
    /// The body of a sealed submission before it is encrypted.
    PlaintextHash, "muster v1 plaintext"
}

digest! {
    /// The key object of a sealed submission, without its signature.
    KeyObjectHash, "muster v1 key object"
}

digest! {
    /// The shared parameters of a window.
    StateRoot, "muster v1 state root"
}

digest! {
    /// The chain of all accepted sets up to a window.
    Accumulator, "muster v1 accepted sets"
}

digest! {
    /// What a vote names: the state root of a window together with the history of accepted sets before it.
    State, "muster v1 state"
}

digest! {
    /// Names a dataset: the hash of its manifest's canonical bytes.
    DatasetHash, "muster v1 dataset"
}

digest! {
    /// Names a tokenizer: the hash of its `tokenizer.json`.
    TokenizerHash, "muster v1 tokenizer"
}

digest! {
    /// What a run's initial parameters are made from: any 32 bytes.
    RunSeed, "muster v1 seed"
}

digest! {
    /// Names a shard's table of block hashes.
    BlockTableHash, "muster v1 block table"
}

digest! {
    /// The tokens of a block of a shard.
    DataBlockHash, "muster v1 data block"
}

digest! {
    /// The end of a chain of lines of a validator's score log, which each line carries on.
    ScoreLogHead, "muster v1 score log"
}

digest! {
    /// What a validator knows of all miners: ratings, proofs, failures.
    StandingsHash, "muster v1 standings"
}

/// The first 8 bytes of a [`RunHash`]: what commitments carry in its place.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 8]);

impl RunHash {
    /// The run's short name.
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
