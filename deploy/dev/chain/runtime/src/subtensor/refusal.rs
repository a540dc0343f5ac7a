//! The refusals of the transaction pool before a call is dispatched, with the numbers that clients see.

use super::{commit_reveal::Reveal, pallet::*, timelock::Beacon};
use crate::types::{MechId, NetUid, NetUidStorageIndex};
use frame_support::ensure;
use parity_scale_codec::Compact;
use sp_core::crypto::AccountId32;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

/// A refusal by the pool: `InvalidTransaction::Custom(number)`. JSON-RPC reports it with code 1010.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolRefusal {
    /// The signer's stake weight is below the threshold.
    StakeTooLow = 1,
    /// The signer's last weights or commit are more recent than the rate limit allows.
    RateLimited = 6,
    /// The hotkey that serves has no uid in the subnet.
    NotRegistered = 10,
    /// The announced IP address is a loopback or broadcast address.
    InvalidIp = 11,
    /// The last announced address is more recent than the rate limit allows.
    ServingRateLimited = 12,
    /// The announced port is 0.
    InvalidPort = 13,
    /// The pulse of the reveal round is already known.
    InvalidRevealRound = 15,
    /// The revealed weights are not those of any commit.
    CommitNotFound = 16,
    /// The commit cannot be revealed in this epoch.
    NotInRevealRange = 17,
    /// The lists of a batch have different lengths.
    UnequalLengths = 18,
    /// The chain has no number for the reason.
    BadRequest = 255,
}

impl PoolRefusal {
    /// Returns the number in `Custom(n)`.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl<T> From<Error<T>> for PoolRefusal {
    fn from(error: Error<T>) -> Self {
        match error {
            Error::NotEnoughStakeToSetWeights => Self::StakeTooLow,
            Error::CommittingWeightsTooFast | Error::SettingWeightsTooFast => Self::RateLimited,
            Error::HotKeyNotRegisteredInNetwork => Self::NotRegistered,
            Error::InvalidIpAddress => Self::InvalidIp,
            Error::ServingRateLimitExceeded => Self::ServingRateLimited,
            Error::InvalidPort => Self::InvalidPort,
            Error::InvalidRevealRound => Self::InvalidRevealRound,
            Error::NoWeightsCommitFound => Self::CommitNotFound,
            Error::RevealTooEarly => Self::NotInRevealRange,
            Error::InputLengthsUnequal => Self::UnequalLengths,
            _ => Self::BadRequest,
        }
    }
}

impl From<PoolRefusal> for TransactionValidityError {
    fn from(refusal: PoolRefusal) -> Self {
        InvalidTransaction::Custom(refusal.number()).into()
    }
}

impl<T: Config> Pallet<T> {
    /// Runs the pool's checks of a signed call of this pallet: lengths of batches, stake, commits, rate
    /// limits, addresses.
    pub fn check_in_pool(signer: &AccountId32, call: &Call<T>) -> Result<(), PoolRefusal> {
        check_lengths(call)?;
        for netuid in weighed_subnets(call) {
            let has_stake = Self::has_stake_for_weights(signer, netuid);
            ensure!(has_stake, PoolRefusal::StakeTooLow);
        }
        Self::check_commits(signer, call)?;
        Self::check_rate_limit(signer, call)?;
        if let Call::serve_axon { netuid, ip, port, ip_type, .. } = call {
            Self::check_axon(signer, *netuid, *ip_type, *ip, *port)?;
        }
        Ok(())
    }

    /// Checks that a reveal fits a commit and its epoch, and that a reveal round is in the future.
    fn check_commits(signer: &AccountId32, call: &Call<T>) -> Result<(), Error<T>> {
        match call {
            Call::reveal_weights { netuid, uids, values, salt, version_key } => {
                let reveal = copied(uids, values, salt, *version_key);
                Self::check_reveal(signer, *netuid, MechId(0), &reveal)
            }
            Call::reveal_mechanism_weights { netuid, mecid, uids, values, salt, version_key } => {
                let reveal = copied(uids, values, salt, *version_key);
                Self::check_reveal(signer, *netuid, *mecid, &reveal)
            }
            Call::batch_reveal_weights { netuid, uids_list, values_list, salts_list, version_keys } => {
                let reveals = Reveal::zip::<T>(
                    uids_list.clone(),
                    values_list.clone(),
                    salts_list.clone(),
                    version_keys.clone(),
                )?;
                reveals.iter().try_for_each(|reveal| Self::check_reveal(signer, *netuid, MechId(0), reveal))
            }
            Call::commit_timelocked_weights { reveal_round, .. }
            | Call::commit_timelocked_mechanism_weights { reveal_round, .. }
            | Call::commit_crv3_mechanism_weights { reveal_round, .. } => {
                ensure!(*reveal_round >= T::Beacon::last_round(), Error::<T>::InvalidRevealRound);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_reveal(
        signer: &AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        reveal: &Reveal,
    ) -> Result<(), Error<T>> {
        let index = NetUidStorageIndex::of(netuid, mechanism);
        let hash = reveal.hash(signer, index);
        let commits = WeightCommits::<T>::get(index, signer).unwrap_or_default();
        let commit = commits.iter().find(|commit| commit.0 == hash);
        let commit = commit.ok_or(Error::<T>::NoWeightsCommitFound)?;
        ensure!(Self::is_revealable(netuid, commit.1), Error::<T>::RevealTooEarly);
        Ok(())
    }

    fn check_rate_limit(signer: &AccountId32, call: &Call<T>) -> Result<(), Error<T>> {
        let (netuid, mechanism, commits) = match call {
            Call::set_weights { netuid, .. } => (*netuid, MechId(0), false),
            Call::set_mechanism_weights { netuid, mecid, .. } => (*netuid, *mecid, false),
            Call::commit_weights { netuid, .. } => (*netuid, MechId(0), true),
            Call::commit_mechanism_weights { netuid, mecid, .. } => (*netuid, *mecid, true),
            _ => return Ok(()),
        };
        let limited = commits || !CommitRevealWeightsEnabled::<T>::get(netuid);
        let index = NetUidStorageIndex::of(netuid, mechanism);
        let uid = Uids::<T>::get(netuid, signer);
        let rested = uid.is_none_or(|uid| Self::passes_weights_rate_limit(netuid, index, uid));
        ensure!(!limited || rested, Error::<T>::SettingWeightsTooFast);
        Ok(())
    }
}

fn copied(uids: &[u16], values: &[u16], salt: &[u16], version_key: u64) -> Reveal {
    Reveal { uids: uids.to_vec(), values: values.to_vec(), salt: salt.to_vec(), version_key }
}

/// Checks that the lists of a batch have the same length.
fn check_lengths<T: Config>(call: &Call<T>) -> Result<(), PoolRefusal> {
    let equal = match call {
        Call::batch_commit_weights { netuids, commit_hashes } => netuids.len() == commit_hashes.len(),
        Call::batch_set_weights { netuids, weights, version_keys } => {
            [weights.len(), version_keys.len()] == [netuids.len(); 2]
        }
        Call::batch_reveal_weights { uids_list, values_list, salts_list, version_keys, .. } => {
            [values_list.len(), salts_list.len(), version_keys.len()] == [uids_list.len(); 3]
        }
        _ => true,
    };
    ensure!(equal, PoolRefusal::UnequalLengths);
    Ok(())
}

/// Returns the subnets for which a call sets, commits or reveals weights.
fn weighed_subnets<T: Config>(call: &Call<T>) -> Vec<NetUid> {
    match call {
        Call::set_weights { netuid, .. }
        | Call::set_mechanism_weights { netuid, .. }
        | Call::commit_weights { netuid, .. }
        | Call::commit_mechanism_weights { netuid, .. }
        | Call::reveal_weights { netuid, .. }
        | Call::reveal_mechanism_weights { netuid, .. }
        | Call::batch_reveal_weights { netuid, .. }
        | Call::commit_timelocked_weights { netuid, .. }
        | Call::commit_timelocked_mechanism_weights { netuid, .. }
        | Call::commit_crv3_mechanism_weights { netuid, .. } => vec![*netuid],
        Call::batch_set_weights { netuids, .. } | Call::batch_commit_weights { netuids, .. } => {
            netuids.iter().map(|Compact(netuid)| *netuid).collect()
        }
        _ => Vec::new(),
    }
}
