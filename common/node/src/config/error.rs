//! Why settings make no configuration.

use chain::wallet::WalletError;
use protocol::announcement::BucketError;
use std::{io, path::PathBuf};

/// Why settings make no configuration. Each message names the setting, where it was given, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("the configuration {} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is no TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong; it repeats nothing of the file.
        reason: String,
    },
    /// A field that is none.
    #[error("{}:{line}: there is no setting {key}{hint}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        key: String,
        /// The nearest known one, if one is near.
        hint: String,
    },
    /// A value of another form.
    #[error("{origin}: {key} must be {expected}")]
    Form {
        /// Where it is given.
        origin: String,
        /// The setting.
        key: &'static str,
        /// The form.
        expected: &'static str,
    },
    /// A value that is none.
    #[error("{origin}: {key} is {value}: {reason}")]
    Value {
        /// Where it is given.
        origin: String,
        /// The setting.
        key: &'static str,
        /// The value; secrets are not repeated.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// A setting that has to be given.
    #[error("{key} is not set: {help}. Set it in the configuration file, as {ways}")]
    Missing {
        /// The setting.
        key: &'static str,
        /// What it is.
        help: &'static str,
        /// How else it can be given.
        ways: String,
    },
    /// A secret that is given twice.
    #[error("both {key} and {key}_file are set: keep one")]
    Twice {
        /// The setting.
        key: &'static str,
    },
    /// A file with a secret that cannot be used.
    #[error("{key}: {} {reason}", path.display())]
    SecretFile {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An environment variable that is no text.
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    /// The bucket's settings make no bucket.
    #[error("[bucket]: {0}")]
    Bucket(#[from] BucketError),
    /// No home, so no default for the wallets.
    #[error("HOME is not set, so the wallets' folder is unknown: set wallet.folder")]
    NoHome,
    /// The hotkey cannot be had.
    #[error(transparent)]
    Wallet(#[from] WalletError),
}
