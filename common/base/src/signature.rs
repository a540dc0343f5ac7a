//! Signatures on objects: sr25519 over a digest, under a context that names the kind of object.

use crate::Hotkey;
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, SecretKey};
use std::fmt;

/// An sr25519 signature. Signing is randomized, so hashes of objects leave it out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// Bytes of a [`Signature`].
pub const SIGNATURE_BYTES: usize = 64;

/// The secret key of a hotkey or of a session key.
pub struct SigningKey(Keypair);

/// An error in a signature or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A hotkey that is not a point of the curve, so no signature of it can exist.
    #[error("hotkey {0} is not an sr25519 public key")]
    Key(Hotkey),
    /// Bytes that are no signature.
    #[error("the signature of {0} is malformed")]
    Malformed(Hotkey),
    /// A signature by another key, or of another context or digest.
    #[error("the signature is not one of {0} over this object")]
    Wrong(Hotkey),
    /// Bytes that are no secret key.
    #[error("the secret key is malformed")]
    Secret,
}

impl SigningKey {
    /// Creates a key from the 64 bytes that sp-core and Bittensor's wallets store.
    ///
    /// # Errors
    /// The bytes are no secret key.
    pub fn from_bytes(secret: &[u8; 64]) -> Result<Self, SignatureError> {
        let secret = SecretKey::from_bytes(secret).map_err(|_| SignatureError::Secret)?;
        Ok(Self(secret.to_keypair()))
    }

    /// Derives the key of a seed, as sp-core does (`MiniSecretKey` in the Ed25519 expansion).
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let seed = MiniSecretKey::from_bytes(seed).expect("32 bytes are a seed");
        Self(seed.expand_to_keypair(ExpansionMode::Ed25519))
    }

    /// Returns the public key.
    #[must_use]
    pub fn hotkey(&self) -> Hotkey {
        Hotkey(self.0.public.to_bytes())
    }

    /// Signs a digest. The nonce takes the operating system's randomness.
    #[must_use]
    pub fn sign(&self, context: &'static str, digest: &[u8; 32]) -> Signature {
        Signature(self.0.sign_simple(context.as_bytes(), digest).to_bytes())
    }
}

impl Signature {
    /// Checks the signature of `hotkey` over a digest.
    ///
    /// # Errors
    /// The signature is wrong or malformed, or the hotkey is no public key.
    pub fn verify(
        &self,
        hotkey: Hotkey,
        context: &'static str,
        digest: &[u8; 32],
    ) -> Result<(), SignatureError> {
        let key = PublicKey::from_bytes(hotkey.as_bytes()).map_err(|_| SignatureError::Key(hotkey))?;
        let signature =
            schnorrkel::Signature::from_bytes(&self.0).map_err(|_| SignatureError::Malformed(hotkey))?;
        key.verify_simple(context.as_bytes(), digest, &signature).map_err(|_| SignatureError::Wrong(hotkey))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.hotkey())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests;
