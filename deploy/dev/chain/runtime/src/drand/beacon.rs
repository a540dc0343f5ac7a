//! The randomness beacon of this chain. It has the parameters of drand's quicknet, but a key of its
//! own, whose secret is known. So it can sign any round, and a client that encrypts to this key can be
//! decrypted.

use ark_ec::PrimeGroup;
use ark_ff::PrimeField;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use sp_io::hashing::{blake2_256, sha2_256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use timelock::{
    block_ciphers::AESGCMBlockCipherProvider,
    engines::{EngineBLS, drand::TinyBLS381},
    ibe::fullident::Identity,
    tlock::{TLECiphertext, tld},
};

type Secret = <TinyBLS381 as EngineBLS>::Scalar;
type Public = <TinyBLS381 as EngineBLS>::PublicKeyGroup;
type Signature = <TinyBLS381 as EngineBLS>::SignatureGroup;

/// The text from which the secret key is derived.
const SEED: &[u8] = b"muster devchain drand beacon";

/// The bytes of the compressed point at the start of a ciphertext.
const POINT: usize = 96;
/// The bytes of the two hashes that follow it.
const HASH: usize = 32;
/// The length of a hash, as the chain's ciphertexts write it before each of the two.
const PREFIX: [u8; 8] = (HASH as u64).to_le_bytes();

/// The time at which a beacon emits its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The time of round 1, in seconds since 1970.
    pub genesis: u64,
    /// The time between two rounds, in seconds.
    pub period: u64,
}

impl Clock {
    /// Returns the newest round at a time in milliseconds since 1970; 0 before the first round.
    #[must_use]
    pub fn round_at(&self, time_ms: u64) -> u64 {
        let since = (time_ms / 1000).checked_sub(self.genesis);
        since.map_or(0, |seconds| seconds / self.period.max(1) + 1)
    }
}

fn secret() -> Secret {
    Secret::from_be_bytes_mod_order(&blake2_256(SEED))
}

/// Returns the public key, compressed: 96 bytes.
#[must_use]
pub fn public_key() -> Vec<u8> {
    compressed(&(Public::generator() * secret()))
}

/// Returns the signature of a round, compressed: 48 bytes.
#[must_use]
pub fn sign(round: u64) -> Vec<u8> {
    let identity = Identity::new(b"", &sha2_256(&round.to_be_bytes()));
    compressed(&identity.extract::<TinyBLS381>(secret()).0)
}

fn compressed(point: &impl CanonicalSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    point.serialize_compressed(&mut bytes).expect("a vector takes all bytes");
    bytes
}

/// Decrypts a ciphertext with the signature of its round. Returns `None` if it is malformed, or
/// encrypted to another round or key.
///
/// The chain's form has a length before each of the two hashes of the header, which the form of the
/// crate `timelock` lacks.
#[must_use]
pub fn decrypt(ciphertext: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let (point, rest) = ciphertext.split_at_checked(POINT)?;
    let (first, rest) = rest.strip_prefix(&PREFIX)?.split_at_checked(HASH)?;
    let rest = rest.strip_prefix(&PREFIX)?;
    let plain_form = [point, first, rest].concat();
    // The bytes come from a transaction. If the crate panics on them, only this ciphertext is lost.
    let open = || {
        let ciphertext = TLECiphertext::<TinyBLS381>::deserialize_compressed(&plain_form[..]).ok()?;
        let signature = Signature::deserialize_compressed(signature).ok()?;
        tld::<TinyBLS381, AESGCMBlockCipherProvider>(ciphertext, signature).ok()
    };
    catch_unwind(AssertUnwindSafe(open)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_one_is_at_the_genesis_of_the_beacon() {
        let clock = Clock { genesis: 1_692_803_367, period: 3 };
        assert_eq!(clock.round_at(1_692_803_366_999), 0);
        assert_eq!(clock.round_at(1_692_803_367_000), 1);
        assert_eq!(clock.round_at(1_692_803_369_999), 1);
        assert_eq!(clock.round_at(1_692_803_370_000), 2);
    }

    #[test]
    fn malformed_ciphertexts_are_not_decrypted() {
        let signature = sign(7);
        let mut framed = vec![0; POINT];
        framed.extend(PREFIX);
        framed.extend([0; HASH]);
        framed.extend(PREFIX);
        framed.extend([0; HASH]);
        for bytes in
            [vec![], vec![0; POINT], vec![0xff; 200], framed.clone(), [&framed[..], &[0xff; 24]].concat()]
        {
            assert_eq!(decrypt(&bytes, &signature), None, "{} bytes", bytes.len());
        }
    }
}
