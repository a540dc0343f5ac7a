//! [`CommandError`]: the errors of the shared commands, and their exit codes.

use crate::{FlagError, PasswordError, WalletCommandError};
use base::Exit;
use chain::{
    RegisterError, TransactionError,
    error::{ConnectError, ReadError},
    wallet::WalletError,
};

/// An error of a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Wrong flags.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// A wallet or key that cannot be read.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A key without its password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A key that cannot be created or imported.
    #[error(transparent)]
    Key(#[from] WalletCommandError),
    /// A failed connection to the chain.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A failed read from the chain.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A failed registration.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A hotkey without a uid.
    #[error(
        "hotkey {hotkey} is not registered on subnet {netuid}: register it with `{program} register --hotkey NAME`"
    )]
    NotRegistered {
        /// The hotkey.
        hotkey: base::Hotkey,
        /// The subnet.
        netuid: base::Netuid,
        /// The name of the program.
        program: &'static str,
    },
}

impl CommandError {
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Flags(_) | Self::Password(_) => Exit::Usage,
            Self::Key(error) => error.exit(),
            Self::Wallet(error) => wallet_exit(error),
            Self::Connect(error) => connect_exit(error),
            Self::Read(error) => read_exit(error),
            Self::Register(error) => register_exit(error),
            Self::NotRegistered { .. } => Exit::NotPermitted,
        }
    }
}

fn wallet_exit(error: &WalletError) -> Exit {
    match error {
        WalletError::Unwritable { .. } => Exit::Failed,
        _ => Exit::Usage,
    }
}

/// Returns the exit code of a registration that fails.
pub(crate) fn register_exit(error: &RegisterError) -> Exit {
    match error {
        RegisterError::PriceAboveCap { .. }
        | RegisterError::BalanceTooLow { .. }
        | RegisterError::Foreseen(_)
        | RegisterError::Transaction(TransactionError::Refused { .. }) => Exit::NotPermitted,
        RegisterError::Transaction(TransactionError::Unsent(error)) => read_exit(error),
        RegisterError::Transaction(_) | RegisterError::Unread { .. } => Exit::Failed,
    }
}

/// Returns the exit code of a program that cannot connect to the chain.
#[must_use]
pub fn connect_exit(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Unreachable(_) | ConnectError::Silent { .. } => Exit::Unreachable,
        ConnectError::Runtime(error) => read_exit(error),
        _ => Exit::Usage,
    }
}

/// Returns the exit code of a program that cannot read from the chain.
#[must_use]
pub fn read_exit(error: &ReadError) -> Exit {
    match error {
        ReadError::Request(error) if error.is_retryable() => Exit::Unreachable,
        ReadError::NoSubnet { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}
