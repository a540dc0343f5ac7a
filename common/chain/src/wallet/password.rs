//! Passwords from Bittensor's own environment variables, `BT_PW_` and the path of the key file.
//!
//! Source: PyPI `bittensor` 11.3.0 (`keyfiles.py`) and `bittensor-wallet` 4.1.1. The value is base64 of the
//! password, each byte XORed with a byte of the variable's own name. This hides the password from a glance
//! only: protect the variable like the password itself.

use std::{env::VarError, path::Path};

use base::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::WalletError;

/// Maximum number of bytes of a variable's value.
const MOST_BYTES: usize = 4096;

/// Returns the name of the environment variable in which Bittensor's tools keep the password of a key file,
/// or `None` if the path is not UTF-8.
///
/// ```
/// let path = std::path::Path::new("/home/miner/.bittensor/wallets/default/coldkey");
/// let variable = chain::wallet::password_variable(path).unwrap();
/// assert_eq!(variable, "BT_PW__HOME_MINER__BITTENSOR_WALLETS_DEFAULT_COLDKEY");
/// ```
pub fn password_variable(path: &Path) -> Option<String> {
    Some(format!("BT_PW_{}", path.to_str()?.replace(['/', '.'], "_").to_uppercase()))
}

/// A password, and the variable that holds it.
pub(super) struct FromVariable {
    pub(super) variable: String,
    pub(super) password: Secret,
}

/// Looks for the password of a key file: in the variable of the path as it is, then in that of the absolute
/// path. Empty variables count as unset.
pub(super) fn find(
    path: &Path,
    lookup: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Option<FromVariable>, WalletError> {
    let absolute = std::path::absolute(path).ok();
    for path in [Some(path), absolute.as_deref()].into_iter().flatten() {
        let Some(variable) = password_variable(path) else { continue };
        let password = match lookup(&variable).map(Zeroizing::new) {
            Ok(value) if value.is_empty() => continue,
            Ok(value) => decode(&variable, &value),
            Err(VarError::NotPresent) => continue,
            Err(VarError::NotUnicode(_)) => None,
        };
        return match password {
            Some(password) => Ok(Some(FromVariable { variable, password })),
            None => Err(WalletError::Variable { variable }),
        };
    }
    Ok(None)
}

/// Decodes the value of a variable of this name.
fn decode(variable: &str, value: &str) -> Option<Secret> {
    if value.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new(STANDARD.decode(value.trim()).ok()?);
    for (byte, key) in bytes.iter_mut().zip(variable.bytes().cycle()) {
        *byte ^= key;
    }
    std::str::from_utf8(&bytes).ok().filter(|password| !password.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables that `save_password_to_environment` of PyPI `bittensor` 11.3.0 wrote, for the password
    /// "correct horse".
    const GOLDEN: [(&str, &str, &str); 3] = [
        (
            "/home/miner/.bittensor/wallets/default/coldkey",
            "BT_PW__HOME_MINER__BITTENSOR_WALLETS_DEFAULT_COLDKEY",
            "ITstIjI8K2gnIjcsKA==",
        ),
        (
            "/home/miner/.bittensor/wallets/my-wallet.1/hotkeys/Hot",
            "BT_PW__HOME_MINER__BITTENSOR_WALLETS_MY-WALLET_1_HOTKEYS_HOT",
            "ITstIjI8K2gnIjcsKA==",
        ),
        ("wallets/default/coldkey", "BT_PW_WALLETS_DEFAULT_COLDKEY", "ITstIjI8I2EkIzcnNg=="),
    ];

    fn only(name: &str, value: &str) -> impl Fn(&str) -> Result<String, VarError> {
        move |asked| if asked == name { Ok(value.to_owned()) } else { Err(VarError::NotPresent) }
    }

    #[test]
    fn variables_are_those_of_bittensors_tools() {
        for (path, variable, value) in GOLDEN {
            let found = find(Path::new(path), only(variable, value)).unwrap().unwrap();
            assert_eq!((found.variable.as_str(), found.password.expose()), (variable, "correct horse"));
        }
    }

    #[test]
    fn a_relative_path_is_also_looked_for_as_an_absolute_one() {
        let path = Path::new("wallets/default/coldkey");
        let variable = password_variable(&std::path::absolute(path).unwrap()).unwrap();
        let value =
            STANDARD.encode(b"x".iter().zip(variable.bytes()).map(|(a, b)| a ^ b).collect::<Vec<_>>());
        let found = find(path, only(&variable, &value)).unwrap().unwrap();
        assert_eq!((found.variable, found.password.expose()), (variable.clone(), "x"));
    }

    #[test]
    fn what_is_no_password_is_named_by_its_variable_only() {
        let (path, variable, _) = GOLDEN[0];
        let path = Path::new(path);
        assert!(find(path, |_| Err(VarError::NotPresent)).unwrap().is_none());
        assert!(find(path, only(variable, "")).unwrap().is_none(), "an empty variable is unset");
        let long = "AAAA".repeat(MOST_BYTES);
        for value in ["plain text", "/w==", "=", &long] {
            let error = find(path, only(variable, value)).err().unwrap();
            let text = format!("{error} {error:?}");
            assert!(text.contains(variable) && !text.contains(value), "{text}");
        }
    }
}
