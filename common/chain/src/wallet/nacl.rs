//! Encrypts and decrypts key files as Bittensor does. The format: `$NACL`, a nonce, and a secret box with a
//! key from the password.
//!
//! Source: PyPI `bittensor-wallet` 4.1.1. The key is Argon2i (version 1.3) of the password with a fixed
//! salt. The box is XSalsa20-Poly1305, libsodium's `crypto_secretbox`.

use argon2::{Algorithm, Argon2, Params, Version};
use base::{Secret, key_file::SEALED_PREFIX};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use rand::TryRngCore as _;
use zeroize::Zeroizing;

const SALT: [u8; 16] =
    [0x13, 0x71, 0x83, 0xdf, 0xf1, 0x5a, 0x09, 0xbc, 0x9c, 0x90, 0xb5, 0x51, 0x87, 0x39, 0xe9, 0xb1];
const NONCE: usize = 24;

/// The cost of deriving the key.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// libsodium's `SENSITIVE`, which Bittensor uses: 512 MiB, 8 passes.
    pub(super) const BITTENSOR: Self = Self { memory_kib: 512 << 10, passes: 8 };
}

/// Encrypts the text of a key file. Returns the bytes of the encrypted file.
pub(super) fn seal(plain: &[u8], password: &Secret, cost: Cost) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rand::rngs::OsRng.try_fill_bytes(&mut nonce).expect("the operating system has random numbers");
    let key = key(password, cost).expect("the costs are valid, and no password has 4 GiB");
    let cipher = XSalsa20Poly1305::new((&*key).into());
    let sealed = cipher.encrypt(&nonce.into(), plain).expect("a key file is short enough for one box");
    [SEALED_PREFIX, &nonce, &sealed].concat()
}

/// Decrypts the bytes after [`SEALED_PREFIX`]. Returns `None` if the password is wrong or the bytes are
/// damaged.
pub(super) fn open(sealed: &[u8], password: &Secret, cost: Cost) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    let key = key(password, cost)?;
    let cipher = XSalsa20Poly1305::new((&*key).into());
    cipher.decrypt(&nonce.into(), sealed).ok().map(Zeroizing::new)
}

fn key(password: &Secret, cost: Cost) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(key.len())).ok()?;
    Argon2::new(Algorithm::Argon2i, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), &SALT, &mut key[..])
        .ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cost that is low enough for a test. The test of a real wallet uses the full cost.
    const CHEAP: Cost = Cost { memory_kib: 64, passes: 3 };

    fn seal(plain: &[u8], password: &Secret) -> Vec<u8> {
        let file = super::seal(plain, password, CHEAP);
        file.strip_prefix(SEALED_PREFIX).unwrap().to_vec()
    }

    #[test]
    fn each_file_has_its_own_nonce() {
        let password = Secret::new("right");
        let [first, second] = [seal(b"{}", &password), seal(b"{}", &password)];
        assert_ne!(first[..NONCE], second[..NONCE]);
    }

    #[test]
    fn what_is_sealed_opens_with_its_password_only() {
        let password = Secret::new("right");
        let sealed = seal(b"{}", &password);
        assert_eq!(open(&sealed, &password, CHEAP).unwrap().as_slice(), b"{}");
        assert!(open(&sealed, &Secret::new("wrong"), CHEAP).is_none());
    }

    #[test]
    fn damaged_bytes_do_not_open() {
        let password = Secret::new("right");
        let sealed = seal(b"{}", &password);
        for length in [0, 1, NONCE, NONCE + 1, NONCE + 16, sealed.len() - 1] {
            assert!(open(&sealed[..length], &password, CHEAP).is_none(), "{length} bytes");
        }
        for at in [0, NONCE, sealed.len() - 1] {
            let mut sealed = sealed.clone();
            sealed[at] ^= 1;
            assert!(open(&sealed, &password, CHEAP).is_none(), "byte {at} flipped");
        }
    }
}
