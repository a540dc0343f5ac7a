//! Encodes and signs calls, for benches and for tests that need no client. The real client is the crate
//! `chain`.
//!
//! The layout follows extrinsic format 4 and the transaction extensions of Subtensor spec 461.
//! (CheckMortality, CheckNonce, ChargeTransactionPayment and CheckMetadataHash carry bytes; the other
//! extensions carry no bytes.) It is written out here and not taken from the runtime's types. So
//! signing here and checking there are independent.

use parity_scale_codec::{Compact, Encode};
use sp_core::{Pair, crypto::AccountId32, sr25519};
use sp_crypto_hashing::blake2_256;
use sp_runtime::generic::Era;

use crate::store::{Extrinsic, Hash};

/// The indices of the pallets.
const SYSTEM: u8 = 0;
const SUBTENSOR_MODULE: u8 = 7;
const COMMITMENTS: u8 = 18;

/// The terms that a signature covers besides the call.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The chain's genesis hash.
    pub genesis: Hash,
    /// The nonce of the signer's account.
    pub nonce: u32,
    /// The range of blocks in which the transaction is valid.
    pub era: Era,
    /// The hash of the block in which `era` begins; the genesis hash for an immortal transaction.
    pub era_start: Hash,
}

impl Terms {
    /// Creates terms for a transaction that never expires.
    pub fn immortal(genesis: Hash, nonce: u32) -> Self {
        Self { genesis, nonce, era: Era::Immortal, era_start: genesis }
    }
}

/// Creates the signed extrinsic that carries `call`, a SCALE-encoded `RuntimeCall`.
pub fn sign(call: &[u8], signer: &sr25519::Pair, terms: &Terms) -> Extrinsic {
    const TIP: Compact<u64> = Compact(0);
    const NO_METADATA_HASH: u8 = 0;
    const SIGNED_VERSION_4: u8 = 0x84;
    const ADDRESS_IS_ACCOUNT: u8 = 0;
    const SIGNATURE_IS_SR25519: u8 = 1;

    let carried = (terms.era, Compact(terms.nonce), TIP, NO_METADATA_HASH).encode();
    let version = devchain_runtime::VERSION;
    let versions = (version.spec_version, version.transaction_version);
    let implied = (versions, terms.genesis, terms.era_start, NO_METADATA_HASH).encode();
    let payload = [call, &carried, &implied].concat();
    let signature =
        if payload.len() > 256 { signer.sign(&blake2_256(&payload)) } else { signer.sign(&payload) };

    let head = (SIGNED_VERSION_4, ADDRESS_IS_ACCOUNT, signer.public(), SIGNATURE_IS_SR25519, signature);
    [head.encode(), carried, call.to_vec()].concat().encode()
}

/// Encodes the call `SubtensorModule.burned_register`. The coldkey signs it.
pub fn burned_register(netuid: u16, hotkey: &AccountId32) -> Vec<u8> {
    (SUBTENSOR_MODULE, 7_u8, netuid, hotkey).encode()
}

/// Encodes the call `SubtensorModule.set_weights`. The hotkey signs it.
pub fn set_weights(netuid: u16, uids: &[u16], weights: &[u16], version_key: u64) -> Vec<u8> {
    (SUBTENSOR_MODULE, 0_u8, netuid, uids, weights, version_key).encode()
}

/// Encodes the call `Commitments.set_commitment` with one field. Only the first 128 of `bytes` are
/// used. The hotkey signs it.
pub fn set_commitment(netuid: u16, bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(128)];
    let raw = 1 + bytes.len() as u8; // The variants Raw0 to Raw128 of `Data` have the indices 1 to 129.
    let fields = [&Compact(1_u32).encode()[..], &[raw], bytes].concat();
    [(COMMITMENTS, 0_u8, netuid).encode(), fields].concat()
}

/// Encodes the call `System.remark`. The account that pays for it signs it.
pub fn remark(bytes: &[u8]) -> Vec<u8> {
    (SYSTEM, 0_u8, bytes).encode()
}
