//! The reasons for which the pool refuses a transaction, in the words of a Substrate node.

use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError, UnknownTransaction};

use crate::store::Hash;

/// A refusal of the pool. Clients tell refusals apart by their JSON-RPC code. Code and text are
/// therefore those of Substrate's `author` RPC (substrate/client/rpc-api, `author/error.rs`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not an extrinsic of this runtime.
    #[error("Extrinsic has invalid format: {0}")]
    BadFormat(String),
    /// The runtime panicked while it validated the transaction.
    #[error("Verification Error: {0}")]
    Verification(String),
    /// The runtime declares the transaction invalid.
    #[error("Invalid Transaction")]
    Invalid(InvalidTransaction),
    /// The runtime cannot determine the validity.
    #[error("Unknown Transaction Validity")]
    Unknown(UnknownTransaction),
    /// The transaction left the pool a short time ago.
    #[error("Transaction is temporarily banned")]
    Banned,
    /// The transaction is already in the pool.
    #[error("Transaction Already Imported")]
    AlreadyImported(Hash),
    /// The nonce is taken by a transaction of the same or a higher priority.
    #[error("Priority is too low: ({old} vs {new})")]
    TooLowPriority {
        /// The priority of the transaction in the pool.
        old: u64,
        /// The priority of the refused transaction.
        new: u64,
    },
    /// The pool is full.
    #[error("Immediately Dropped")]
    ImmediatelyDropped,
    /// The validity has no account and nonce by which the pool could order the transaction.
    #[error("No tags provided")]
    NoTagsProvided,
}

impl Refusal {
    /// Returns the JSON-RPC error code.
    pub fn code(&self) -> i32 {
        match self {
            Self::BadFormat(_) => 1001,
            Self::Verification(_) => 1002,
            Self::Invalid(_) => 1010,
            Self::Unknown(_) => 1011,
            Self::Banned => 1012,
            Self::AlreadyImported(_) => 1013,
            Self::TooLowPriority { .. } => 1014,
            Self::ImmediatelyDropped => 1016,
            Self::NoTagsProvided => 1019,
        }
    }

    /// Returns the JSON-RPC error data: the details of the refusal.
    pub fn data(&self) -> Option<String> {
        match self {
            Self::Invalid(InvalidTransaction::Custom(code)) => Some(format!("Custom error: {code}")),
            Self::Invalid(invalid) => Some(<&str>::from(*invalid).into()),
            Self::Unknown(unknown) => Some(format!("{unknown:?}")),
            Self::AlreadyImported(hash) => Some(format!("{hash:?}")),
            Self::TooLowPriority { .. } => Some(
                "The transaction has too low priority to replace another transaction already in the pool."
                    .into(),
            ),
            Self::ImmediatelyDropped => {
                Some("The transaction couldn't enter the pool because of the limit".into())
            }
            Self::NoTagsProvided => {
                Some("Transaction does not provide any tags, so the pool can't identify it".into())
            }
            Self::Verification(message) => Some(message.clone()),
            Self::BadFormat(_) | Self::Banned => None,
        }
    }
}

impl From<TransactionValidityError> for Refusal {
    fn from(error: TransactionValidityError) -> Self {
        match error {
            TransactionValidityError::Invalid(invalid) => Self::Invalid(invalid),
            TransactionValidityError::Unknown(unknown) => Self::Unknown(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_case() {
        let cases = [
            (
                Refusal::Invalid(InvalidTransaction::Custom(6)),
                1010,
                "Invalid Transaction",
                Some("Custom error: 6"),
            ),
            (
                Refusal::Invalid(InvalidTransaction::Stale),
                1010,
                "Invalid Transaction",
                Some("Transaction is outdated"),
            ),
            (
                Refusal::Invalid(InvalidTransaction::BadProof),
                1010,
                "Invalid Transaction",
                Some("Transaction has a bad signature"),
            ),
            (
                Refusal::Unknown(UnknownTransaction::CannotLookup),
                1011,
                "Unknown Transaction Validity",
                Some("CannotLookup"),
            ),
            (Refusal::Banned, 1012, "Transaction is temporarily banned", None),
            (
                Refusal::AlreadyImported(Hash::repeat_byte(1)),
                1013,
                "Transaction Already Imported",
                Some("0x0101010101010101010101010101010101010101010101010101010101010101"),
            ),
            (
                Refusal::TooLowPriority { old: 7, new: 3 },
                1014,
                "Priority is too low: (7 vs 3)",
                Some(
                    "The transaction has too low priority to replace another transaction already in the pool.",
                ),
            ),
            (
                Refusal::ImmediatelyDropped,
                1016,
                "Immediately Dropped",
                Some("The transaction couldn't enter the pool because of the limit"),
            ),
        ];
        for (refusal, code, message, data) in cases {
            let found = (refusal.code(), refusal.to_string(), refusal.data());
            assert_eq!(found, (code, message.to_owned(), data.map(str::to_owned)));
        }
    }
}
