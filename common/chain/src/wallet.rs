//! Bittensor's wallets: folders of key files, as `btcli` and its SDK write them.
//!
//! ```text
//! ~/.bittensor/wallets/NAME/coldkey            the owner's secret, usually encrypted
//!                           coldkeypub.txt     the owner's public key
//!                           hotkeys/HOTKEY     a hotkey's secret, plain JSON, mode 0600
//! ```
//!
//! Nothing here writes to them. Secrets are never printed. A key file's bytes, the strings taken out of it, passwords and
//! keys are wiped from memory when dropped. Not wiped are what the JSON parser sets aside for a string with escapes (no
//! tool writes a phrase or a key so), and what the system has swapped out.

mod keyfile;
mod keypair;
mod nacl;
mod secret;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use common::{Coldkey, Hotkey};
use zeroize::Zeroizing;

pub use keypair::KeyPair;
pub use secret::Secret;

use keyfile::KeyFile;

/// Bytes of the largest key file that is read. Bittensor's have about 500.
const MAX_FILE: u64 = 64 << 10;

/// Why a key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Not one of the keys that everybody knows.
    #[error("`{0}` is not a development key: those begin with //, like //Alice")]
    NotADevelopmentKey(String),
    /// The name would lead out of the wallets' folder.
    #[error("`{0}` cannot be the name of a wallet or a hotkey: give a plain name, without slashes")]
    BadName(String),
    /// There is no such file.
    #[error("there is no {what} at {}: check the names, or create it with `btcli wallet create`", .path.display())]
    Missing {
        /// What should be there.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The system does not let us read it.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read the secret.
    #[error("{} can be read by other users (mode {mode:04o}): protect it with `chmod 600 {}`", .path.display(), .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Far larger than any key file.
    #[error("{} is no key file: it is larger than {MAX_FILE} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not the JSON that a key file holds.
    #[error("{} is no key file: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong; it repeats nothing of the file.
        reason: String,
    },
    /// Encrypted, and no password was given.
    #[error("{} is encrypted: give its password", .path.display())]
    NeedsPassword {
        /// The file.
        path: PathBuf,
    },
    /// The password does not open it.
    #[error("the password does not open {}", .path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// Encrypted in a way that Bittensor gave up long ago.
    #[error("{} is encrypted in the old form {form}: write it anew with `btcli wallet update`", .path.display())]
    OldEncryption {
        /// The file.
        path: PathBuf,
        /// The form.
        form: &'static str,
    },
    /// The file holds a public key only.
    #[error("{} holds no secret: it is a public key file; restore the key from its phrase", .path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// Not an sr25519 key.
    #[error("{} holds a key of crypto type {crypto_type}; only sr25519 (1) can act on Bittensor here", .path.display())]
    UnsupportedKey {
        /// The file.
        path: PathBuf,
        /// The number in the file: 0 is ed25519.
        crypto_type: u8,
    },
    /// Phrase, seed or private key make no key.
    #[error("the {field} in {} makes no key: the file is damaged, restore it from the phrase", .path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// Which of the three.
        field: &'static str,
    },
    /// The secret is that of another account than the file says.
    #[error("{} says {stated}, but its secret is that of {found}: the file was tampered with, or mixed up", .path.display())]
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
    /// Where Bittensor keeps wallets: `.bittensor/wallets` in the user's home folder.
    pub fn default_root(home: &Path) -> PathBuf {
        home.join(".bittensor").join("wallets")
    }

    /// The wallet of this name. Nothing is read yet.
    pub fn new(root: &Path, name: &str) -> Result<Self, WalletError> {
        Ok(Self { folder: root.join(plain_name(name)?) })
    }

    /// A hotkey, from its plain file.
    pub fn hotkey(&self, name: &str) -> Result<KeyPair, WalletError> {
        let path = self.folder.join("hotkeys").join(plain_name(name)?);
        let bytes = read(&path, "hotkey", Access::Secret)?;
        open(&path, bytes, None)
    }

    /// A hotkey's account, from its public file `hotkeys/NAMEpub.txt`; from the hotkey's own file where there is none.
    pub fn hotkey_public(&self, name: &str) -> Result<Hotkey, WalletError> {
        let path = self.folder.join("hotkeys").join(format!("{}pub.txt", plain_name(name)?));
        match read(&path, "public hotkey", Access::Public) {
            Ok(bytes) => KeyFile::parse(&path, &bytes)?.account(&path),
            Err(WalletError::Missing { .. }) => Ok(self.hotkey(name)?.hotkey()),
            Err(error) => Err(error),
        }
    }

    /// The coldkey. An encrypted file needs the password; opening it takes some seconds and 512 MiB of memory, as
    /// Bittensor has it, so that it is better done on a thread of its own.
    pub fn coldkey(&self, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
        let path = self.folder.join("coldkey");
        let bytes = read(&path, "coldkey", Access::Secret)?;
        open(&path, bytes, password)
    }

    /// The coldkey's account, from its public file.
    pub fn coldkey_public(&self) -> Result<Coldkey, WalletError> {
        let path = self.folder.join("coldkeypub.txt");
        let bytes = read(&path, "public coldkey", Access::Public)?;
        let file = KeyFile::parse(&path, &bytes)?;
        Ok(Coldkey(file.account(&path)?.0))
    }
}

fn plain_name(name: &str) -> Result<&str, WalletError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(WalletError::BadName(name.chars().take(80).collect())),
    }
}

/// Turns a key file's bytes into the key.
fn open(path: &Path, bytes: Zeroizing<Vec<u8>>, password: Option<&Secret>) -> Result<KeyPair, WalletError> {
    if let Some(form) = old_encryption(&bytes) {
        return Err(WalletError::OldEncryption { path: path.into(), form });
    }
    let Some(sealed) = bytes.strip_prefix(nacl::PREFIX) else {
        return KeyFile::parse(path, &bytes)?.key_pair(path);
    };
    let password = password.ok_or_else(|| WalletError::NeedsPassword { path: path.into() })?;
    let plain = nacl::open(sealed, password, nacl::Cost::BITTENSOR)
        .ok_or_else(|| WalletError::WrongPassword { path: path.into() })?;
    KeyFile::parse(path, &plain)?.key_pair(path)
}

fn old_encryption(bytes: &[u8]) -> Option<&'static str> {
    let forms: [(&[u8], &str); 2] = [(b"$ANSIBLE_VAULT", "ansible vault"), (b"gAAAAA", "fernet")];
    forms.iter().find(|(prefix, _)| bytes.starts_with(prefix)).map(|(_, form)| *form)
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
    // Opening a pipe would wait for somebody to write into it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    if access == Access::Secret {
        check_mode(path, &file.metadata().map_err(unreadable)?)?;
    }
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 {
        length if length > MAX_FILE => Err(WalletError::TooLarge { path: path.into() }),
        _ => Ok(bytes),
    }
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
