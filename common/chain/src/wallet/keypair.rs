//! A key pair for signing.

use base::{Coldkey, Hotkey, key_file::Material, signature::SigningKey};
use sp_core::{Pair, sr25519};
use subxt::{
    SubstrateConfig,
    tx::Signer,
    utils::{AccountId32, MultiSignature},
};

use super::{Phrase, WalletError};
use zeroize::{Zeroize as _, Zeroizing};

/// An sr25519 key pair of a hotkey or a coldkey. Its secret is never printed, and `schnorrkel` wipes it from
/// memory when the pair is dropped.
#[derive(Clone)]
pub struct KeyPair(sr25519::Pair);

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({}, secret hidden)", self.hotkey())
    }
}

impl KeyPair {
    /// Creates the key of a development chain's well-known secret, like `//Alice`. The secret is public, so
    /// use the key on networks without value only, and only if the user has asked for it.
    pub fn development(uri: &str) -> Result<Self, WalletError> {
        if !uri.starts_with("//") {
            return Err(WalletError::NotADevelopmentKey(uri.chars().take(80).collect()));
        }
        sr25519::Pair::from_string(uri, None)
            .map(Self)
            .map_err(|_| WalletError::NotADevelopmentKey(uri.chars().take(80).collect()))
    }

    /// Creates the key of a phrase of 12 to 24 words, as Bittensor's wallets derive it (no password), of a
    /// seed or of a secret key.
    pub(super) fn of(material: &Material) -> Option<Self> {
        let pair = match material {
            Material::Phrase(phrase) => sr25519::Pair::from_phrase(phrase.expose(), None).ok()?.0,
            Material::Bytes(bytes) => sr25519::Pair::from_seed_slice(bytes).ok()?,
        };
        Some(Self(pair))
    }

    /// Creates the key of a phrase, as Bittensor's wallets derive it (no password), and the seed of 32 bytes
    /// between the two.
    pub(super) fn of_phrase(phrase: &Phrase) -> (Self, Zeroizing<[u8; 32]>) {
        let derived = sr25519::Pair::from_phrase(phrase.expose(), None);
        let (pair, seed) = derived.expect("a phrase is checked when it is made");
        (Self(pair), Zeroizing::new(seed))
    }

    /// Returns the 64 bytes of the secret key.
    pub(super) fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_raw_vec())
    }

    /// Returns the public key. It is the account id.
    pub fn public(&self) -> [u8; 32] {
        self.0.public().0
    }

    /// Returns the same key for signing objects.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        let mut secret = [0; 64];
        let bytes = self.secret_bytes();
        secret.copy_from_slice(&bytes);
        let key =
            SigningKey::from_bytes(&secret).expect("an sr25519 pair keeps the 64 bytes of its secret key");
        secret.zeroize();
        key
    }

    /// Returns the account as a hotkey.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey(self.public())
    }

    /// Returns the account as a coldkey.
    pub fn coldkey(&self) -> Coldkey {
        Coldkey(self.public())
    }
}

impl Signer<SubstrateConfig> for KeyPair {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.public())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_keys_are_the_known_ones() {
        let alice = KeyPair::development("//Alice").unwrap();
        assert_eq!(alice.hotkey().to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        assert!(KeyPair::development("Alice").is_err());
        assert!(
            KeyPair::development("bottom drive obey lake curtain smoke basket hold race lonely fit walk")
                .is_err()
        );
    }

    #[test]
    fn a_signature_verifies() {
        let alice = KeyPair::development("//Alice").unwrap();
        let MultiSignature::Sr25519(signature) = alice.sign(b"payload") else {
            panic!("another kind of signature")
        };
        let signature = sr25519::Signature::from(signature);
        assert!(sr25519::Pair::verify(&signature, b"payload", &sr25519::Public::from(alice.public())));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let alice = KeyPair::development("//Alice").unwrap();
        let printed = format!("{alice:?} {alice:#?}");
        let secret = hex::encode(alice.0.to_raw_vec());
        assert!(printed.contains("secret hidden") && !printed.contains(&secret[..16]), "{printed}");
    }
}
