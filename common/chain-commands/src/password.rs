//! Passwords of keys: from a file, from the environment, or from the terminal. Never from a flag's value,
//! which other users can see.

use base::Secret;
use chain::wallet::{KeyPair, WalletError, password_variable};
use clap::Args;
use std::{
    env::VarError,
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

/// The environment variable of the coldkey's password.
pub const COLDKEY_PASSWORD: &str = "MUSTER_COLDKEY_PASSWORD";
/// The environment variable of the hotkey's password.
pub const HOTKEY_PASSWORD: &str = "MUSTER_HOTKEY_PASSWORD";

/// The largest size of a file with a secret, in bytes.
const MOST_SECRET: usize = 4096;

/// The flag of a password.
#[derive(Clone, Debug, Default, Args)]
pub struct PasswordFlags {
    /// Read the key's password from this file: one line.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// An error in the password of a key.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The key cannot be opened.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A password that cannot be read from the terminal.
    #[error("cannot read the password from the terminal (set {variable} instead)")]
    Terminal {
        /// The environment variable.
        variable: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// An encrypted key, without a password or a terminal to ask for it.
    #[error(
        "{} is encrypted: set {variable} to its password, name a file with it (--password-file), or run this in a \
         terminal to be asked for it",
        path.display()
    )]
    Needed {
        /// The key file.
        path: PathBuf,
        /// The environment variable.
        variable: &'static str,
    },
    /// A key to encrypt, without a password or a terminal to ask for it.
    #[error(
        "there is no password to encrypt {} with: set {variable} to it, name a file with it (--password-file), run \
         this in a terminal to be asked for it, or write the key without encryption (--plain)",
        path.display()
    )]
    NoneToEncrypt {
        /// The key file.
        path: PathBuf,
        /// The environment variable.
        variable: &'static str,
    },
    /// Two different passwords were typed.
    #[error("the two passwords differ: nothing was written, run the command again")]
    Differ,
    /// An empty password was typed.
    #[error(
        "the password is empty: nothing was written, type one, or write the key without encryption (--plain)"
    )]
    Empty,
    /// An environment variable that is not UTF-8.
    #[error("{0} is not UTF-8: set it to the key's password")]
    Text(&'static str),
    /// A file that holds no password.
    #[error("cannot use the password file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: SecretFileError,
    },
}

/// The reason why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read, or is not UTF-8.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// The file is empty.
    #[error("it is empty: write the secret into it")]
    Empty,
    /// The file holds more than a secret.
    #[error("it holds more than one line: write the secret alone into it")]
    Lines,
}

/// Returns the only line of a file, without the white space around it.
///
/// # Errors
/// The file cannot be read, or does not hold exactly one line of text.
pub fn secret_file(path: &Path) -> Result<Secret, SecretFileError> {
    let text = read_text(File::open(path)?)?;
    match text.expose().trim() {
        "" => Err(SecretFileError::Empty),
        secret if secret.lines().count() > 1 => Err(SecretFileError::Lines),
        secret => Ok(Secret::new(secret)),
    }
}

/// Reads a short text with a secret.
pub(crate) fn read_text(from: impl io::Read) -> Result<Secret, SecretFileError> {
    // Allocate the full size at once: growing would leave copies of the secret in memory.
    let mut text = String::with_capacity(MOST_SECRET + 1);
    let read = from.take(MOST_SECRET as u64 + 1).read_to_string(&mut text);
    let text = Secret::new(text);
    read?;
    if text.expose().len() > MOST_SECRET { Err(SecretFileError::Lines) } else { Ok(text) }
}

impl PasswordFlags {
    /// Returns the password that is given: in the file, else in the environment variable of this name.
    ///
    /// # Errors
    /// The file or the variable holds no password.
    pub fn given(&self, variable: &'static str) -> Result<Option<Secret>, PasswordError> {
        if let Some(path) = &self.password_file {
            let password = secret_file(path);
            return password.map(Some).map_err(|source| PasswordError::File { path: path.clone(), source });
        }
        match std::env::var(variable) {
            Ok(password) if password.is_empty() => Ok(None),
            Ok(password) => Ok(Some(Secret::new(password))),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(PasswordError::Text(variable)),
        }
    }
}

/// Opens a key: with the given password, with that of Bittensor's variable, or with one that is typed in a
/// terminal. `variable` is named to users that gave none.
///
/// # Errors
/// The key cannot be read, or its password is missing or wrong.
pub fn open_key(
    given: Option<&Secret>,
    variable: &'static str,
    open: impl Fn(Option<&Secret>) -> Result<KeyPair, WalletError>,
) -> Result<KeyPair, PasswordError> {
    match open(given) {
        Err(WalletError::NeedsPassword { path }) => {
            let prompt = format!("Password of {}: ", path.display());
            let typed = ask_password(&prompt, variable)?.ok_or(PasswordError::Needed { path, variable })?;
            Ok(open(Some(&typed))?)
        }
        opened => Ok(opened?),
    }
}

/// Returns the password to encrypt a new key with: the given one, or one that is typed twice in a terminal.
pub(crate) fn new_password(
    flags: &PasswordFlags,
    variable: &'static str,
    path: &Path,
) -> Result<Secret, PasswordError> {
    if let Some(given) = flags.given(variable)? {
        return Ok(given);
    }
    let prompt = format!("Password to encrypt {} with: ", path.display());
    let first = ask_password(&prompt, variable)?;
    let first = first.ok_or_else(|| PasswordError::NoneToEncrypt { path: path.to_owned(), variable })?;
    if first.expose().is_empty() {
        return Err(PasswordError::Empty);
    }
    let second = ask_password("The same password again: ", variable)?;
    if second.as_ref() == Some(&first) { Ok(first) } else { Err(PasswordError::Differ) }
}

fn ask_password(prompt: &str, variable: &'static str) -> Result<Option<Secret>, PasswordError> {
    ask(prompt).map_err(|source| PasswordError::Terminal { variable, source })
}

/// Asks for a secret in a terminal, without showing what is typed. Returns `None` if there is no terminal.
pub(crate) fn ask(prompt: &str) -> io::Result<Option<Secret>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    rpassword::prompt_password(prompt).map(|typed| Some(Secret::new(typed)))
}

/// Returns the variable in which all of Bittensor's tools look for the password of a key file.
pub(crate) fn shared_variable(path: &Path) -> Option<String> {
    password_variable(&std::path::absolute(path).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, fs};

    #[test]
    fn a_secret_file_holds_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        assert!(matches!(secret_file(&path), Err(SecretFileError::Unreadable(_))));
        let with = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            secret_file(&path)
        };
        assert_eq!(with(b" correct horse\r\n").unwrap().expose(), "correct horse");
        assert!(matches!(with(b" \n"), Err(SecretFileError::Empty)));
        assert!(matches!(with(b"correct\nhorse"), Err(SecretFileError::Lines)));
        assert!(matches!(with(&[b'x'; MOST_SECRET + 1]), Err(SecretFileError::Lines)));
        assert!(matches!(with(b"\xff"), Err(SecretFileError::Unreadable(_))));
        assert_eq!(with(&[b'x'; MOST_SECRET]).unwrap().expose().len(), MOST_SECRET);
    }

    #[test]
    fn a_file_is_preferred_and_named_if_it_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let flags = PasswordFlags { password_file: Some(path.clone()) };
        let error = flags.given("PATH").unwrap_err();
        assert!(error.to_string().ends_with("password"), "{error}");
        fs::write(&path, "x").unwrap();
        assert_eq!(flags.given("PATH").unwrap().unwrap().expose(), "x");
        // Any variable that is set serves here.
        let variable = PasswordFlags::default().given("PATH").unwrap().unwrap();
        assert_eq!(variable.expose(), std::env::var("PATH").unwrap());
        assert!(PasswordFlags::default().given("MUSTER_NO_SUCH_VARIABLE").unwrap().is_none());
    }

    #[test]
    fn a_key_is_opened_with_the_given_password_and_wrong_ones_are_not_asked_for_again() {
        let alice = KeyPair::development("//Alice").unwrap();
        let given = Secret::new("x");
        let open = |password: Option<&Secret>| {
            assert_eq!(password, Some(&given));
            Ok(alice.clone())
        };
        assert_eq!(open_key(Some(&given), HOTKEY_PASSWORD, open).unwrap().hotkey(), alice.hotkey());
        let tries = Cell::new(0);
        let wrong = |_: Option<&Secret>| {
            tries.set(tries.get() + 1);
            Err(WalletError::WrongPassword { path: "key".into(), variable: None })
        };
        let error = open_key(Some(&given), HOTKEY_PASSWORD, wrong).unwrap_err();
        assert_eq!((error.to_string().as_str(), tries.get()), ("the password does not open key", 1));
    }
}
