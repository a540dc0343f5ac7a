//! The data of the beacon, in the chain's form.

use super::beacon::{self, Clock};
use frame_support::{BoundedVec, traits::ConstU32};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_io::hashing::sha2_256;

/// Bytes of at most `N`.
type Bytes<const N: u32> = BoundedVec<u8, ConstU32<N>>;

/// The public key and the schedule of a beacon.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct BeaconConfiguration {
    /// The public key, a compressed point.
    pub public_key: Bytes<96>,
    /// The time between two rounds, in seconds.
    pub period: u32,
    /// The time of round 1, in seconds since 1970.
    pub genesis_time: u32,
    /// The hash that identifies the beacon.
    pub hash: Bytes<32>,
    /// The hash of the group that runs the beacon.
    pub group_hash: Bytes<32>,
    /// The signature scheme.
    pub scheme_id: Bytes<32>,
    /// The name.
    pub metadata: Metadata,
}

/// The name of a beacon.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Metadata {
    /// The name.
    pub beacon_id: Bytes<32>,
}

/// A round of a beacon.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Pulse {
    /// The number of the round.
    pub round: u64,
    /// The SHA-256 hash of the signature.
    pub randomness: Bytes<32>,
    /// The signature of the round's number, a compressed point.
    pub signature: Bytes<144>,
}

/// The public key of drand's quicknet.
const QUICKNET_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451\
     0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
/// The hash that identifies quicknet.
const QUICKNET_HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
/// The hash of quicknet's group.
const QUICKNET_GROUP: &str = "f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e";

impl Default for BeaconConfiguration {
    /// Returns quicknet, the default of the real chain.
    fn default() -> Self {
        Self {
            public_key: bytes(&hex(QUICKNET_KEY)),
            period: 3,
            genesis_time: 1_692_803_367,
            hash: bytes(&hex(QUICKNET_HASH)),
            group_hash: bytes(&hex(QUICKNET_GROUP)),
            scheme_id: bytes(b"bls-unchained-g1-rfc9380"),
            metadata: Metadata { beacon_id: bytes(b"quicknet") },
        }
    }
}

impl BeaconConfiguration {
    /// Returns this chain's own beacon: quicknet with another key.
    #[must_use]
    pub fn own() -> Self {
        Self { public_key: bytes(&beacon::public_key()), ..Self::default() }
    }

    /// Returns the schedule of the rounds.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock { genesis: self.genesis_time.into(), period: self.period.into() }
    }
}

impl Pulse {
    /// Creates the pulse of a round from its signature.
    pub(super) fn new(round: u64, signature: Vec<u8>) -> Self {
        Self { round, randomness: bytes(&sha2_256(&signature)), signature: bytes(&signature) }
    }
}

fn bytes<const N: u32>(bytes: &[u8]) -> Bytes<N> {
    Bytes::try_from(bytes.to_vec()).expect("the beacon's values fit their bounds")
}

/// Decodes a constant of this module.
fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("the constants are hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}
