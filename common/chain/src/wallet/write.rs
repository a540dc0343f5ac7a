//! Makes the files of a key, in the layout, the format and with the file modes of Bittensor's tools.
//!
//! Source: PyPI `bittensor` 11.3.0 (`keyfiles.py`, `wallet.py`). A file is written beside its place and then
//! moved there, so that a crash leaves the whole file or none.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use base::{Hotkey, Secret};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Access, KeyPair, PUBLIC, Phrase, Wallet, WalletError, account, nacl, plain_name, read};

/// Room for the text of a key file: Bittensor's have about 500 bytes. Growing would leave copies in memory.
const ROOM: usize = 2048;
/// The number of sr25519 in key files.
const SR25519: u8 = 1;

/// A key of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletKey<'a> {
    /// The coldkey, which owns the money.
    Coldkey,
    /// The hotkey of this name, which signs for a node.
    Hotkey(&'a str),
}

impl WalletKey<'_> {
    /// Returns the word for this kind of key.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Coldkey => "coldkey",
            Self::Hotkey(_) => "hotkey",
        }
    }

    pub(super) fn public_kind(self) -> &'static str {
        match self {
            Self::Coldkey => "public coldkey",
            Self::Hotkey(_) => "public hotkey",
        }
    }
}

/// The treatment of a key that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep it, and return an error.
    Keep,
    /// Replace it. The old key is lost.
    Replace,
}

/// The JSON of a key file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    account_id: &'a str,
    public_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_phrase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_seed: Option<&'a str>,
    ss58_address: &'a str,
    crypto_type: u8,
}

impl Wallet {
    /// Checks that a key of this name can be made: it does not exist, and its file would be no other key's
    /// public file.
    ///
    /// # Errors
    /// There is a file already, or the name is not one for a key.
    pub fn check_absent(&self, key: WalletKey<'_>) -> Result<(), WalletError> {
        check_name(key)?;
        let path = self.path(key)?;
        // A link that leads nowhere is a file too.
        if fs::symlink_metadata(&path).is_ok() { Err(WalletError::Exists { path }) } else { Ok(()) }
    }

    /// Makes the files of the key of a phrase: the key's own, encrypted if there is a password, and the
    /// public one. The encryption takes a few seconds and 512 MiB of memory. Returns the key.
    ///
    /// Files have mode 0600, new folders 0700. A public file of the same key may exist: a key that was lost
    /// is restored beside it.
    ///
    /// # Errors
    /// The key exists already, or the files cannot be written.
    pub fn write(
        &self,
        key: WalletKey<'_>,
        phrase: &Phrase,
        password: Option<&Secret>,
        existing: Existing,
    ) -> Result<KeyPair, WalletError> {
        check_name(key)?;
        let (path, public_path) = (self.path(key)?, self.public_path(key)?);
        let (pair, seed) = KeyPair::of_phrase(phrase);
        if existing == Existing::Keep {
            self.check_absent(key)?;
            check_public(&public_path, &pair.hotkey())?;
        }
        let private_key = Zeroizing::new(hex(&pair.secret_bytes()));
        let secrets = Secrets { private_key, phrase, seed: Zeroizing::new(hex(&*seed)) };
        let plain = text(&pair, Some(&secrets));
        let bytes = match password {
            Some(password) => Zeroizing::new(nacl::seal(&plain, password, nacl::Cost::BITTENSOR)),
            None => plain,
        };
        let unwritable = |path: &PathBuf| {
            let path = path.clone();
            |source| WalletError::Unwritable { path, source }
        };
        make_folder(&path).map_err(unwritable(&path))?;
        if existing == Existing::Replace {
            // After a crash between the two files there is no public file, rather than that of the old key.
            remove(&public_path).map_err(unwritable(&public_path))?;
        }
        place(&path, &bytes, existing).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => WalletError::Exists { path: path.clone() },
            _ => WalletError::Unwritable { path: path.clone(), source },
        })?;
        place(&public_path, &text(&pair, None), Existing::Replace).map_err(unwritable(&public_path))?;
        Ok(pair)
    }
}

/// Checks that the file of a hotkey would be neither a public file nor one that is still written.
fn check_name(key: WalletKey<'_>) -> Result<(), WalletError> {
    match key {
        WalletKey::Hotkey(name) if name.starts_with('.') || name.ends_with(PUBLIC) => {
            plain_name(name).and(Err(WalletError::FileName(name.chars().take(80).collect())))
        }
        _ => Ok(()),
    }
}

/// Checks that the public file of another key is not in the way.
fn check_public(path: &Path, found: &Hotkey) -> Result<(), WalletError> {
    let stated = match read(path, "public key", Access::Public) {
        Ok(bytes) => account(path, &bytes)?,
        Err(WalletError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if stated == *found { Ok(()) } else { Err(WalletError::Exists { path: path.into() }) }
}

/// The secrets of a key file, as texts.
struct Secrets<'a> {
    private_key: Zeroizing<String>,
    phrase: &'a Phrase,
    seed: Zeroizing<String>,
}

/// Returns the text of a key's file: of its own one with secrets, of the public one without.
fn text(pair: &KeyPair, secrets: Option<&Secrets<'_>>) -> Zeroizing<Vec<u8>> {
    let (public, address) = (hex(&pair.public()), pair.hotkey().to_string());
    let json = Json {
        account_id: &public,
        public_key: &public,
        private_key: secrets.map(|secrets| secrets.private_key.as_str()),
        secret_phrase: secrets.map(|secrets| secrets.phrase.expose()),
        secret_seed: secrets.map(|secrets| secrets.seed.as_str()),
        ss58_address: &address,
        crypto_type: SR25519,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
    serde_json::to_writer(&mut *bytes, &json).expect("texts and a number are JSON, and memory takes them");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    format!("0x{}", Zeroizing::new(hex::encode(bytes)).as_str())
}

/// Makes the folder of a file, and those above it, for the owner only. Folders that exist stay as they are.
fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file beside its place, and moves it there once it is whole and on the disk.
fn place(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let placed = write_file(&beside, bytes).and_then(|()| match existing {
        Existing::Replace => fs::rename(&beside, path),
        // A rename would replace a file that another process has made meanwhile. A link does not.
        Existing::Keep => fs::hard_link(&beside, path),
    });
    // A rename has moved it. A link has not: it holds a secret, so a failure to remove it must be seen.
    placed.and(remove(&beside)).and_then(|()| sync_folder(path))
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(path)?; // Of a process of the same number that was killed.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
