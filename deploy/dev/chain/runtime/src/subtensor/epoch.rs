//! Decides when a subnet's epoch is due, and loads and stores its data. The computation is
//! [`crate::yuma::epoch`].

use super::pallet::*;
use crate::{
    types::{AlphaBalance, NetUid, NetUidStorageIndex},
    yuma::{self, EpochInput, EpochOutput, SparseRow},
};
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;

/// The schedule of a subnet's epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The number of blocks from one epoch to the next; 0 = no epochs.
    pub tempo: u64,
    /// The height of the last epoch.
    pub last: u64,
    /// The height of an epoch that the owner requested; 0 = no request.
    pub pending: u64,
}

impl Schedule {
    /// Returns the height of the next epoch, if the subnet has epochs at all.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let regular = self.last.saturating_add(self.tempo);
        let asked_for = (self.pending > 0).then_some(self.pending);
        (self.tempo > 0).then(|| asked_for.map_or(regular, |pending| regular.min(pending)))
    }
}

impl<T: Config> Pallet<T> {
    /// Processes one block of a subnet: accumulates emission, and runs the epoch if it is due.
    pub(super) fn step_subnet(netuid: NetUid) {
        let block = Self::current_block();
        let schedule = Self::schedule(netuid);
        Self::accrue_emission(netuid);
        if schedule.next().is_some_and(|due| block >= due) {
            Self::run_epoch(netuid, block, schedule.last);
            LastEpochBlock::<T>::insert(netuid, block);
            LastMechansimStepBlock::<T>::insert(netuid, block);
            SubnetEpochIndex::<T>::mutate(netuid, |index| *index += 1);
            PendingEpochAt::<T>::remove(netuid);
            BlocksSinceLastStep::<T>::insert(netuid, 0);
        } else {
            BlocksSinceLastStep::<T>::mutate(netuid, |blocks| {
                *blocks = (*blocks + 1).min(schedule.tempo + 1)
            });
        }
    }

    fn accrue_emission(netuid: NetUid) {
        let emission = SubnetAlphaOutEmission::<T>::get(netuid).0;
        if emission > 0 {
            let servers = emission / 2;
            PendingServerEmission::<T>::mutate(netuid, |pending| {
                pending.0 = pending.0.saturating_add(servers)
            });
            PendingValidatorEmission::<T>::mutate(netuid, |pending| {
                pending.0 = pending.0.saturating_add(emission - servers);
            });
        }
    }

    fn run_epoch(netuid: NetUid, block: u64, last_epoch: u64) {
        let emission = PendingServerEmission::<T>::take(netuid)
            .0
            .saturating_add(PendingValidatorEmission::<T>::take(netuid).0);
        let hotkeys: Vec<AccountId32> =
            (0..SubnetworkN::<T>::get(netuid)).map(|uid| Keys::<T>::get(netuid, uid)).collect();
        let output = yuma::epoch(&Self::epoch_input(netuid, &hotkeys, block, last_epoch, emission));
        Self::pay(netuid, &hotkeys, &output);
        Self::store_epoch(netuid, output);
    }

    fn epoch_input(
        netuid: NetUid,
        hotkeys: &[AccountId32],
        block: u64,
        last_epoch: u64,
        emission: u64,
    ) -> EpochInput {
        let index = NetUidStorageIndex::from(netuid);
        let uids = 0..hotkeys.len() as u16;
        EpochInput {
            block,
            last_epoch,
            activity_cutoff: Self::activity_cutoff(netuid),
            stake: hotkeys.iter().map(|hotkey| Self::stake_of(hotkey, netuid)).collect(),
            stake_threshold: StakeThreshold::<T>::get(),
            owner_uid: Uids::<T>::get(netuid, SubnetOwnerHotkey::<T>::get(netuid)),
            max_allowed_validators: MaxAllowedValidators::<T>::get(netuid),
            kappa: Kappa::<T>::get(netuid),
            bonds_penalty: BondsPenalty::<T>::get(netuid),
            bonds_moving_average: BondsMovingAverage::<T>::get(netuid),
            yuma3: Yuma3On::<T>::get(netuid),
            last_update: LastUpdate::<T>::get(index),
            registered_at: uids.clone().map(|uid| BlockAtRegistration::<T>::get(netuid, uid)).collect(),
            permits: ValidatorPermit::<T>::get(netuid),
            weights: Self::weights_in_force(netuid, hotkeys),
            bonds: uids.map(|uid| Bonds::<T>::get(index, uid)).collect(),
            emission,
        }
    }

    /// Returns the number of blocks without new weights after which a validator is inactive.
    pub(crate) fn activity_cutoff(netuid: NetUid) -> u64 {
        let factor = u64::from(ActivityCutoffFactorMilli::<T>::get(netuid));
        factor * u64::from(Tempo::<T>::get(netuid)) / 1000
    }

    /// Returns the weights of all neurons. With commit-reveal, those on neurons that were registered
    /// after the validator's oldest open commit do not count.
    fn weights_in_force(netuid: NetUid, hotkeys: &[AccountId32]) -> Vec<SparseRow> {
        let index = NetUidStorageIndex::from(netuid);
        let mut rows: Vec<SparseRow> =
            (0..hotkeys.len() as u16).map(|uid| Weights::<T>::get(index, uid)).collect();
        if CommitRevealWeightsEnabled::<T>::get(netuid) {
            for (row, committed) in rows.iter_mut().zip(Self::oldest_commits(netuid, hotkeys)) {
                row.retain(|(uid, _)| committed >= BlockAtRegistration::<T>::get(netuid, *uid));
            }
        }
        rows
    }

    /// Adds each neuron's earnings to its stake: those for validating to all who staked on it, those
    /// for serving to its owner.
    fn pay(netuid: NetUid, hotkeys: &[AccountId32], output: &EpochOutput) {
        for ((hotkey, served), validated) in
            hotkeys.iter().zip(&output.server_emission).zip(&output.validator_emission)
        {
            if *validated > 0 {
                TotalHotkeyAlpha::<T>::mutate(hotkey, netuid, |stake| {
                    stake.0 = stake.0.saturating_add(*validated)
                });
            }
            if *served > 0 {
                Self::credit(hotkey, &Owner::<T>::get(hotkey), netuid, *served);
            }
            let earned = served.saturating_add(*validated);
            SubnetAlphaOut::<T>::mutate(netuid, |out| out.0 = out.0.saturating_add(earned));
        }
    }

    fn store_epoch(netuid: NetUid, output: EpochOutput) {
        let index = NetUidStorageIndex::from(netuid);
        for (uid, bonds) in output.bonds.into_iter().enumerate() {
            if let Some(bonds) = bonds {
                Bonds::<T>::insert(index, uid as u16, bonds);
            }
        }
        Active::<T>::insert(netuid, output.active);
        Consensus::<T>::insert(netuid, proportions(output.consensus));
        Incentive::<T>::insert(index, proportions(output.incentive));
        Dividends::<T>::insert(netuid, proportions(output.dividends));
        ValidatorTrust::<T>::insert(netuid, proportions(output.validator_trust));
        ValidatorPermit::<T>::insert(netuid, output.permits);
        StakeWeight::<T>::insert(netuid, output.stake_weight);
        Emission::<T>::insert(netuid, amounts(output.emission));
        let emissions = amounts(output.server_emission);
        Self::deposit_event(Event::IncentiveAlphaEmittedToMiners { netuid: index, emissions });
    }

    /// Returns a hotkey's stake weight in rao: its alpha in the subnet plus its stake in the root
    /// network times `TaoWeight`.
    pub(crate) fn stake_of(hotkey: &AccountId32, netuid: NetUid) -> u64 {
        let alpha = TotalHotkeyAlpha::<T>::get(hotkey, netuid).0;
        let root = TotalHotkeyAlpha::<T>::get(hotkey, NetUid(0)).0;
        let weighted = u128::from(root) * u128::from(TaoWeight::<T>::get()) / u128::from(u64::MAX);
        alpha.saturating_add(weighted as u64)
    }
}

fn proportions(values: Vec<u16>) -> Vec<PerU16> {
    values.into_iter().map(PerU16::from_parts).collect()
}

fn amounts(values: Vec<u64>) -> Vec<AlphaBalance> {
    values.into_iter().map(AlphaBalance).collect()
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn the_next_epoch_is_a_tempo_away_unless_asked_for_earlier() {
        let schedule = Schedule { tempo: 20, last: 100, pending: 0 };
        assert_eq!(schedule.next(), Some(120));
        assert_eq!(Schedule { pending: 105, ..schedule }.next(), Some(105));
        assert_eq!(Schedule { pending: 130, ..schedule }.next(), Some(120));
        assert_eq!(Schedule { tempo: 0, ..schedule }.next(), None);
    }
}
