//! The JSON of a key file.

use std::path::Path;

use common::Hotkey;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{KeyPair, Secret, WalletError};

/// What `bittensor-wallet` writes. Whatever else is in the file is of no interest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyFile {
    secret_phrase: Option<Secret>,
    secret_seed: Option<Secret>,
    private_key: Option<Secret>,
    ss58_address: Option<String>,
    public_key: Option<String>,
    crypto_type: Option<u8>,
}

/// Makes a key of a text.
type Reader = fn(&str) -> Option<KeyPair>;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl KeyFile {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, WalletError> {
        serde_json::from_slice(bytes).map_err(|error| WalletError::Malformed {
            path: path.into(),
            // The error's own text would repeat parts of the file.
            reason: format!(
                "not the expected JSON ({:?} error at line {}, column {})",
                error.classify(),
                error.line(),
                error.column()
            ),
        })
    }

    /// The key pair, checked against the account that the file states.
    ///
    /// The secret is taken from the phrase, else the seed, else the private key: Bittensor's own order.
    pub(super) fn key_pair(&self, path: &Path) -> Result<KeyPair, WalletError> {
        if let Some(crypto_type) = self.crypto_type.filter(|crypto_type| *crypto_type != 1) {
            return Err(WalletError::UnsupportedKey { path: path.into(), crypto_type });
        }
        let key = self.secret(path)?;
        match self.stated(path)? {
            Some(stated) if stated != key.hotkey() => {
                Err(WalletError::Mismatch { path: path.into(), stated, found: key.hotkey() })
            }
            _ => Ok(key),
        }
    }

    /// The account that the file states.
    pub(super) fn account(&self, path: &Path) -> Result<Hotkey, WalletError> {
        self.stated(path)?.ok_or_else(|| WalletError::Malformed {
            path: path.into(),
            reason: "it states neither ss58Address nor publicKey".into(),
        })
    }

    fn secret(&self, path: &Path) -> Result<KeyPair, WalletError> {
        let mut damaged = None;
        let sources: [(&'static str, &Option<Secret>, Reader); 3] = [
            ("secretPhrase", &self.secret_phrase, KeyPair::from_phrase),
            ("secretSeed", &self.secret_seed, from_hex::<32>),
            ("privateKey", &self.private_key, from_hex::<64>),
        ];
        for (field, secret, read) in sources {
            let Some(text) = secret.as_ref().map(Secret::expose).filter(|text| !text.is_empty()) else {
                continue;
            };
            match read(text) {
                Some(key) => return Ok(key),
                // Some versions of the reference write seeds that they cannot read themselves.
                None => damaged = damaged.or(Some(field)),
            }
        }
        Err(match damaged {
            Some(field) => WalletError::BadSecret { path: path.into(), field },
            None => WalletError::NoSecret { path: path.into() },
        })
    }

    fn stated(&self, path: &Path) -> Result<Option<Hotkey>, WalletError> {
        let malformed = |reason: String| WalletError::Malformed { path: path.into(), reason };
        if let Some(address) = &self.ss58_address {
            return address.parse().map(Some).map_err(|_| malformed("its ss58Address is no address".into()));
        }
        let Some(public) = &self.public_key else { return Ok(None) };
        let mut account = [0; 32];
        hex::decode_to_slice(public.trim_start_matches("0x"), &mut account)
            .map_err(|_| malformed("its publicKey is not 32 bytes of hex".into()))?;
        Ok(Some(Hotkey(account)))
    }
}

fn from_hex<const LENGTH: usize>(text: &str) -> Option<KeyPair> {
    let mut bytes = Zeroizing::new([0u8; LENGTH]);
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes[..]).ok()?;
    KeyPair::from_secret(&bytes[..])
}
