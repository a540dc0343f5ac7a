//! Commit-reveal by hashes: a validator commits the hash of its weights, and reveals the weights a
//! given number of epochs later.

use super::pallet::*;
use crate::types::{MechId, NetUid, NetUidStorageIndex};
use frame_support::{ensure, pallet_prelude::*};
use parity_scale_codec::{Compact, Encode};
use sp_core::{H256, crypto::AccountId32};
use sp_io::hashing::blake2_256;
use std::collections::VecDeque;

/// A committed hash: the hash, the epoch and the block of the commit, and a number that is no longer
/// used.
pub type HashCommit = (H256, u64, u64, u64);

/// The maximum number of commits of a hotkey that wait for their reveal.
pub(super) const MAX_UNREVEALED: usize = 10;

/// The contents of a commit, as revealed.
pub struct Reveal {
    /// The uids.
    pub uids: Vec<u16>,
    /// Their weights.
    pub values: Vec<u16>,
    /// Random numbers, which keep the hash from being guessed.
    pub salt: Vec<u16>,
    /// The version key of the validator.
    pub version_key: u64,
}

impl Reveal {
    /// Builds the reveals of a batch from its lists, which must have the same length.
    pub(super) fn zip<T: Config>(
        uids: Vec<Vec<u16>>,
        values: Vec<Vec<u16>>,
        salts: Vec<Vec<u16>>,
        version_keys: Vec<u64>,
    ) -> Result<Vec<Self>, Error<T>> {
        let count = uids.len();
        let equal = [values.len(), salts.len(), version_keys.len()] == [count; 3];
        ensure!(equal, Error::<T>::InputLengthsUnequal);
        let parts = uids.into_iter().zip(values).zip(salts).zip(version_keys);
        let reveal = |(((uids, values), salt), version_key)| Self { uids, values, salt, version_key };
        Ok(parts.map(reveal).collect())
    }

    /// Returns the hash that commits to these weights.
    #[must_use]
    pub fn hash(&self, hotkey: &AccountId32, index: NetUidStorageIndex) -> H256 {
        let Self { uids, values, salt, version_key } = self;
        H256(blake2_256(&(hotkey, index, uids, values, salt, version_key).encode()))
    }
}

impl<T: Config> Pallet<T> {
    /// Returns the number of the epoch that the present block belongs to. A block in which an epoch is
    /// due already belongs to the next.
    pub(super) fn current_epoch(netuid: NetUid) -> u64 {
        let due = Self::schedule(netuid).next().is_some_and(|next| Self::current_block() >= next);
        SubnetEpochIndex::<T>::get(netuid) + u64::from(due)
    }

    /// Returns the epoch in which a commit of `epoch` can be revealed.
    pub(super) fn reveal_epoch(netuid: NetUid, epoch: u64) -> u64 {
        epoch.saturating_add(RevealPeriodEpochs::<T>::get(netuid))
    }

    /// Checks whether it is too late to reveal a commit of `epoch`.
    pub(super) fn is_expired(netuid: NetUid, epoch: u64) -> bool {
        Self::current_epoch(netuid) > Self::reveal_epoch(netuid, epoch)
    }

    pub(super) fn is_revealable(netuid: NetUid, epoch: u64) -> bool {
        Self::current_epoch(netuid) == Self::reveal_epoch(netuid, epoch)
    }

    /// Checks who may commit, and returns the uid.
    pub(super) fn committer(
        hotkey: &AccountId32,
        netuid: NetUid,
        index: NetUidStorageIndex,
    ) -> Result<u16, Error<T>> {
        let uid = Uids::<T>::get(netuid, hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        let rested = Self::passes_weights_rate_limit(netuid, index, uid);
        ensure!(rested, Error::<T>::CommittingWeightsTooFast);
        Ok(uid)
    }

    pub(super) fn do_commit_weights(
        hotkey: &AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        hash: H256,
    ) -> DispatchResult {
        let index = Self::mechanism_index(netuid, mechanism)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let uid = Self::committer(hotkey, netuid, index)?;
        let mut commits = WeightCommits::<T>::get(index, hotkey).unwrap_or_default();
        drop_expired::<T>(netuid, &mut commits);
        ensure!(commits.len() < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
        commits.push_back((hash, Self::current_epoch(netuid), Self::current_block(), 0));
        WeightCommits::<T>::insert(index, hotkey, commits);
        Self::deposit_event(Event::WeightsCommitted(hotkey.clone(), index, hash));
        Self::set_last_update(index, uid);
        Ok(())
    }

    pub(super) fn do_batch_commit_weights(
        hotkey: AccountId32,
        netuids: Vec<Compact<NetUid>>,
        hashes: &[H256],
    ) -> DispatchResult {
        ensure!(netuids.len() == hashes.len(), Error::<T>::InputLengthsUnequal);
        let commit = |(netuid, hash): (&Compact<NetUid>, &H256)| {
            (netuid.0, Self::do_commit_weights(&hotkey, netuid.0, MechId(0), *hash))
        };
        Self::tell_batch(netuids.iter().zip(hashes).map(commit).collect());
        Self::deposit_event(Event::BatchWeightsCompleted(netuids, hotkey));
        Ok(())
    }

    /// Sets the weights of a commit, and drops it and all earlier ones.
    pub(super) fn do_reveal_weights(
        hotkey: &AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        reveal: &Reveal,
    ) -> DispatchResult {
        let index = NetUidStorageIndex::of(netuid, mechanism);
        let hash = reveal.hash(hotkey, index);
        let mut commits = Self::open_commits(hotkey, netuid, index, hash)?;
        let position = Self::position(netuid, &commits, hash)?;
        commits.drain(..=position);
        Self::store_commits(index, hotkey, commits);
        let Reveal { uids, values, version_key, .. } = reveal;
        Self::do_set_weights(hotkey, netuid, mechanism, uids, values, *version_key)?;
        Self::deposit_event(Event::WeightsRevealed(hotkey.clone(), index, hash));
        Ok(())
    }

    /// Sets the weights of several commits, and drops those commits only.
    pub(super) fn do_batch_reveal_weights(
        hotkey: AccountId32,
        netuid: NetUid,
        reveals: &[Reveal],
    ) -> DispatchResult {
        let index = NetUidStorageIndex::from(netuid);
        let hashes: Vec<H256> = reveals.iter().map(|reveal| reveal.hash(&hotkey, index)).collect();
        for (reveal, hash) in reveals.iter().zip(&hashes) {
            let mut commits = Self::open_commits(&hotkey, netuid, index, *hash)?;
            let position = Self::position(netuid, &commits, *hash)?;
            commits.remove(position);
            Self::store_commits(index, &hotkey, commits);
            let Reveal { uids, values, version_key, .. } = reveal;
            Self::do_set_weights(&hotkey, netuid, MechId(0), uids, values, *version_key)?;
        }
        Self::deposit_event(Event::WeightsBatchRevealed(hotkey, netuid, hashes));
        Ok(())
    }

    /// Returns the commits that are not expired. There is at least one; otherwise the error says
    /// whether `hash` is expired.
    fn open_commits(
        hotkey: &AccountId32,
        netuid: NetUid,
        index: NetUidStorageIndex,
        hash: H256,
    ) -> Result<VecDeque<HashCommit>, Error<T>> {
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let mut commits = WeightCommits::<T>::get(index, hotkey).ok_or(Error::<T>::NoWeightsCommitFound)?;
        let expired = drop_expired::<T>(netuid, &mut commits);
        let open = commits.iter().any(|commit| commit.0 == hash);
        ensure!(open || !expired.contains(&hash), Error::<T>::ExpiredWeightCommit);
        ensure!(!commits.is_empty(), Error::<T>::NoWeightsCommitFound);
        Ok(commits)
    }

    /// Returns the position of a commit that can be revealed now.
    fn position(netuid: NetUid, commits: &VecDeque<HashCommit>, hash: H256) -> Result<usize, Error<T>> {
        let position = commits.iter().position(|commit| commit.0 == hash);
        let position = position.ok_or(Error::<T>::InvalidRevealCommitHashNotMatch)?;
        ensure!(Self::is_revealable(netuid, commits[position].1), Error::<T>::RevealTooEarly);
        Ok(position)
    }

    fn store_commits(index: NetUidStorageIndex, hotkey: &AccountId32, commits: VecDeque<HashCommit>) {
        WeightCommits::<T>::set(index, hotkey, (!commits.is_empty()).then_some(commits));
    }
}

/// Removes the expired commits, which are the oldest, and returns their hashes.
fn drop_expired<T: Config>(netuid: NetUid, commits: &mut VecDeque<HashCommit>) -> Vec<H256> {
    let mut expired = Vec::new();
    while let Some(commit) = commits.front().copied() {
        if !Pallet::<T>::is_expired(netuid, commit.1) {
            break;
        }
        expired.push(commit.0);
        commits.pop_front();
    }
    expired
}
