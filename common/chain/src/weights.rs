//! Sets a validator's weights on the miners, in the form that the subnet takes: openly, or as a commit that
//! is revealed later.

mod commit;
mod error;
mod standing;

pub(crate) use commit::Payload;
pub use commit::{Commit, CommitKind, PendingCommit};
pub use error::WeightsError;
pub use standing::{WeightsForm, WeightsStanding};

use base::{BlockHash, Height, Hotkey, Mechanism, Netuid, Uid};
use chain_metadata::api;
use std::time::Duration;

use crate::{
    Block, Call, Client, Included, Row, TransactionError, beacon, error::ReadError, refusal::Refusal,
    wallet::KeyPair,
};
use commit::{TIMELOCK_VERSION, check_reveal, columns, commit_hash, entries, salt};

/// Returns the number under which the chain keeps a mechanism's weights, incentives and updates. Source:
/// `get_mechanism_storage_index` of the chain's pallet.
pub(crate) fn storage_index(netuid: Netuid, mechanism: Mechanism) -> u16 {
    /// The most subnets (`GLOBAL_MAX_SUBNET_COUNT`).
    const SUBNETS: u16 = 4096;
    u16::from(mechanism.0).saturating_mul(SUBNETS).saturating_add(netuid.0)
}

/// Blocks before an epoch in which nothing is committed: a commit that comes later than expected would
/// belong to the next epoch, and its round would come an epoch before its reveal.
const MARGIN: u64 = 2;

/// The number of blocks whose times are compared. Each takes two requests.
const MEASURED: u64 = 4;

/// Scales weights so that the largest is 65535. The chain scales the weights that it receives in the same
/// way, so it leaves scaled weights unchanged.
///
/// Rounds to the nearest integer, halves up. Returns `None` if no weight is above 0.
pub fn scale_to_max(weights: &[(Uid, u16)]) -> Option<Row> {
    let max = weights.iter().map(|(_, weight)| *weight).max().filter(|max| *max > 0)?;
    let (max, top) = (u32::from(max), u32::from(u16::MAX));
    let scaled = |weight: u16| {
        let scaled = (u32::from(weight) * top + max / 2) / max;
        u16::try_from(scaled).expect("no weight is above the largest")
    };
    Some(weights.iter().map(|(uid, weight)| (*uid, scaled(*weight))).collect())
}

/// Weights that are checked and ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedWeights {
    netuid: Netuid,
    mechanism: Mechanism,
    uid: Uid,
    row: Row,
    call: Call,
    commit: Option<Commit>,
}

impl PreparedWeights {
    /// Returns the commit that will be sent, if the subnet has commit-reveal on. To reveal a hash after a
    /// restart, store it before it is sent.
    #[must_use]
    pub fn commit(&self) -> Option<&Commit> {
        self.commit.as_ref()
    }

    /// Returns the call that will be sent.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }
}

/// Weights that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentWeights {
    /// The transaction.
    pub included: Included,
    /// The commit, if the weights are not open yet. Its epoch is that of the block that holds it.
    pub commit: Option<Commit>,
}

impl Client {
    /// Sets the weights of the signer's hotkey on a subnet's first mechanism, in the form that the subnet
    /// takes, and checks on chain that they are set or committed.
    ///
    /// `weights` are relative: they are scaled so that the largest is 65535. Checks the chain's rules before
    /// it sends anything: registration, version key, rate limit, permit, and the weights themselves.
    pub async fn set_weights(
        &self,
        netuid: Netuid,
        weights: &[(Uid, u16)],
        version_key: u64,
        hotkey: &KeyPair,
    ) -> Result<Included, WeightsError> {
        let place = (netuid, Mechanism::MAIN);
        let prepared = self.prepare_weights(place, weights, version_key, hotkey).await?;
        Ok(self.send_weights(prepared, hotkey).await?.included)
    }

    /// Checks weights, and brings them into the form that the subnet takes. Sends nothing. Five to
    /// fifteen requests.
    pub async fn prepare_weights(
        &self,
        (netuid, mechanism): (Netuid, Mechanism),
        weights: &[(Uid, u16)],
        version_key: u64,
        hotkey: &KeyPair,
    ) -> Result<PreparedWeights, WeightsError> {
        let row = scale_to_max(weights).ok_or(WeightsError::AllZero)?;
        let standing = self.weights_standing(netuid, mechanism, &hotkey.hotkey()).await?;
        let uid = standing.check(netuid, &row, version_key)?;
        let (uids, weights) = columns(&row);
        let (call, commit) = match &standing.form {
            WeightsForm::Plain => (Call::SetWeights { netuid, mechanism, uids, weights, version_key }, None),
            _ => {
                let best = Height(self.best_header().await?.number);
                let draft =
                    Draft { netuid, mechanism, hotkey: hotkey.hotkey(), row: row.clone(), version_key };
                let block_time = self.block_time(&standing.head).await?;
                let (call, commit) = draft.commit(&standing, best, block_time)?;
                (call, Some(commit))
            }
        };
        Ok(PreparedWeights { netuid, mechanism, uid, row, call, commit })
    }

    /// Sends prepared weights, and checks on chain that they are set or committed.
    pub async fn send_weights(
        &self,
        prepared: PreparedWeights,
        hotkey: &KeyPair,
    ) -> Result<SentWeights, WeightsError> {
        let PreparedWeights { netuid, mechanism, uid, row, call, commit } = prepared;
        let included = self.submit(&call, hotkey).await?;
        let Some(commit) = commit else {
            let included = self.check_weights((netuid, mechanism, uid), row, included, Written::Now).await?;
            return Ok(SentWeights { included, commit: None });
        };
        let read = self.at(included.block).reveal_schedule(netuid).await;
        let (schedule, period) = read.map_err(|source| unread(&included, source))?;
        let commit = commit.corrected(&schedule, period);
        Ok(SentWeights { included, commit: Some(commit) })
    }

    /// Reveals a committed hash, and checks on chain that the weights are set. For a timelocked commit there
    /// is nothing to send: the chain reveals it.
    ///
    /// # Errors
    /// The commit cannot be revealed now, or the chain refuses.
    pub async fn reveal_weights(
        &self,
        (netuid, mechanism): (Netuid, Mechanism),
        commit: &Commit,
        hotkey: &KeyPair,
    ) -> Result<Option<Included>, WeightsError> {
        let Some(call) = commit.reveal_call(netuid, mechanism) else { return Ok(None) };
        let standing = self.weights_standing(netuid, mechanism, &hotkey.hotkey()).await?;
        let uid = standing.uid.ok_or(WeightsError::Foreseen(Refusal::NotRegistered))?;
        check_reveal(commit, standing.schedule.epoch_of(standing.next_block()), standing.reveal_period)?;
        let included = self.submit(&call, hotkey).await?;
        let place = (netuid, mechanism, uid);
        self.check_weights(place, commit.row.clone(), included, Written::Before).await.map(Some)
    }

    /// Returns the first block in which this hotkey may set weights again. Five requests.
    pub async fn next_weights(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<Height, WeightsError> {
        let standing = self.weights_standing(netuid, Mechanism::MAIN, hotkey).await?;
        standing.uid.ok_or(WeightsError::Foreseen(Refusal::NotRegistered))?;
        Ok(standing.next_weights().map_or(standing.next_block(), |(_, next)| next))
    }

    /// Returns the time between two blocks: the shortest of the last ones, or that of the options if it is
    /// less. A round that is chosen too early can be read too early. One that is chosen too late may never be
    /// revealed: where the chain has paused, the blocks after the pause come faster than the mean.
    async fn block_time(&self, head: &Block) -> Result<Duration, ReadError> {
        let expected = self.options().block_time;
        // The genesis block has no time.
        let first = head.height.0.saturating_sub(MEASURED).max(1);
        let (mut shortest, mut later) = (expected, head.time);
        for height in (first..head.height.0).rev() {
            let earlier = self.at(self.block_hash(Height(height)).await?).time().await?;
            shortest = shortest.min(Duration::from_millis(later.0.saturating_sub(earlier.0)));
            later = earlier;
        }
        Ok(shortest)
    }

    async fn check_weights(
        &self,
        (netuid, mechanism, uid): (Netuid, Mechanism, Uid),
        sent: Row,
        included: Included,
        written: Written,
    ) -> Result<Included, WeightsError> {
        let found = self.weights_of(included.block, storage_index(netuid, mechanism), uid).await;
        let (found, last_update) = found.map_err(|source| unread(&included, source))?;
        // Runtimes may have no times of updates for mechanisms other than the first.
        let is_timed = written == Written::Before || last_update.is_none_or(|last| last == included.height);
        if entries(&found) == entries(&sent) && is_timed {
            Ok(included)
        } else {
            let (included, last_update) = (Box::new(included), last_update.unwrap_or_default());
            Err(WeightsError::NotAsSent { included, uid, sent, found, last_update })
        }
    }

    async fn weights_of(
        &self,
        at: BlockHash,
        index: u16,
        uid: Uid,
    ) -> Result<(Row, Option<Height>), ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let (slots, values) = self
            .at(at)
            .read(|batch| {
                let row = batch.add(subtensor().weights(), (index, uid.0))?;
                Ok((row, batch.add(subtensor().last_update(), (index,))?))
            })
            .await?;
        let row = values.get(slots.0)?.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect();
        let last_updates = values.get(slots.1)?;
        Ok((row, last_updates.get(usize::from(uid.0)).copied().map(Height)))
    }
}

/// The time at which the chain notes new weights as an update of their validator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// With the weights.
    Now,
    /// With the commit, before the reveal.
    Before,
}

fn unread(included: &Included, source: ReadError) -> WeightsError {
    let (hash, block, source) = (included.hash, included.block, Box::new(source));
    TransactionError::Unread { hash, block, source }.into()
}

/// Weights that are to be committed.
struct Draft {
    netuid: Netuid,
    mechanism: Mechanism,
    hotkey: Hotkey,
    row: Row,
    version_key: u64,
}

impl Draft {
    /// Makes the commit and its call. `best` is the newest block.
    fn commit(
        self,
        standing: &WeightsStanding,
        best: Height,
        block_time: Duration,
    ) -> Result<(Call, Commit), WeightsError> {
        let Self { netuid, mechanism, hotkey, row, version_key } = self;
        let schedule = &standing.schedule;
        let block = best.max(standing.head.height).next();
        let epoch = schedule.epoch_of(block);
        if schedule.tempo > 2 * MARGIN {
            let next = schedule.first_block(epoch.saturating_add(1)).ok_or(WeightsError::NoEpochs(netuid))?;
            if block.0.saturating_add(MARGIN) >= next.0 {
                return Err(WeightsError::EpochEnds { next });
            }
        }
        let first = schedule.first_block(epoch.saturating_add(standing.reveal_period));
        let first = first.ok_or(WeightsError::NoEpochs(netuid))?;
        let (uids, weights) = columns(&row);
        let commit = |kind, hash, reveal| Commit { kind, hash, row, version_key, epoch, reveal };
        let timelocked = match &standing.form {
            WeightsForm::Timelocked(beacon) => {
                let now = standing.head.time;
                let (round, reveal) = beacon::reveal_round(beacon, schedule, first, (now, block_time));
                // Where an epoch is shorter than the beacon's period, a round may come after it.
                let ends = first.0.saturating_add(schedule.tempo);
                Some((beacon, round, reveal)).filter(|_| reveal.0 < ends)
            }
            _ => None,
        };
        if let Some((beacon, round, reveal)) = timelocked {
            let payload = Payload::new(&hotkey, uids, weights, version_key).encoded();
            let ciphertext = beacon.encrypt(round, &payload)?;
            let hash = sp_crypto_hashing::blake2_256(&ciphertext);
            let (commit_bytes, version) = (ciphertext, TIMELOCK_VERSION);
            let call = Call::CommitTimelocked { netuid, mechanism, commit: commit_bytes, round, version };
            Ok((call, commit(CommitKind::Timelocked { round }, hash, reveal)))
        } else {
            let salt = salt();
            let hash =
                commit_hash(&hotkey, storage_index(netuid, mechanism), &(uids, weights), &salt, version_key);
            let call = Call::CommitHash { netuid, mechanism, hash };
            Ok((call, commit(CommitKind::Hash { salt }, hash, first)))
        }
    }
}

#[cfg(test)]
mod tests;
