//! Encodes and decodes SS58 addresses, the text form of Bittensor's account ids.
//!
//! An address is base58 of `prefix byte | 32 bytes of account id | 2 bytes of checksum`. The checksum
//! is the start of `blake2b-512("SS58PRE" | prefix | account id)`. Bittensor's prefix is 42
//! (`System.SS58Prefix` of its runtime).

use blake2::{Blake2b512, Digest};

/// The address prefix of Bittensor's networks.
pub const PREFIX: u8 = 42;

/// Number of bytes of an address before base58: prefix, account id, checksum.
const LENGTH: usize = 1 + 32 + 2;

/// Maximum number of characters of a text that is decoded. 35 bytes have fewer in base58.
const MAX_TEXT: usize = 64;

/// An error in a text that should be a Bittensor address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// A character that base58 does not have, or a text that is far too long.
    #[error("`{0}` is not an SS58 address: it is not base58 (an address looks like 5GrwvaEF5zXb26Fz9rcQ…)")]
    NotBase58(String),
    /// A wrong number of bytes.
    #[error("`{text}` is not an SS58 address: it has {bytes} bytes, not {LENGTH}; was it cut off?")]
    Length {
        /// The text.
        text: String,
        /// The number of bytes that it decodes to.
        bytes: usize,
    },
    /// An address of another network.
    #[error(
        "`{text}` is an address of network {prefix}; Bittensor's addresses have prefix {PREFIX} and begin with 5"
    )]
    Network {
        /// The text.
        text: String,
        /// The prefix in the address.
        prefix: u8,
    },
    /// A wrong checksum.
    #[error("`{0}` has a wrong checksum: at least one character is mistyped")]
    Checksum(String),
}

/// Returns the address of an account id.
pub fn encode(account: &[u8; 32]) -> String {
    let mut bytes = [0u8; LENGTH];
    bytes[0] = PREFIX;
    bytes[1..33].copy_from_slice(account);
    let checksum = checksum(&bytes[..33]);
    bytes[33..].copy_from_slice(&checksum);
    bs58::encode(bytes).into_string()
}

/// Decodes an address into its account id.
pub fn decode(text: &str) -> Result<[u8; 32], ParseAddressError> {
    let not_base58 = || ParseAddressError::NotBase58(text.chars().take(MAX_TEXT).collect());
    if text.len() > MAX_TEXT {
        return Err(not_base58());
    }
    let bytes = bs58::decode(text).into_vec().map_err(|_| not_base58())?;
    let Ok(bytes) = <[u8; LENGTH]>::try_from(bytes.as_slice()) else {
        return Err(ParseAddressError::Length { text: text.into(), bytes: bytes.len() });
    };
    if checksum(&bytes[..33]) != bytes[33..] {
        return Err(ParseAddressError::Checksum(text.into()));
    }
    if bytes[0] != PREFIX {
        return Err(ParseAddressError::Network { text: text.into(), prefix: bytes[0] });
    }
    let mut account = [0u8; 32];
    account.copy_from_slice(&bytes[1..33]);
    Ok(account)
}

fn checksum(prefixed: &[u8]) -> [u8; 2] {
    let hash = Blake2b512::new().chain_update(b"SS58PRE").chain_update(prefixed).finalize();
    [hash[0], hash[1]]
}

#[cfg(test)]
mod tests;
