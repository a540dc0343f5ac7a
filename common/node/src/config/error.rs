//! The errors of a configuration.

use chain::wallet::WalletError;
use chain_commands::{PasswordError, SecretFileError};
use protocol::announcement::BucketError;
use std::{io, path::PathBuf};

/// The error of a configuration that is not valid. Each message names the setting, its origin, and the
/// remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The reason. It repeats nothing of the file.
        reason: String,
    },
    /// The file has an unknown field.
    #[error("{}:{line}: there is no setting {key}{hint}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        key: String,
        /// The most similar known field, if there is one.
        hint: String,
    },
    /// A value has the wrong form.
    #[error("{origin}: {key} must be {expected}")]
    Form {
        /// The origin of the value.
        origin: String,
        /// The setting.
        key: &'static str,
        /// The right form.
        expected: &'static str,
    },
    /// A value is not valid.
    #[error("{origin}: {key} is {value}: {reason}")]
    Value {
        /// The origin of the value.
        origin: String,
        /// The setting.
        key: &'static str,
        /// The value. Secrets are not repeated.
        value: String,
        /// The reason.
        reason: String,
    },
    /// A required setting is missing.
    #[error("{key} is not set: {help}. Set it in the configuration file, as {ways}")]
    Missing {
        /// The setting.
        key: &'static str,
        /// The description of the setting.
        help: &'static str,
        /// The other ways to set it.
        ways: String,
    },
    /// A secret is given twice.
    #[error("both {key} and {key}_file are set: keep one")]
    Twice {
        /// The setting.
        key: &'static str,
    },
    /// A file with a secret cannot be used.
    #[error("{key}: cannot use {}", path.display())]
    SecretFile {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: SecretFileError,
    },
    /// An environment variable is not UTF-8.
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    /// The bucket's settings are not valid.
    #[error("cannot use [bucket]")]
    Bucket(#[from] BucketError),
    /// `HOME` is not set, so the wallets' folder has no default.
    #[error("HOME is not set, so the wallets' folder is unknown: set wallet.folder")]
    NoHome,
    /// The hotkey cannot be loaded.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The hotkey is encrypted, and cannot be opened.
    #[error(transparent)]
    Password(#[from] PasswordError),
}
