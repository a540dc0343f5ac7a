//! [`WalletError`]: an error of a wallet's keys.

use std::{io, path::PathBuf};

use base::{Hotkey, key_file::KeyFileError};

/// An error of reading a key from a wallet, or of writing one.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The name is not that of a well-known development key.
    #[error("`{0}` is not a development key: those begin with //, like //Alice")]
    NotADevelopmentKey(String),
    /// The name would lead out of the wallets' folder.
    #[error("`{0}` cannot be the name of a wallet or a hotkey: give a plain name, without slashes")]
    BadName(String),
    /// The name of a new hotkey would be that of another kind of file.
    #[error(
        "`{0}` cannot be the name of a new hotkey: give one without a dot in front or `pub.txt` at the end"
    )]
    FileName(String),
    /// There is no such file.
    #[error("there is no {what} at {}: check the names, or create it with `miner wallet create`", .path.display())]
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
    /// The operating system refuses to write the file.
    #[error("cannot write {}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file exists already, and would be lost.
    #[error("{} exists already: take another name, or --force to replace it, which destroys the old key", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
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
    #[error("the password{} does not open {}", .variable.as_ref().map_or_else(String::new, |name| format!(" in {name}")), .path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
        /// The environment variable that holds the password, if the password is from Bittensor's own.
        variable: Option<String>,
    },
    /// The environment variable of a password holds no password.
    #[error("{variable} holds no password in the form of Bittensor's tools: let them write it, or unset it")]
    Variable {
        /// The environment variable.
        variable: String,
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
