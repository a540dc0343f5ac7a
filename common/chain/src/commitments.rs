//! Commitments: the data that hotkeys publish on a subnet.

use base::{
    Height, Hotkey, Netuid,
    commitment::{Commitment, CommitmentError, Fields, MAX_ENCODED},
};
use chain_metadata::api;
use subxt::utils::AccountId32;

use crate::{
    Call, ChainSnapshot, Client, Included, TransactionError,
    error::ReadError,
    storage::{Batch, Slot, Values},
    subnet::epoch_of_fixed_tempo,
    wallet::KeyPair,
};

/// The commitments of a subnet after a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commitments {
    /// The commitments that decode, ordered by hotkey.
    pub valid: Vec<(Hotkey, Commitment)>,
    /// The hotkeys whose commitments do not decode, with the reason. Other software may write unknown kinds.
    pub malformed: Vec<(Hotkey, CommitmentError)>,
}

impl Commitments {
    /// Returns the commitment of a hotkey, if there is one that decodes.
    pub fn of(&self, hotkey: &Hotkey) -> Option<&Commitment> {
        let place = self.valid.binary_search_by(|(other, _)| other.cmp(hotkey)).ok()?;
        Some(&self.valid[place].1)
    }

    pub(crate) fn collect(values: &Values, slots: Vec<CommitmentSlot>) -> Self {
        let mut commitments = Self::default();
        for (hotkey, slot) in slots {
            let Some(bytes) = values.raw(slot) else { continue };
            match parse(bytes) {
                Ok(commitment) => commitments.valid.push((hotkey, commitment)),
                Err(error) => commitments.malformed.push((hotkey, error)),
            }
        }
        commitments.valid.sort_by_key(|(hotkey, _)| *hotkey);
        commitments.malformed.sort_by_key(|(hotkey, _)| *hotkey);
        commitments
    }
}

/// A hotkey, and the slot of its commitment.
pub(crate) type CommitmentSlot = (Hotkey, Slot<api::commitments::storage::commitment_of::Output>);

/// Adds the commitments of these hotkeys to a read.
pub(crate) fn plan(
    batch: &mut Batch<'_>,
    netuid: Netuid,
    hotkeys: &[Hotkey],
) -> Result<Vec<CommitmentSlot>, ReadError> {
    let commitment = |hotkey: &Hotkey| {
        let keys = (netuid.0, AccountId32(hotkey.0));
        Ok((*hotkey, batch.add(api::storage().commitments().commitment_of(), keys)?))
    };
    hotkeys.iter().map(commitment).collect()
}

fn parse(bytes: &[u8]) -> Result<Commitment, CommitmentError> {
    match bytes.len() {
        length if length > MAX_ENCODED => Err(CommitmentError::Malformed(format!("{length} bytes"))),
        _ => Commitment::from_chain(bytes),
    }
}

/// The commitment space of a hotkey in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the chain grants to a hotkey per epoch.
    pub granted: u64,
    /// Bytes that the hotkey has used in this epoch.
    pub used: u64,
}

impl Space {
    /// Returns the bytes that are left until the next epoch.
    pub fn left(&self) -> u64 {
        self.granted.saturating_sub(self.used)
    }
}

/// An error of setting a commitment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The commitment does not fit into the space that is left in this epoch. Nothing was sent.
    #[error(
        "the commitment costs {cost} bytes, but {left} of {granted} are left in this epoch: wait for the next epoch"
    )]
    NoSpace {
        /// The cost of the commitment, in bytes.
        cost: u64,
        /// Bytes that are left.
        left: u64,
        /// Bytes that the chain grants per epoch.
        granted: u64,
    },
    /// The transaction did not succeed.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl CommitError {
    /// Returns whether the chain's node only limits requests, or is overloaded. Nothing was sent then.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Transaction(TransactionError::Unsent(error)) if error.is_busy())
    }

    /// Returns whether the outcome of the transaction is not known, since the chain cannot be followed.
    pub fn is_unknown(&self) -> bool {
        use TransactionError::{Unfollowed, Unknown, Unread};
        matches!(self, Self::Transaction(Unfollowed { .. } | Unknown { .. } | Unread { .. }))
    }

    /// Returns whether the same commitment may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoSpace { cost, granted, .. } => cost <= granted,
            Self::Transaction(error) => error.is_retryable(),
        }
    }
}

impl ChainSnapshot<'_> {
    /// Reads the commitments of these hotkeys. Hotkeys without a commitment are left out. One request for up
    /// to 4095 hotkeys.
    ///
    /// The chain also keeps the commitments of all hotkeys that were replaced. Their number has no bound, so
    /// there is no call that lists them.
    pub async fn commitments_of(&self, netuid: Netuid, hotkeys: &[Hotkey]) -> Result<Commitments, ReadError> {
        let (slots, values) = self.read(|batch| plan(batch, netuid, hotkeys)).await?;
        Ok(Commitments::collect(&values, slots))
    }

    /// Reads the commitment space of a hotkey in the epoch of this block. One or two requests.
    ///
    /// The next transaction may fall into the next epoch, in which all of the space is free again.
    pub async fn commitment_space(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<Space, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let commitments = || api::storage().commitments();
        let (slots, values) = self
            .read(|batch| {
                Ok((
                    batch.add(commitments().max_space(), ())?,
                    batch.add(commitments().used_space_of(), (netuid.0, AccountId32(hotkey.0)))?,
                    batch.add_if_present(subtensor().subnet_epoch_index(), (netuid.0,))?,
                    batch.add(subtensor().tempo(), (netuid.0,))?,
                ))
            })
            .await?;
        let (max_space, used, epoch, tempo) = slots;
        let granted = u64::from(values.get(max_space)?);
        let epoch = match epoch {
            Some(epoch) => values.get(epoch)?,
            None => {
                let header = self.client().header(self.block()).await?;
                epoch_of_fixed_tempo(netuid, values.get(tempo)?, Height(header.number))
            }
        };
        let used = values.find(used)?.filter(|used| used.last_epoch == epoch);
        Ok(Space { granted, used: used.map_or(0, |used| used.used_space) })
    }
}

impl Client {
    /// Sets the commitment of the signer's hotkey on a subnet. It replaces the hotkey's old commitment.
    ///
    /// Checks first whether enough space is left. The call is free of fees.
    pub async fn set_commitment(
        &self,
        netuid: Netuid,
        fields: Fields,
        hotkey: &KeyPair,
    ) -> Result<Included, CommitError> {
        let cost = fields.cost();
        let space =
            self.commitment_space_now(netuid, &hotkey.hotkey()).await.map_err(TransactionError::Unsent)?;
        if cost > space.left() {
            return Err(CommitError::NoSpace { cost, left: space.left(), granted: space.granted });
        }
        Ok(self.submit(&Call::SetCommitment { netuid, fields }, hotkey).await?)
    }

    async fn commitment_space_now(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<Space, ReadError> {
        let head = self.finalized_hash().await?;
        self.at(head).commitment_space(netuid, hotkey).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_never_runs_below_nothing() {
        assert_eq!(Space { granted: 100, used: 300 }.left(), 0);
    }
}
