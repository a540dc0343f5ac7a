//! The key that signs objects.

use base::signature::SigningKey;
use chain::wallet::KeyPair;

/// Returns a hotkey's key for signing submissions and score logs.
#[must_use]
pub fn signing_key(key: &KeyPair) -> SigningKey {
    key.signing_key()
}
