//! Bittensor's wallets: folders of key files, as `btcli` and its SDK write them.
//!
//! ```text
//! ~/.bittensor/wallets/NAME/coldkey            the owner's secret, usually encrypted
//!                           coldkeypub.txt     the owner's public key
//!                           hotkeys/HOTKEY     a hotkey's secret, plain JSON, mode 0600
//! ```
//!
//! This module only reads wallets. It never prints secrets. The bytes of a key file, the strings taken out
//! of it, passwords and keys are wiped from memory when they are dropped. Two kinds of copies are not wiped:
//! the JSON parser's buffer for a string with escapes (no tool writes a phrase or a key with escapes), and
//! memory that the system has swapped out.

mod keypair;
mod nacl;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base::{
    Coldkey, Hotkey, Secret,
    key_file::{Contents, KeyFile, KeyFileError, MOST_BYTES},
};
use zeroize::Zeroizing;

pub use keypair::KeyPair;

/// An error of reading a key from a wallet.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The name is not that of a well-known development key.
    #[error("`{0}` is not a development key: those begin with //, like //Alice")]
    NotADevelopmentKey(String),
    /// The name would lead out of the wallets' folder.
    #[error("`{0}` cannot be the name of a wallet or a hotkey: give a plain name, without slashes")]
    BadName(String),
    /// There is no such file.
    #[error("there is no {what} at {}: check the names, or create it with `btcli wallet create`", .path.display())]
    Missing {
        /// The kind of file that is missing.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
    },
    /// The operating system refuses to read the file.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Other users may read the secret.
    #[error("{} can be read by other users (mode {mode:04o}): protect it with `chmod 600 {}`", .path.display(), .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// The permissions of the file.
        mode: u32,
    },
    /// The file holds no usable key.
    #[error("cannot use {}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The fault. It repeats nothing of the file's contents.
        source: KeyFileError,
    },
    /// The file is encrypted, and no password was given.
    #[error("{} is encrypted: give its password", .path.display())]
    NeedsPassword {
        /// The file.
        path: PathBuf,
    },
    /// The password does not decrypt the file.
    #[error("the password does not open {}", .path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// The phrase, seed or private key is not a valid key.
    #[error("the {field} in {} is not a valid key: the file is damaged, restore it from the phrase", .path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// The name of the field.
        field: &'static str,
    },
    /// The secret belongs to another account than the file states.
    #[error("{} says {stated}, but its secret belongs to {found}: the file was modified, or mixed up", .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The account that the file states.
        stated: Hotkey,
        /// The account that the secret belongs to.
        found: Hotkey,
    },
}

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

    /// Reads a hotkey from its plain file.
    pub fn hotkey(&self, name: &str) -> Result<KeyPair, WalletError> {
        let path = self.folder.join("hotkeys").join(plain_name(name)?);
        let bytes = read(&path, "hotkey", Access::Secret)?;
        open(&path, bytes, None)
    }

    /// Reads a hotkey's account from its public file `hotkeys/NAMEpub.txt`, or from the hotkey's own file if
    /// there is no public file.
    pub fn hotkey_public(&self, name: &str) -> Result<Hotkey, WalletError> {
        let path = self.folder.join("hotkeys").join(format!("{}pub.txt", plain_name(name)?));
        match read(&path, "public hotkey", Access::Public) {
            Ok(bytes) => account(&path, &bytes),
            Err(WalletError::Missing { .. }) => Ok(self.hotkey(name)?.hotkey()),
            Err(error) => Err(error),
        }
    }

    /// Reads the coldkey. An encrypted file needs the password. Its decryption takes a few seconds and 512
    /// MiB of memory (Bittensor's parameters), so call this on a separate thread.
    pub fn coldkey(&self, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
        let path = self.folder.join("coldkey");
        let bytes = read(&path, "coldkey", Access::Secret)?;
        open(&path, bytes, password)
    }

    /// Reads the coldkey's account from its public file.
    pub fn coldkey_public(&self) -> Result<Coldkey, WalletError> {
        let path = self.folder.join("coldkeypub.txt");
        let bytes = read(&path, "public coldkey", Access::Public)?;
        Ok(Coldkey(account(&path, &bytes)?.0))
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

/// Decodes a key file's bytes, and decrypts them if necessary.
fn open(path: &Path, bytes: Zeroizing<Vec<u8>>, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
    let sealed = match KeyFile::read(&bytes).map_err(in_file(path))? {
        Contents::Plain(file) => return key_pair(path, &file),
        Contents::Sealed(sealed) => sealed,
    };
    let password = password.ok_or_else(|| WalletError::NeedsPassword { path: path.into() })?;
    let plain = nacl::open(sealed, password, nacl::Cost::BITTENSOR)
        .ok_or_else(|| WalletError::WrongPassword { path: path.into() })?;
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
        io::ErrorKind::NotFound => WalletError::Missing { what, path: path.into() },
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
