//! The errors of setting weights.

use base::{Height, Netuid, Uid};

use crate::{Included, Row, TransactionError, beacon::TimelockError, error::ReadError, refusal::Refusal};

/// An error of setting weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// No weight is above 0.
    #[error("every weight is 0: give at least one uid a weight")]
    AllZero,
    /// The rate limit has not passed. Nothing was sent.
    #[error(
        "the last weights, or the registration, were in block {last}; weights may be set in block {next}: \
         wait until then"
    )]
    TooSoon {
        /// The block of the last weights, or of the registration if it was later. The chain counts from the
        /// later one.
        last: Height,
        /// The first block in which weights may be set again.
        next: Height,
    },
    /// The subnet requires a newer version key. Nothing was sent.
    #[error(
        "version key {given} is older than the {demanded} that subnet {netuid} requires: update this program and its run file"
    )]
    VersionKeyTooOld {
        /// The subnet.
        netuid: Netuid,
        /// The version key of this program.
        given: u64,
        /// The minimum version key of the subnet.
        demanded: u64,
    },
    /// There are too few weights. Nothing was sent.
    #[error("{given} weights are fewer than the {least} that subnet {netuid} requires: add uids of weight 0")]
    TooFew {
        /// The subnet.
        netuid: Netuid,
        /// The number of weights.
        given: usize,
        /// The minimum number of weights.
        least: usize,
    },
    /// The chain would refuse the weights. Nothing was sent.
    #[error("{0}")]
    Foreseen(Refusal),
    /// The subnet has commit-reveal on, in a form that this program does not know. Nothing was sent.
    #[error(
        "subnet {0} takes only committed weights, and this runtime has no commit that this program knows: \
         update this program"
    )]
    UnknownForm(Netuid),
    /// The subnet's epoch ends too soon for a commit. Nothing was sent.
    #[error("the epoch ends in block {next}, too soon for a commit: commit after it")]
    EpochEnds {
        /// The block of the next epoch.
        next: Height,
    },
    /// The subnet has no epochs, so that a commit would never be revealed. Nothing was sent.
    #[error("subnet {0} has no epochs (its tempo is 0): no commit is ever revealed there")]
    NoEpochs(Netuid),
    /// The weights cannot be encrypted. Nothing was sent.
    #[error("nothing was committed")]
    Timelock(#[source] TimelockError),
    /// The epoch of the reveal has not begun. Nothing was sent.
    #[error("the commit can be revealed from block {reveal} on: wait until then")]
    RevealTooEarly {
        /// The first block in which it can be revealed.
        reveal: Height,
    },
    /// The epoch of the reveal is over. Nothing was sent.
    #[error("epoch {epoch}, in which the commit could be revealed, is over: commit new weights")]
    RevealTooLate {
        /// The epoch.
        epoch: u64,
    },
    /// The transaction did not succeed.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The transaction succeeded, but the chain holds other weights.
    #[error(
        "transaction {} succeeded, but in block {} the chain holds other weights for uid {uid} than were sent: \
         another program signs with this hotkey, or the chain has changed its rules", .included.hash, .included.height
    )]
    NotAsSent {
        /// The transaction.
        included: Box<Included>,
        /// The uid of the signer.
        uid: Uid,
        /// The weights that were sent, scaled.
        sent: Row,
        /// The weights that the chain holds.
        found: Row,
        /// The block of the last weights, according to the chain.
        last_update: Height,
    },
}

impl WeightsError {
    /// Returns whether the same weights may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooSoon { .. } | Self::EpochEnds { .. } | Self::RevealTooEarly { .. } => true,
            Self::Foreseen(refusal) => refusal.is_retryable(),
            Self::Transaction(error) => error.is_retryable(),
            Self::AllZero
            | Self::VersionKeyTooOld { .. }
            | Self::TooFew { .. }
            | Self::UnknownForm(_)
            | Self::NoEpochs(_)
            | Self::Timelock(_)
            | Self::RevealTooLate { .. }
            | Self::NotAsSent { .. } => false,
        }
    }
}

impl From<ReadError> for WeightsError {
    fn from(error: ReadError) -> Self {
        Self::Transaction(TransactionError::Unsent(error))
    }
}
