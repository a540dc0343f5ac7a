//! Sets weights: runs the checks in the chain's order, then stores the row, scaled so that its largest
//! value is 65535.

use super::pallet::*;
use crate::{
    types::{MechId, NetUid, NetUidStorageIndex},
    yuma::SparseRow,
};
use frame_support::{ensure, pallet_prelude::*};
use parity_scale_codec::Compact;
use sp_core::crypto::AccountId32;

impl<T: Config> Pallet<T> {
    /// Sets weights by a transaction that carries them openly.
    pub(super) fn do_set_plain_weights(
        hotkey: &AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        uids: &[u16],
        weights: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        ensure!(!CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealEnabled);
        Self::do_set_weights(hotkey, netuid, mechanism, uids, weights, version_key)
    }

    /// Sets the weights of each item. An item that fails leaves an event.
    pub(super) fn do_batch_set_weights(
        hotkey: AccountId32,
        netuids: Vec<Compact<NetUid>>,
        weights: &[Vec<(Compact<u16>, Compact<u16>)>],
        version_keys: &[Compact<u64>],
    ) -> DispatchResult {
        let equal = netuids.len() == weights.len() && netuids.len() == version_keys.len();
        ensure!(equal, Error::<T>::InputLengthsUnequal);
        let items = netuids.iter().zip(weights).zip(version_keys);
        let results = items.map(|((netuid, row), version_key)| {
            let (uids, values): (Vec<u16>, Vec<u16>) =
                row.iter().map(|(uid, value)| (uid.0, value.0)).unzip();
            let set = Self::do_set_plain_weights(&hotkey, netuid.0, MechId(0), &uids, &values, version_key.0);
            (netuid.0, set)
        });
        Self::tell_batch(results.collect());
        Self::deposit_event(Event::BatchWeightsCompleted(netuids, hotkey));
        Ok(())
    }

    /// Deposits an event for each failed item of a batch.
    pub(super) fn tell_batch(results: Vec<(NetUid, DispatchResult)>) {
        let failed = results.into_iter().filter_map(|(netuid, result)| Some((netuid, result.err()?)));
        for (count, (netuid, error)) in failed.enumerate() {
            if count == 0 {
                Self::deposit_event(Event::BatchCompletedWithErrors());
            }
            Self::deposit_event(Event::BatchWeightItemFailed(netuid, error));
        }
    }

    /// Sets weights, whether they came openly or were revealed.
    pub(super) fn do_set_weights(
        hotkey: &AccountId32,
        netuid: NetUid,
        mechanism: MechId,
        uids: &[u16],
        weights: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        ensure!(netuid != NetUid(0), Error::<T>::CanNotSetRootNetworkWeights);
        ensure!(uids.len() == weights.len(), Error::<T>::WeightVecNotEqualSize);
        let index = Self::mechanism_index(netuid, mechanism)?;
        let n = SubnetworkN::<T>::get(netuid);
        ensure!(uids.len() <= usize::from(n), Error::<T>::UidsLengthExceedUidsInSubNet);
        let uid = Uids::<T>::get(netuid, hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        ensure!(Self::has_stake_for_weights(hotkey, netuid), Error::<T>::NotEnoughStakeToSetWeights);
        let required = WeightsVersionKey::<T>::get(netuid);
        ensure!(required == 0 || version_key >= required, Error::<T>::IncorrectWeightVersionKey);
        // Committed weights passed the rate limit when they were committed.
        let committed = CommitRevealWeightsEnabled::<T>::get(netuid);
        ensure!(
            committed || Self::passes_weights_rate_limit(netuid, index, uid),
            Error::<T>::SettingWeightsTooFast
        );

        let only_itself = uids == [uid];
        ensure!(only_itself || Self::holds_permit(netuid, uid), Error::<T>::NeuronNoValidatorPermit);
        ensure!(all_different(uids), Error::<T>::DuplicateUids);
        ensure!(uids.iter().all(|&uid| uid < n), Error::<T>::UidVecContainInvalidOne);
        let least = usize::from(MinAllowedWeights::<T>::get(netuid).min(n));
        ensure!(only_itself || uids.len() >= least, Error::<T>::WeightVecLengthIsLow);
        let limit = MaxWeightsLimit::<T>::get(netuid);
        ensure!(only_itself || within_limit(weights, limit), Error::<T>::MaxWeightExceeded);

        let row: SparseRow = uids.iter().copied().zip(max_upscaled(weights)).collect();
        Weights::<T>::insert(index, uid, row);
        if !committed {
            Self::set_last_update(index, uid);
        }
        Self::deposit_event(Event::WeightsSet(index, uid));
        Ok(())
    }

    /// Returns the index of a mechanism's values, if the subnet has the mechanism.
    pub(super) fn mechanism_index(netuid: NetUid, mechanism: MechId) -> Result<NetUidStorageIndex, Error<T>> {
        let exists = NetworksAdded::<T>::get(netuid) && mechanism < MechanismCountCurrent::<T>::get(netuid);
        ensure!(exists, Error::<T>::MechanismDoesNotExist);
        Ok(NetUidStorageIndex::of(netuid, mechanism))
    }

    /// Records that the neuron set or committed weights in this block.
    pub(super) fn set_last_update(index: NetUidStorageIndex, uid: u16) {
        let block = Self::current_block();
        LastUpdate::<T>::mutate(index, |updates| {
            if let Some(update) = updates.get_mut(usize::from(uid)) {
                *update = block;
            }
        });
    }

    /// Checks whether the hotkey's stake weight reaches the threshold. The subnet owner is exempt.
    pub(super) fn has_stake_for_weights(hotkey: &AccountId32, netuid: NetUid) -> bool {
        *hotkey == SubnetOwnerHotkey::<T>::get(netuid)
            || Self::stake_of(hotkey, netuid) >= StakeThreshold::<T>::get()
    }

    /// Checks whether the neuron's last weights or commit are old enough. A neuron that never set
    /// weights passes.
    pub(super) fn passes_weights_rate_limit(netuid: NetUid, index: NetUidStorageIndex, uid: u16) -> bool {
        let updates = LastUpdate::<T>::get(index);
        let last = updates.get(usize::from(uid)).copied().unwrap_or(0);
        last == 0 || Self::current_block().saturating_sub(last) >= WeightsSetRateLimit::<T>::get(netuid)
    }

    fn holds_permit(netuid: NetUid, uid: u16) -> bool {
        Keys::<T>::get(netuid, uid) == SubnetOwnerHotkey::<T>::get(netuid)
            || ValidatorPermit::<T>::get(netuid).get(usize::from(uid)).copied().unwrap_or(false)
    }
}

fn all_different(uids: &[u16]) -> bool {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Checks whether each weight is at most `limit` / 65535 of the sum.
fn within_limit(weights: &[u16], limit: u16) -> bool {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let largest = u64::from(weights.iter().copied().max().unwrap_or(0));
    limit == u16::MAX || largest * u64::from(u16::MAX) <= total * u64::from(limit)
}

/// Scales weights so that the largest is 65535, rounded to nearest. Zeros stay zeros.
fn max_upscaled(weights: &[u16]) -> Vec<u16> {
    let largest = u32::from(weights.iter().copied().max().unwrap_or(0));
    let scale = |weight: u16| match largest {
        0 => 0,
        _ => ((u32::from(weight) * u32::from(u16::MAX) + largest / 2) / largest) as u16,
    };
    weights.iter().copied().map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weight_becomes_65535_and_ratios_stay() {
        assert_eq!(max_upscaled(&[1, 2, 4]), [16384, 32768, 65535]);
        assert_eq!(max_upscaled(&[16383, 32767, 49149, 65535]), [16383, 32767, 49149, 65535]);
        assert_eq!(max_upscaled(&[0, 0]), [0, 0]);
        assert_eq!(max_upscaled(&[]), Vec::<u16>::new());
    }

    #[test]
    fn a_limit_is_a_share_of_the_sum() {
        assert!(within_limit(&[1, 1], 32768));
        assert!(!within_limit(&[2, 1], 32768));
        assert!(within_limit(&[2, 1], u16::MAX));
    }
}
