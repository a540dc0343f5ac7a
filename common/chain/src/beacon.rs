//! Timelock encryption to the chain's randomness beacon (drand).
//!
//! Weights are encrypted to a future round of the beacon. The beacon's signature of that round decrypts
//! them, so no secret is needed: neither the chain nor any reader can decrypt before the round, and all can
//! afterwards.
//!
//! The form is that of the chain's pallets: identity-based encryption (Boneh and Franklin, FullIdent) on
//! BLS12-381 of a key for AES-256-GCM. The identity is the SHA-256 hash of the round's number. The crate
//! `timelock` leaves out the length before the two hashes of the header, which the chain's older version of
//! it writes. Checked against Bittensor's own library in `tests/data/timelock.json`.

use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use ark_std::rand as old_rand;
use base::{Height, UnixMillis};
use chain_metadata::api::runtime_types::pallet_drand::types::BeaconConfiguration;
use rand::{TryRngCore, rngs::OsRng};
use std::time::Duration;
use timelock::{
    block_ciphers::AESGCMBlockCipherProvider,
    engines::{EngineBLS, drand::TinyBLS381},
    ibe::fullident::Identity,
    tlock::tle,
};

use crate::EpochSchedule;

/// The bytes of the compressed point at the start of a ciphertext.
const POINT: usize = 96;
/// The bytes of each of the two hashes that follow it.
const HASH: usize = 32;
/// The length of a hash, as the chain expects it before each of the two.
const PREFIX: [u8; 8] = (HASH as u64).to_le_bytes();

/// Blocks from the beginning of the reveal's epoch to the round of a commit. In the first block of an epoch
/// the chain may not have a round yet that is due then. Source: `SECURITY_BLOCK_OFFSET` of Bittensor's
/// library.
pub(crate) const REVEAL_OFFSET: u64 = 3;

/// The public key of drand's quicknet, compressed. Source: <https://api.drand.sh/v2/beacons/quicknet/info>.
const QUICKNET: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451\
                        0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

/// The beacon whose rounds a chain knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The public key, compressed.
    key: Vec<u8>,
    /// The time of round 1.
    genesis: UnixMillis,
    /// The time between two rounds.
    period: Duration,
}

/// An error of encrypting weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TimelockError {
    /// The chain's value is not a public key.
    #[error("the chain's Drand.BeaconConfig has no valid public key: use another node")]
    Key,
    /// The encryption failed.
    #[error("cannot encrypt the weights to the beacon's round {0}")]
    Encrypt(u64),
}

impl Beacon {
    /// Takes a beacon from the chain's own description.
    pub(crate) fn new(config: BeaconConfiguration) -> Self {
        Self {
            key: config.public_key.0,
            genesis: UnixMillis(u64::from(config.genesis_time) * 1000),
            period: Duration::from_secs(config.period.max(1).into()),
        }
    }

    /// Returns whether this is drand's quicknet, the beacon of the public networks. On them, another key is a
    /// lie of the node, which could read the weights at once.
    #[must_use]
    pub fn is_quicknet(&self) -> bool {
        hex::encode(&self.key) == QUICKNET
    }

    /// Returns the newest round before a time. It is signed when the time comes.
    #[must_use]
    pub fn round_before(&self, time: UnixMillis) -> u64 {
        let period = u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX).max(1);
        time.0.saturating_sub(self.genesis.0) / period
    }

    /// Returns the time at which a round is signed.
    fn time_of(&self, round: u64) -> UnixMillis {
        let period = u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(self.genesis.0.saturating_add(round.saturating_sub(1).saturating_mul(period)))
    }

    /// Encrypts bytes to a round, as the chain decrypts them.
    pub(crate) fn encrypt(&self, round: u64, message: &[u8]) -> Result<Vec<u8>, TimelockError> {
        let key = <TinyBLS381 as EngineBLS>::PublicKeyGroup::deserialize_compressed(&self.key[..])
            .map_err(|_| TimelockError::Key)?;
        let identity = Identity::new(b"", &sp_crypto_hashing::sha2_256(&round.to_be_bytes()));
        let failed = TimelockError::Encrypt(round);
        let mut secret = [0; 32];
        OsRng.try_fill_bytes(&mut secret).map_err(|_| failed)?;
        let ciphertext =
            tle::<TinyBLS381, AESGCMBlockCipherProvider, _>(key, secret, message, identity, SystemRandom)
                .map_err(|_| failed)?;
        let mut bytes = Vec::new();
        ciphertext.serialize_compressed(&mut bytes).map_err(|_| failed)?;
        let (point, hashes) = bytes.split_at_checked(POINT).ok_or(failed)?;
        let (first, rest) = hashes.split_at_checked(HASH).ok_or(failed)?;
        Ok([point, &PREFIX, first, &PREFIX, rest].concat())
    }
}

/// Returns the round of a commit that is to be revealed in an epoch which begins with `first`, and the block
/// in which it can be. `now` is the time of the schedule's block.
///
/// The same rule as Bittensor's library has. On a chain with fast blocks that round may be over at once; then
/// it is the first one after `now`.
#[must_use]
pub(crate) fn reveal_round(
    beacon: &Beacon,
    schedule: &EpochSchedule,
    first: Height,
    (now, block_time): (UnixMillis, Duration),
) -> (u64, Height) {
    let block = Height(first.0.saturating_add(REVEAL_OFFSET));
    let block_time = u64::try_from(block_time.as_millis()).unwrap_or(u64::MAX).max(1);
    let wait = block.0.saturating_sub(schedule.block.0).saturating_mul(block_time);
    let next = beacon.round_before(now).saturating_add(2);
    let round = beacon.round_before(UnixMillis(now.0.saturating_add(wait))).max(next);
    let blocks = beacon.time_of(round).0.saturating_sub(now.0).div_ceil(block_time);
    (round, block.max(Height(schedule.block.0.saturating_add(blocks))))
}

/// The system's random numbers, for crates that use version 0.8 of `rand`.
struct SystemRandom;

impl old_rand::RngCore for SystemRandom {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        OsRng.try_fill_bytes(bytes).expect("the system has random numbers: it has just given some");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), old_rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl old_rand::CryptoRng for SystemRandom {}

#[cfg(test)]
mod tests;
