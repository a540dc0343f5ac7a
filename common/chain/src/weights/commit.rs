//! Commits of weights, for subnets with commit-reveal: weights are hidden at first, so that no validator can
//! copy those of another.

use base::{Height, Hotkey, Mechanism, Netuid, Uid};
use chain_metadata::api;
use parity_scale_codec::Encode;
use serde::{Deserialize, Serialize};
use sp_crypto_hashing::blake2_256;
use subxt::utils::AccountId32;
use tracing::warn;

use crate::{
    ChainSnapshot, EpochSchedule, Row, TransactionError,
    beacon::REVEAL_OFFSET,
    calls::Call,
    epochs,
    error::ReadError,
    storage::{Batch, Slot},
    weights::WeightsError,
};

/// The form of timelocked commits that this program writes (`CommitRevealWeightsVersion`).
pub(super) const TIMELOCK_VERSION: u16 = 4;
/// The number of random 16-bit numbers in a salt: 128 bits.
const SALT: usize = 8;
/// The most epochs from a commit to its reveal. Source: `MAX_COMMIT_REVEAL_PEROIDS` of the chain's pallet.
const LONGEST_PERIOD: u64 = 100;

/// The kind of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitKind {
    /// Encrypted weights. The chain reveals them.
    Timelocked {
        /// The round of the beacon that decrypts them.
        round: u64,
    },
    /// A hash of the weights. Their validator reveals them.
    Hash {
        /// Random numbers, which keep the weights from being guessed.
        salt: Vec<u16>,
    },
}

/// Weights that are committed and revealed later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The kind of the commit.
    pub kind: CommitKind,
    /// The hash by which the chain's state names the commit: of the ciphertext, or of the weights.
    pub hash: [u8; 32],
    /// The weights, scaled so that the largest is 65535.
    pub row: Row,
    /// The version key that is sent with them.
    pub version_key: u64,
    /// The epoch that the commit belongs to.
    pub epoch: u64,
    /// The first block in which the weights can be revealed.
    pub reveal: Height,
}

impl Commit {
    /// Corrects the epoch and the reveal by the schedule after the block that holds the commit.
    pub(super) fn corrected(self, schedule: &EpochSchedule, period: u64) -> Self {
        let epoch = schedule.index;
        if epoch == self.epoch {
            return self;
        }
        warn!(target: "chain", expected = self.epoch, epoch, "the commit belongs to another epoch than expected: it may be readable before its reveal");
        let first = schedule.first_block(epoch.saturating_add(period)).unwrap_or(self.reveal);
        let offset = if matches!(self.kind, CommitKind::Timelocked { .. }) { REVEAL_OFFSET } else { 0 };
        Self { epoch, reveal: Height(first.0.saturating_add(offset)), ..self }
    }

    /// Returns uids and weights as calls carry them.
    pub(super) fn columns(&self) -> (Vec<u16>, Vec<u16>) {
        columns(&self.row)
    }

    /// Returns the call that reveals a hash. The chain itself reveals timelocked commits.
    pub(super) fn reveal_call(&self, netuid: Netuid, mechanism: Mechanism) -> Option<Call> {
        let CommitKind::Hash { salt } = &self.kind else { return None };
        let ((uids, weights), salt, version_key) = (self.columns(), salt.clone(), self.version_key);
        Some(Call::RevealWeights { netuid, mechanism, uids, weights, salt, version_key })
    }
}

/// Splits a row into uids and weights.
pub(super) fn columns(row: &Row) -> (Vec<u16>, Vec<u16>) {
    row.iter().map(|(uid, weight)| (uid.0, *weight)).unzip()
}

/// The contents of a timelocked commit. Source: `WeightsTlockPayload` of the chain's pallet.
#[derive(Encode)]
pub(crate) struct Payload {
    /// The hotkey, so that another one cannot commit a copy.
    hotkey: Vec<u8>,
    uids: Vec<u16>,
    values: Vec<u16>,
    version_key: u64,
}

impl Payload {
    pub(crate) fn new(hotkey: &Hotkey, uids: Vec<u16>, values: Vec<u16>, version_key: u64) -> Self {
        Self { hotkey: hotkey.0.into(), uids, values, version_key }
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        self.encode()
    }
}

/// Returns a new salt.
pub(super) fn salt() -> Vec<u16> {
    (0..SALT).map(|_| rand::random()).collect()
}

/// Returns the hash that commits to weights. Source: `get_commit_hash` of the chain's pallet.
pub(super) fn commit_hash(
    hotkey: &Hotkey,
    index: u16,
    (uids, weights): &(Vec<u16>, Vec<u16>),
    salt: &[u16],
    version_key: u64,
) -> [u8; 32] {
    blake2_256(&(hotkey.0, index, uids, weights, salt, version_key).encode())
}

/// A commit of a hotkey that waits on chain for its reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingCommit {
    /// The hash of the ciphertext, or of the weights.
    pub hash: [u8; 32],
    /// The epoch that it belongs to.
    pub epoch: u64,
    /// The block of the commit.
    pub block: Height,
    /// The round of the beacon that decrypts it; `None` for a hash.
    pub round: Option<u64>,
}

type Timelocked =
    Vec<(AccountId32, u64, api::runtime_types::bounded_collections::bounded_vec::BoundedVec<u8>, u64)>;

impl ChainSnapshot<'_> {
    /// Reads the number of blocks for which weights stay hidden on a subnet with commit-reveal, at most. Two
    /// requests.
    pub async fn hidden_blocks(&self, netuid: Netuid) -> Result<u64, ReadError> {
        let (schedule, period) = self.reveal_schedule(netuid).await?;
        // The chain knows a round one block after its time.
        Ok(schedule.tempo.saturating_mul(period).saturating_add(REVEAL_OFFSET + 1))
    }

    /// Reads the schedule of the epochs, and the number of epochs from a commit to its reveal. Two requests.
    pub async fn reveal_schedule(&self, netuid: Netuid) -> Result<(EpochSchedule, u64), ReadError> {
        let header = self.client().header(self.block()).await?;
        let plan = |batch: &mut Batch<'_>| {
            let period = api::storage().subtensor_module().reveal_period_epochs();
            Ok((epochs::Slots::plan(batch, netuid)?, batch.add_if_present(period, (netuid.0,))?))
        };
        let ((schedule, period), values) = self.read(plan).await?;
        let schedule = schedule.take(&values, Height(header.number))?;
        Ok((schedule, period.map_or(Ok(1), |slot| values.get(slot))?))
    }

    /// Reads the commits of a hotkey that wait for their reveal, the oldest epoch first. Three requests.
    pub async fn pending_commits(
        &self,
        netuid: Netuid,
        hotkey: &Hotkey,
    ) -> Result<Vec<PendingCommit>, ReadError> {
        let schedule = self.epochs(netuid).await?;
        let index = self.index(netuid);
        // A commit of the next epoch is possible in the block that the schedule is about to begin it with.
        let epochs = schedule.index.saturating_sub(LONGEST_PERIOD)..=schedule.index.saturating_add(1);
        let subtensor = || api::storage().subtensor_module();
        let plan = |batch: &mut Batch<'_>| {
            let timelocked = |epoch: u64| {
                let slot = batch.add_if_present(subtensor().timelocked_weight_commits(), (index, epoch))?;
                Ok((epoch, slot))
            };
            let timelocked = epochs.clone().map(timelocked).collect::<Result<Vec<_>, ReadError>>()?;
            let keys = (index, AccountId32(hotkey.0));
            Ok((timelocked, batch.add_if_present(subtensor().weight_commits(), keys)?))
        };
        let ((timelocked, hashes), values) = self.read(plan).await?;
        let mut found = Vec::new();
        for (epoch, slot) in timelocked {
            let slot: Option<Slot<Timelocked>> = slot;
            let Some(slot) = slot.filter(|slot| values.raw(*slot).is_some()) else { continue };
            let own = values.get(slot)?.into_iter().filter(|(account, ..)| account.0 == hotkey.0);
            found.extend(own.map(|(_, block, ciphertext, round)| PendingCommit {
                hash: blake2_256(&ciphertext.0),
                epoch,
                block: Height(block),
                round: Some(round),
            }));
        }
        if let Some(hashes) = hashes.map(|slot| values.find(slot)).transpose()?.flatten() {
            found.extend(hashes.into_iter().map(|(hash, epoch, block, _)| PendingCommit {
                hash: hash.0,
                epoch,
                block: Height(block),
                round: None,
            }));
        }
        Ok(found)
    }
}

/// Returns an error that says that the reveal comes at the wrong time, if it does.
pub(super) fn check_reveal(commit: &Commit, epoch: u64, period: u64) -> Result<(), WeightsError> {
    let due = commit.epoch.saturating_add(period);
    match epoch.cmp(&due) {
        std::cmp::Ordering::Less => Err(WeightsError::RevealTooEarly { reveal: commit.reveal }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(WeightsError::RevealTooLate { epoch: due }),
    }
}

/// Returns the weights above 0, in any order.
pub(super) fn entries(row: &Row) -> std::collections::BTreeSet<(Uid, u16)> {
    row.iter().copied().filter(|(_, weight)| *weight > 0).collect()
}

impl From<crate::beacon::TimelockError> for WeightsError {
    fn from(error: crate::beacon::TimelockError) -> Self {
        Self::Timelock(error)
    }
}

impl WeightsError {
    /// Returns whether the outcome of the transaction is not known, since the chain cannot be followed.
    pub fn is_unknown(&self) -> bool {
        use TransactionError::{Unfollowed, Unknown, Unread};
        matches!(self, Self::Transaction(Unfollowed { .. } | Unknown { .. } | Unread { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::storage_index;

    /// Checks the hash against one that was computed by hand from the pallet's rule: Blake2b-256 of the
    /// account, the index, and the four values in SCALE.
    #[test]
    fn a_hash_covers_account_mechanism_weights_salt_and_key() {
        let hotkey = Hotkey([3; 32]);
        let columns = (vec![1, 2], vec![7, 65535]);
        let mut bytes = vec![3; 32];
        bytes.extend([5, 16]); // Subnet 5, mechanism 1: 5 + 4096.
        bytes.extend([8, 1, 0, 2, 0]);
        bytes.extend([8, 7, 0, 0xff, 0xff]);
        bytes.extend([4, 9, 0]);
        bytes.extend(11u64.to_le_bytes());
        let index = storage_index(Netuid(5), Mechanism(1));
        assert_eq!(commit_hash(&hotkey, index, &columns, &[9], 11), blake2_256(&bytes));
        assert_ne!(commit_hash(&hotkey, 5, &columns, &[9], 11), blake2_256(&bytes));
    }

    #[test]
    fn salts_differ() {
        assert_eq!(salt().len(), SALT);
        assert_ne!(salt(), salt());
    }

    #[test]
    fn a_reveal_has_one_epoch() {
        let commit = Commit {
            kind: CommitKind::Hash { salt: vec![1] },
            hash: [0; 32],
            row: Row::new(),
            version_key: 0,
            epoch: 40,
            reveal: Height(900),
        };
        assert_eq!(check_reveal(&commit, 41, 2), Err(WeightsError::RevealTooEarly { reveal: Height(900) }));
        assert_eq!(check_reveal(&commit, 42, 2), Ok(()));
        assert_eq!(check_reveal(&commit, 43, 2), Err(WeightsError::RevealTooLate { epoch: 42 }));
    }

    #[test]
    fn a_commit_outlives_a_restart() {
        for kind in [CommitKind::Timelocked { round: 7 }, CommitKind::Hash { salt: vec![1, 2] }] {
            let row = vec![(Uid(4), 65535)];
            let commit = Commit { kind, hash: [9; 32], row, version_key: 3, epoch: 5, reveal: Height(6) };
            let text = serde_json::to_string(&commit).unwrap();
            assert_eq!(serde_json::from_str::<Commit>(&text).unwrap(), commit);
        }
    }
}
