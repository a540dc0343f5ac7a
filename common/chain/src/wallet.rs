//! Bittensor's wallets: folders of key files, as `btcli` and its SDK write them.
//!
//! ```text
//! ~/.bittensor/wallets/NAME/coldkey            the owner's secret, usually encrypted
//!                           coldkeypub.txt     the owner's public key
//!                           hotkeys/HOTKEY     a hotkey's secret, plain JSON, mode 0600
//! ```
//!
//! [`Wallet::hotkey`] and [`Wallet::coldkey`] read a key, [`Wallet::write`] makes the files of a key from
//! its [`Phrase`], and [`Wallet::overview`] tells about all files without a password. The password of an
//! encrypted file is given, or lies in the variable that Bittensor's tools use ([`password_variable`]).
//!
//! This module never prints secrets. The bytes of a key file, the strings taken out of it, passwords and keys
//! are wiped from memory when they are dropped. Some copies are not wiped: the JSON parser's buffer for a
//! string with escapes (no tool writes a phrase or a key with escapes), the word indices of a phrase that is
//! checked, and memory that the system has swapped out.

mod error;
mod keypair;
mod nacl;
mod overview;
mod password;
mod phrase;
mod write;

use std::{
    env::VarError,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base::{
    Coldkey, Hotkey, Secret,
    key_file::{Contents, KeyFile, KeyFileError, MOST_BYTES},
};
use zeroize::Zeroizing;

pub use error::WalletError;
pub use keypair::KeyPair;
pub use overview::{KeyForm, KeyOverview, WalletOverview};
pub use password::password_variable;
pub use phrase::{Phrase, PhraseError, WordCount};
pub use write::{Existing, WalletKey};

/// The end of the names of hotkeys' public files.
const PUBLIC: &str = "pub.txt";

/// A wallet: one coldkey and its hotkeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    folder: PathBuf,
}

impl Wallet {
    /// Returns the folder in which Bittensor keeps wallets: `.bittensor/wallets` in the user's home folder.
    pub fn default_root(home: &Path) -> PathBuf {
        home.join(".bittensor").join("wallets")
    }

    /// Opens the wallet of this name. Reads nothing yet.
    pub fn new(root: &Path, name: &str) -> Result<Self, WalletError> {
        Ok(Self { folder: root.join(plain_name(name)?) })
    }

    /// Returns the folder of the wallet.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a hotkey. An encrypted file needs the password, see [`coldkey`](Self::coldkey).
    pub fn hotkey(&self, name: &str, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
        self.key(WalletKey::Hotkey(name), password)
    }

    /// Reads a hotkey's account from its public file `hotkeys/NAMEpub.txt`, or from the hotkey's own file if
    /// there is no public file.
    pub fn hotkey_public(&self, name: &str) -> Result<Hotkey, WalletError> {
        self.account(WalletKey::Hotkey(name))
    }

    /// Reads the coldkey. An encrypted file needs the password: the given one, or that of Bittensor's
    /// environment variable. The decryption takes a few seconds and 512 MiB of memory (Bittensor's
    /// parameters), so call this on a separate thread.
    pub fn coldkey(&self, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
        self.key(WalletKey::Coldkey, password)
    }

    /// Reads the coldkey's account from its public file `coldkeypub.txt`, or from the coldkey's own file if
    /// there is no public file.
    pub fn coldkey_public(&self) -> Result<Coldkey, WalletError> {
        Ok(Coldkey(self.account(WalletKey::Coldkey)?.0))
    }

    /// Returns the path of a key's file.
    pub fn path(&self, key: WalletKey<'_>) -> Result<PathBuf, WalletError> {
        Ok(match key {
            WalletKey::Coldkey => self.folder.join("coldkey"),
            WalletKey::Hotkey(name) => self.folder.join("hotkeys").join(plain_name(name)?),
        })
    }

    /// Returns the path of the public file of a key.
    pub fn public_path(&self, key: WalletKey<'_>) -> Result<PathBuf, WalletError> {
        Ok(match key {
            WalletKey::Coldkey => self.folder.join("coldkeypub.txt"),
            WalletKey::Hotkey(name) => {
                self.folder.join("hotkeys").join(format!("{}{PUBLIC}", plain_name(name)?))
            }
        })
    }

    fn key(&self, key: WalletKey<'_>, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
        let path = self.path(key)?;
        let bytes = read(&path, key.kind(), Access::Secret)?;
        open(&path, &bytes, password, |variable| std::env::var(variable))
    }

    fn account(&self, key: WalletKey<'_>) -> Result<Hotkey, WalletError> {
        let path = self.public_path(key)?;
        match read(&path, key.public_kind(), Access::Public) {
            Ok(bytes) => account(&path, &bytes),
            Err(WalletError::Missing { .. }) => {
                let path = self.path(key)?;
                let bytes = read(&path, key.kind(), Access::Secret)?;
                Ok(open(&path, &bytes, None, |_| Err(VarError::NotPresent))?.hotkey())
            }
            Err(error) => Err(error),
        }
    }
}

fn plain_name(name: &str) -> Result<&str, WalletError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(WalletError::BadName(name.chars().take(80).collect())),
    }
}

/// Returns the account that a public key file states.
fn account(path: &Path, bytes: &[u8]) -> Result<Hotkey, WalletError> {
    KeyFile::parse(bytes).and_then(|file| file.account()).map_err(in_file(path))
}

/// Decodes a key file's bytes, and decrypts them if necessary: with the given password, or with that of
/// Bittensor's variable.
fn open(
    path: &Path,
    bytes: &[u8],
    given: Option<&Secret>,
    lookup: impl Fn(&str) -> Result<String, VarError>,
) -> Result<KeyPair, WalletError> {
    let sealed = match KeyFile::read(bytes).map_err(in_file(path))? {
        Contents::Plain(file) => return key_pair(path, &file),
        Contents::Sealed(sealed) => sealed,
    };
    let (password, variable) = match given {
        Some(given) => (given.clone(), None),
        None => {
            let found = password::find(path, lookup)?;
            let found = found.ok_or_else(|| WalletError::NeedsPassword { path: path.into() })?;
            (found.password, Some(found.variable))
        }
    };
    let plain = nacl::open(sealed, &password, nacl::Cost::BITTENSOR)
        .ok_or_else(|| WalletError::WrongPassword { path: path.into(), variable })?;
    key_pair(path, &KeyFile::parse(&plain).map_err(in_file(path))?)
}

/// Returns the key of a file's secrets, after a check against the account that the file states.
fn key_pair(path: &Path, file: &KeyFile) -> Result<KeyPair, WalletError> {
    let secrets = file.secrets().map_err(in_file(path))?;
    // Some versions of `bittensor-wallet` write seeds that they cannot read themselves. The next secret may
    // work.
    let key = secrets.iter().find_map(|secret| KeyPair::of(secret.material.as_ref()?));
    let key = key.ok_or_else(|| WalletError::BadSecret { path: path.into(), field: secrets[0].field })?;
    match file.stated() {
        Some(stated) if stated != key.hotkey() => {
            Err(WalletError::Mismatch { path: path.into(), stated, found: key.hotkey() })
        }
        _ => Ok(key),
    }
}

fn in_file(path: &Path) -> impl FnOnce(KeyFileError) -> WalletError {
    |source| WalletError::KeyFile { path: path.into(), source }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Secret,
    Public,
}

fn read(path: &Path, what: &'static str, access: Access) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            WalletError::Missing { what, path: path.into() }
        }
        _ => WalletError::Unreadable { path: path.into(), source },
    };
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    if access == Access::Secret {
        check_mode(path, &file.metadata().map_err(unreadable)?)?;
    }
    // Allocate the full size at once: growing would leave copies of the secret in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES + 1));
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), WalletError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(WalletError::Mode { path: path.into(), mode }),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), WalletError> {
    Ok(())
}

#[cfg(test)]
mod tests;
