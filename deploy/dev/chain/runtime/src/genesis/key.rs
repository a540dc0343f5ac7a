//! The keys in a genesis: accounts by address or by development path.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sp_core::{
    Pair as _,
    crypto::{AccountId32, DEV_PHRASE, DeriveError, PublicError, SecretStringError, SecretUri, Ss58Codec},
    sr25519,
};
use std::{fmt, str::FromStr, sync::LazyLock};

/// An account: an SS58 address, or the path of a development key such as `//Alice//hotkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: String,
    account: AccountId32,
}

/// The error of a text that does not name an account.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is neither an SS58 address nor the path of a development key such as //Alice: {why}")]
pub struct KeyError {
    name: String,
    why: KeyProblem,
}

/// The reason why a text does not name an account.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum KeyProblem {
    #[error("development keys have no password")]
    Password,
    #[error("{0:?}")]
    Path(SecretStringError),
    #[error("{0:?}")]
    Derivation(DeriveError),
    #[error("{0:?}")]
    Address(PublicError),
}

impl Key {
    /// Returns the account's public key.
    #[must_use]
    pub fn account(&self) -> &AccountId32 {
        &self.account
    }

    /// Returns the development key of a path that is known to be valid.
    pub(super) fn dev(path: &str) -> Self {
        path.parse().expect("a path of hard junctions names a development key")
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let refuse = |why| KeyError { name: name.chars().take(64).collect(), why };
        let account = if name.starts_with("//") {
            // Accept only a path, so that no secret phrase can end up in a genesis file.
            development(name).map_err(refuse)?
        } else {
            AccountId32::from_ss58check(name).map_err(|error| refuse(KeyProblem::Address(error)))?
        };
        Ok(Self { name: name.to_owned(), account })
    }
}

/// Returns the account at a path below the development phrase.
fn development(path: &str) -> Result<AccountId32, KeyProblem> {
    /// The root key. Deriving it from its phrase takes milliseconds, and a genesis file may name
    /// hundreds of keys.
    static ROOT: LazyLock<sr25519::Pair> = LazyLock::new(|| {
        sr25519::Pair::from_phrase(DEV_PHRASE, None).expect("the development phrase is a phrase").0
    });
    if path.contains("///") {
        return Err(KeyProblem::Password);
    }
    let SecretUri { junctions, .. } = path.parse().map_err(KeyProblem::Path)?;
    let (pair, _) = ROOT.derive(junctions.into_iter(), None).map_err(KeyProblem::Derivation)?;
    Ok(pair.public().into())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_name_accounts() {
        let path: Key = "//Alice".parse().unwrap();
        let address: Key = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".parse().unwrap();
        assert_eq!(path.account(), address.account());
        assert_eq!(path.to_string(), "//Alice");
        let child = sr25519::Pair::from_string("//Alice//hotkey/1", None).unwrap().public();
        assert_eq!("//Alice//hotkey/1".parse::<Key>().unwrap().account(), &child.into());
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        for text in
            ["", "Alice", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", "//Alice/", "//Alice///pass"]
        {
            match text.parse::<Key>() {
                Err(error) => {
                    assert!(error.to_string().starts_with(&format!("'{text}' is neither")), "{error}")
                }
                Ok(key) => panic!("{text} names {:?}", key.account()),
            }
        }
    }
}
