//! Commit-reveal by timelock encryption: a validator commits encrypted weights, and the chain decrypts
//! and sets them as soon as the beacon has signed the round that they were encrypted to.

use super::{commit_reveal::MAX_UNREVEALED, pallet::*};
use crate::types::{MechId, NetUid, NetUidStorageIndex};
use frame_support::{BoundedVec, ensure, pallet_prelude::*};
use parity_scale_codec::Decode;
use sp_core::{ConstU32, H256, crypto::AccountId32};
use sp_io::hashing::blake2_256;
use std::collections::VecDeque;

/// Encrypted weights of at most 5000 bytes.
pub type Ciphertext = BoundedVec<u8, ConstU32<5000>>;

/// A commit of encrypted weights: the hotkey, the block, the weights, the reveal round.
pub type TimelockedCommit = (AccountId32, u64, Ciphertext, u64);

/// The beacon that signs the rounds to which weights are encrypted.
pub trait Beacon {
    /// Makes the newest round known, and those of the `awaited` rounds that are not in the future.
    fn advance(awaited: impl Iterator<Item = u64>);
    /// Returns the newest known round; 0 before the first.
    fn last_round() -> u64;
    /// Decrypts a ciphertext. The outer `None` means that the round is not known yet, the inner one
    /// that the ciphertext cannot be decrypted with it.
    fn decrypt(round: u64, ciphertext: &[u8]) -> Option<Option<Vec<u8>>>;
}

/// The plain contents of a commit.
#[derive(Decode)]
struct Payload {
    /// The hotkey that committed. It keeps others from committing a copy.
    hotkey: Vec<u8>,
    uids: Vec<u16>,
    values: Vec<u16>,
    version_key: u64,
}

impl<T: Config> Pallet<T> {
    pub(super) fn do_commit_timelocked_weights(
        hotkey: AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        commit: Ciphertext,
        reveal_round: u64,
        version: u16,
    ) -> DispatchResult {
        let index = Self::mechanism_index(netuid, mechanism)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let current = CommitRevealWeightsVersion::<T>::get();
        ensure!(version == current, Error::<T>::IncorrectCommitRevealVersion);
        let uid = Self::committer(&hotkey, netuid, index)?;
        let epoch = Self::current_epoch(netuid);
        let mut commits = TimelockedWeightCommits::<T>::get(index, epoch);
        let own = commits.iter().filter(|(committer, ..)| *committer == hotkey).count();
        ensure!(own < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
        let hash = H256(blake2_256(&commit));
        commits.push_back((hotkey.clone(), Self::current_block(), commit, reveal_round));
        TimelockedWeightCommits::<T>::insert(index, epoch, commits);
        Self::deposit_event(Event::TimelockedWeightsCommitted(hotkey, index, hash, reveal_round));
        Self::set_last_update(index, uid);
        Ok(())
    }

    /// Advances the beacon and reveals what is due, on all subnets with commit-reveal.
    pub(super) fn reveal_timelocked_weights(netuids: &[NetUid]) {
        let enabled = |netuid: &&NetUid| CommitRevealWeightsEnabled::<T>::get(netuid);
        let committing: Vec<NetUid> = netuids.iter().filter(enabled).copied().collect();
        if committing.is_empty() {
            return;
        }
        let indices = committing.iter().flat_map(|netuid| Self::mechanism_indices(*netuid));
        let commits = indices.flat_map(|(_, index)| {
            TimelockedWeightCommits::<T>::iter_prefix_values(index).flatten().collect::<Vec<_>>()
        });
        T::Beacon::advance(commits.map(|(.., round)| round));
        committing.into_iter().for_each(Self::reveal_timelocked_weights_of);
    }

    fn reveal_timelocked_weights_of(netuid: NetUid) {
        // A commit is revealed in exactly one epoch.
        let period = RevealPeriodEpochs::<T>::get(netuid);
        let Some(epoch) = Self::current_epoch(netuid).checked_sub(period) else { return };
        for (mechanism, index) in Self::mechanism_indices(netuid) {
            let committed: Vec<u64> = TimelockedWeightCommits::<T>::iter_key_prefix(index).collect();
            for expired in committed.into_iter().filter(|committed| *committed < epoch) {
                TimelockedWeightCommits::<T>::remove(index, expired);
            }
            let commits = TimelockedWeightCommits::<T>::take(index, epoch);
            let reveal =
                |commit: &TimelockedCommit| !Self::reveal_timelocked(netuid, mechanism, index, commit);
            let waiting: VecDeque<TimelockedCommit> = commits.into_iter().filter(reveal).collect();
            if !waiting.is_empty() {
                TimelockedWeightCommits::<T>::insert(index, epoch, waiting);
            }
        }
    }

    /// Reveals a commit. Returns `false` if its round is not known yet. A commit that is malformed,
    /// copied from another hotkey or refused by the rules for weights counts as done: it is dropped.
    fn reveal_timelocked(
        netuid: NetUid,
        mechanism: MechId,
        index: NetUidStorageIndex,
        (hotkey, _, ciphertext, round): &TimelockedCommit,
    ) -> bool {
        let Some(plain) = T::Beacon::decrypt(*round, ciphertext) else { return false };
        let payload = plain.and_then(|plain| Payload::decode(&mut &plain[..]).ok());
        let own = |payload: &Payload| payload.hotkey == AsRef::<[u8]>::as_ref(hotkey);
        if let Some(Payload { uids, values, version_key, .. }) = payload.filter(own) {
            let set = Self::do_set_weights(hotkey, netuid, mechanism, &uids, &values, version_key);
            if set.is_ok() {
                Self::deposit_event(Event::TimelockedWeightsRevealed(index, hotkey.clone()));
            }
        }
        true
    }

    fn mechanism_indices(netuid: NetUid) -> impl Iterator<Item = (MechId, NetUidStorageIndex)> {
        let count = MechanismCountCurrent::<T>::get(netuid).0;
        (0..count)
            .map(move |mechanism| (MechId(mechanism), NetUidStorageIndex::of(netuid, MechId(mechanism))))
    }

    /// Returns the block of each neuron's oldest commit that waits for its reveal; `u64::MAX` without
    /// one.
    pub(super) fn oldest_commits(netuid: NetUid, hotkeys: &[AccountId32]) -> Vec<u64> {
        let index = NetUidStorageIndex::from(netuid);
        let hashed = hotkeys.iter().map(|hotkey| {
            let commits = WeightCommits::<T>::get(index, hotkey).unwrap_or_default();
            commits
                .into_iter()
                .filter(|commit| !Self::is_expired(netuid, commit.1))
                .map(|commit| commit.2)
                .min()
        });
        let mut oldest: Vec<u64> = hashed.map(|block| block.unwrap_or(u64::MAX)).collect();
        let timelocked = TimelockedWeightCommits::<T>::iter_prefix(index)
            .filter(|(epoch, _)| !Self::is_expired(netuid, *epoch))
            .flat_map(|(_, commits)| commits);
        for (hotkey, block, ..) in timelocked {
            let uid = hotkeys.iter().position(|known| *known == hotkey);
            if let Some(cell) = uid.and_then(|uid| oldest.get_mut(uid)) {
                *cell = block.min(*cell);
            }
        }
        oldest
    }
}
