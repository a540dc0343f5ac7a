//! Reads key files of Bittensor's wallets, as `btcli` and its SDK write them: JSON, plain or encrypted.
//!
//! Source of the format: PyPI `bittensor-wallet` 4.1.1. A file may come from elsewhere and hold any
//! bytes. The result is always a [`KeyFile`] or a [`KeyFileError`], and the error repeats no part of
//! the file.
//!
//! ```
//! use base::key_file::{Contents, KeyFile};
//!
//! let file = br#"{"ss58Address": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"}"#;
//! let Contents::Plain(file) = KeyFile::read(file)? else { panic!("it is not encrypted") };
//! assert_eq!(file.account()?.to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
//! assert!(file.secrets().is_err(), "it holds a public key only");
//! # Ok::<(), base::key_file::KeyFileError>(())
//! ```

use crate::{Hotkey, Secret};
use serde::Deserialize;
use std::fmt;
use zeroize::Zeroizing;

/// Maximum number of bytes of a key file. Bittensor's have about 500.
pub const MOST_BYTES: usize = 64 << 10;
/// The first bytes of an encrypted file.
pub const SEALED_PREFIX: &[u8] = b"$NACL";
/// The first bytes of files in encryption formats that Bittensor no longer uses, with the name of each
/// format.
const OLD_FORMS: [(&[u8], &str); 2] = [(b"$ANSIBLE_VAULT", "ansible vault"), (b"gAAAAA", "fernet")];
/// The crypto type of sr25519; 0 is ed25519.
const SR25519: u8 = 1;

/// An error in the bytes of a key file, or a key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Larger than any key file.
    #[error("it is no key file: it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// Not the JSON of a key file. The JSON parser's own message is left out, since it repeats parts of
    /// the file.
    #[error("it is no key file: not the expected JSON ({kind} error at line {line}, column {column})")]
    Json {
        /// The kind of JSON error.
        kind: &'static str,
        /// The line, from 1.
        line: usize,
        /// The column in the line; 0 before its first byte.
        column: usize,
    },
    /// An invalid address.
    #[error("it is no key file: its ss58Address is no address")]
    Address,
    /// An invalid public key.
    #[error("it is no key file: its publicKey is not 32 bytes of hex")]
    PublicKey,
    /// No account: neither an address nor a public key.
    #[error("it is no key file: it states neither ss58Address nor publicKey")]
    NoAccount,
    /// Encrypted in a format that Bittensor no longer uses.
    #[error("it is encrypted in the old format {0}: convert it with `btcli wallet update`")]
    OldEncryption(&'static str),
    /// Not an sr25519 key.
    #[error("it holds a key of crypto type {0}: only sr25519 (1) is supported")]
    CryptoType(u8),
    /// A public key only.
    #[error("it holds no secret: it is a public key file; restore the key from its phrase")]
    NoSecret,
}

/// The contents of a key file.
#[derive(Debug)]
pub enum Contents<'a> {
    /// A key file that is not encrypted.
    Plain(KeyFile),
    /// The bytes after [`SEALED_PREFIX`] of a file that is encrypted with a password.
    Sealed(&'a [u8]),
}

/// A key file. Its secrets are never printed, and are wiped from memory on drop.
pub struct KeyFile {
    account: Option<Hotkey>,
    crypto_type: Option<u8>,
    secrets: Vec<KeySecret>,
}

/// A secret that a key file holds.
pub struct KeySecret {
    /// The name of its field.
    pub field: &'static str,
    /// The material of the key; `None` if the field is damaged.
    pub material: Option<Material>,
}

/// The material that a key is derived from.
pub enum Material {
    /// The words of a mnemonic phrase.
    Phrase(Secret),
    /// A seed of 32 bytes, or a secret key of 64.
    Bytes(Zeroizing<Vec<u8>>),
}

/// The JSON of a key file. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    secret_phrase: Option<Secret>,
    secret_seed: Option<Secret>,
    private_key: Option<Secret>,
    ss58_address: Option<String>,
    public_key: Option<String>,
    crypto_type: Option<u8>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({:?}, {} secrets hidden)", self.account, self.secrets.len())
    }
}

impl KeyFile {
    /// Reads a key file that may be encrypted.
    ///
    /// # Errors
    /// The bytes are no key file, or a key file in an old format.
    pub fn read(bytes: &[u8]) -> Result<Contents<'_>, KeyFileError> {
        if bytes.len() > MOST_BYTES {
            return Err(KeyFileError::TooLarge);
        }
        if let Some((_, form)) = OLD_FORMS.iter().find(|(prefix, _)| bytes.starts_with(prefix)) {
            return Err(KeyFileError::OldEncryption(form));
        }
        match bytes.strip_prefix(SEALED_PREFIX) {
            Some(sealed) => Ok(Contents::Sealed(sealed)),
            None => Self::parse(bytes).map(Contents::Plain),
        }
    }

    /// Parses a key file that is not encrypted, or that was decrypted before.
    ///
    /// # Errors
    /// The bytes are no key file.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyFileError> {
        if bytes.len() > MOST_BYTES {
            return Err(KeyFileError::TooLarge);
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|error| KeyFileError::Json {
            kind: match error.classify() {
                serde_json::error::Category::Data => "data",
                serde_json::error::Category::Eof => "end",
                _ => "syntax",
            },
            line: error.line(),
            column: error.column(),
        })?;
        let account = match (&json.ss58_address, &json.public_key) {
            (Some(address), _) => Some(address.parse().map_err(|_| KeyFileError::Address)?),
            (None, Some(public)) => Some(Hotkey(public_key(public)?)),
            (None, None) => None,
        };
        let secrets = [
            ("secretPhrase", json.secret_phrase, Material::phrase as fn(Secret) -> Option<Material>),
            ("secretSeed", json.secret_seed, Material::hex::<32>),
            ("privateKey", json.private_key, Material::hex::<64>),
        ];
        let secrets = secrets.into_iter().filter_map(|(field, secret, read)| {
            let secret = secret.filter(|secret| !secret.expose().is_empty())?;
            Some(KeySecret { field, material: read(secret) })
        });
        Ok(Self { account, crypto_type: json.crypto_type, secrets: secrets.collect() })
    }

    /// Returns the account that the file names, if it names one.
    #[must_use]
    pub fn stated(&self) -> Option<Hotkey> {
        self.account
    }

    /// Returns the account that the file names.
    ///
    /// # Errors
    /// The file names no account.
    pub fn account(&self) -> Result<Hotkey, KeyFileError> {
        self.account.ok_or(KeyFileError::NoAccount)
    }

    /// Returns its secrets, in Bittensor's own order. The key is derived from the first one that yields
    /// a key.
    ///
    /// # Errors
    /// The file holds no secret, or secrets of another kind of key.
    pub fn secrets(&self) -> Result<&[KeySecret], KeyFileError> {
        match self.crypto_type {
            Some(other) if other != SR25519 => Err(KeyFileError::CryptoType(other)),
            _ if self.secrets.is_empty() => Err(KeyFileError::NoSecret),
            _ => Ok(&self.secrets),
        }
    }
}

impl Material {
    fn phrase(text: Secret) -> Option<Self> {
        Some(Self::Phrase(text))
    }

    fn hex<const LENGTH: usize>(text: Secret) -> Option<Self> {
        let mut bytes = Zeroizing::new(vec![0; LENGTH]);
        hex::decode_to_slice(without_prefix(text.expose()), &mut bytes).ok()?;
        Some(Self::Bytes(bytes))
    }
}

fn public_key(text: &str) -> Result<[u8; 32], KeyFileError> {
    let mut account = [0; 32];
    hex::decode_to_slice(without_prefix(text), &mut account).map_err(|_| KeyFileError::PublicKey)?;
    Ok(account)
}

fn without_prefix(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    fn parse(json: &str) -> Result<KeyFile, KeyFileError> {
        KeyFile::parse(json.as_bytes())
    }

    #[test]
    fn secrets_come_in_their_order_and_are_not_shown() {
        let seed = "5e".repeat(32);
        let file =
            format!(r#"{{"privateKey": "0x{seed}{seed}", "secretSeed": "0x{seed}", "secretPhrase": ""}}"#);
        let file = parse(&file).unwrap();
        let fields: Vec<_> = file.secrets().unwrap().iter().map(|secret| secret.field).collect();
        assert_eq!(fields, ["secretSeed", "privateKey"]);
        let lengths = file.secrets().unwrap().iter().map(|secret| match &secret.material {
            Some(Material::Bytes(bytes)) => bytes.len(),
            _ => panic!("{} is of hex", secret.field),
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [32, 64]);
        assert!(!format!("{file:?}").contains("5e5e"), "{file:?}");
    }

    #[test]
    fn a_secret_that_is_no_hex_is_damaged() {
        let file = parse(r#"{"secretSeed": "0x12"}"#).unwrap();
        assert!(file.secrets().unwrap()[0].material.is_none());
    }

    #[test]
    fn a_file_may_state_its_account_in_two_ways() {
        let public = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
        for file in [format!(r#"{{"ss58Address": "{ALICE}"}}"#), format!(r#"{{"publicKey": "0x{public}"}}"#)]
        {
            assert_eq!(parse(&file).unwrap().account().unwrap().to_string(), ALICE);
        }
        assert_eq!(parse("{}").unwrap().account(), Err(KeyFileError::NoAccount));
        assert_eq!(parse("{}").unwrap().stated(), None);
    }

    proptest! {
        /// Checks that any bytes give a file or an error.
        #[test]
        fn any_bytes_are_a_file_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Contents::Sealed(sealed)) = KeyFile::read(&bytes) {
                prop_assert_eq!(sealed.len() + SEALED_PREFIX.len(), bytes.len());
            }
        }

        /// Checks fields of any text: a given secret is never lost, and never in an error.
        #[test]
        fn any_fields_are_a_file_or_refused(phrase in "\\PC{0,40}", seed in "[0-9a-fx]{0,70}", public in "[0-9a-fx]{0,70}", kind: Option<u8>) {
            let json = serde_json::json!({ "secretPhrase": phrase, "secretSeed": seed, "publicKey": public, "cryptoType": kind });
            match parse(&json.to_string()) {
                Ok(file) => match file.secrets() {
                    Ok(secrets) => {
                        let given = usize::from(!phrase.is_empty()) + usize::from(!seed.is_empty());
                        prop_assert_eq!(secrets.len(), given);
                    }
                    Err(KeyFileError::NoSecret) => prop_assert!(phrase.is_empty() && seed.is_empty()),
                    Err(error) => prop_assert_eq!(error, KeyFileError::CryptoType(kind.unwrap())),
                },
                Err(error) => prop_assert_eq!(error, KeyFileError::PublicKey),
            }
        }
    }
}
