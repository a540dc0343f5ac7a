//! What can keep an audit from being made, and how the program ends then.

use chain::error::ReadError;
use cli::CommandError;
use common::Exit;

/// Why there is no answer. What an audit finds is none of these.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain or the flags that name it.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<ReadError> for AuditError {
    fn from(error: ReadError) -> Self {
        Self::Command(error.into())
    }
}

impl AuditError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(error) => error.exit(),
        }
    }
}
