//! Writes the initial state of a chain to the storage of its pallets.

use super::{Genesis, Key, Subnet, total};
use crate::{
    commitments,
    drand::{self, BeaconConfiguration},
    runtime::Runtime,
    subtensor::{self, Pallet},
    types::{AlphaBalance, NetUid, NetUidStorageIndex, TaoBalance},
};
use sp_core::crypto::AccountId32;

impl Genesis {
    /// Writes the pallets' state. Must run inside externalities.
    pub(super) fn write(&self) {
        subtensor::StakeThreshold::<Runtime>::put(self.stake_threshold);
        subtensor::TaoWeight::<Runtime>::put(self.tao_weight);
        commitments::MaxSpace::<Runtime>::put(self.commitment_space);
        drand::BeaconConfig::<Runtime>::put(BeaconConfiguration::own());
        self.subnet.write();
        let netuid = NetUid(self.subnet.netuid);
        for (uid, neuron) in self.neurons.iter().enumerate() {
            let hotkey = neuron.hotkey.account();
            let coldkey = neuron.coldkey.account();
            Pallet::<Runtime>::set_owner(hotkey, coldkey);
            if neuron.stake > 0 {
                Pallet::<Runtime>::credit(hotkey, coldkey, netuid, neuron.stake);
            }
            Pallet::<Runtime>::seat(netuid, uid as u16, hotkey);
        }
        let staked = total(self.neurons.iter().map(|n| n.stake)).unwrap_or(u64::MAX);
        subtensor::SubnetTAO::<Runtime>::insert(netuid, TaoBalance(staked));
        subtensor::SubnetAlphaOut::<Runtime>::insert(netuid, AlphaBalance(staked));
        let permits: Vec<bool> = self.neurons.iter().map(|neuron| neuron.permit).collect();
        subtensor::ValidatorPermit::<Runtime>::insert(netuid, permits);
        subtensor::StakeWeight::<Runtime>::insert(netuid, self.stake_weights());
    }

    /// Returns the shares of the stake in units of 1/65535, as an epoch would store them.
    fn stake_weights(&self) -> Vec<u16> {
        let total = u128::from(total(self.neurons.iter().map(|n| n.stake)).unwrap_or(u64::MAX)).max(1);
        let share = |stake: u64| (u128::from(stake) * u128::from(u16::MAX) / total) as u16;
        self.neurons.iter().map(|neuron| share(neuron.stake)).collect()
    }
}

impl Subnet {
    fn write(&self) {
        use subtensor::*;
        let netuid = NetUid(self.netuid);
        let account = |key: &Key| -> AccountId32 { key.account().clone() };
        NetworksAdded::<Runtime>::insert(netuid, true);
        SubnetworkN::<Runtime>::insert(netuid, 0);
        TokenSymbol::<Runtime>::insert(netuid, self.symbol.as_bytes().to_vec());
        SubnetOwner::<Runtime>::insert(netuid, account(&self.owner));
        SubnetOwnerHotkey::<Runtime>::insert(netuid, account(&self.owner_hotkey));
        Tempo::<Runtime>::insert(netuid, self.tempo);
        MaxAllowedUids::<Runtime>::insert(netuid, self.max_allowed_uids);
        MinNonImmuneUids::<Runtime>::insert(netuid, self.min_non_immune_uids);
        ImmunityPeriod::<Runtime>::insert(netuid, self.immunity_period);
        MinAllowedWeights::<Runtime>::insert(netuid, self.min_allowed_weights);
        MaxWeightsLimit::<Runtime>::insert(netuid, self.max_weights_limit);
        WeightsSetRateLimit::<Runtime>::insert(netuid, self.weights_set_rate_limit);
        WeightsVersionKey::<Runtime>::insert(netuid, self.weights_version_key);
        CommitRevealWeightsEnabled::<Runtime>::insert(netuid, self.commit_reveal_weights_enabled);
        CommitRevealWeightsVersion::<Runtime>::put(self.commit_reveal_version);
        RevealPeriodEpochs::<Runtime>::insert(netuid, self.reveal_period_epochs);
        ServingRateLimit::<Runtime>::insert(netuid, self.serving_rate_limit);
        ActivityCutoff::<Runtime>::insert(netuid, self.activity_cutoff);
        ActivityCutoffFactorMilli::<Runtime>::insert(netuid, self.activity_cutoff_factor());
        Kappa::<Runtime>::insert(netuid, self.kappa);
        BondsMovingAverage::<Runtime>::insert(netuid, self.bonds_moving_average);
        BondsPenalty::<Runtime>::insert(netuid, self.bonds_penalty);
        Yuma3On::<Runtime>::insert(netuid, self.yuma3_on);
        MaxAllowedValidators::<Runtime>::insert(netuid, self.max_allowed_validators);
        NetworkRegistrationAllowed::<Runtime>::insert(netuid, self.network_registration_allowed);
        Burn::<Runtime>::insert(netuid, TaoBalance(self.burn));
        MinBurn::<Runtime>::insert(netuid, TaoBalance(self.min_burn));
        MaxBurn::<Runtime>::insert(netuid, TaoBalance(self.max_burn));
        BurnHalfLife::<Runtime>::insert(netuid, self.burn_half_life);
        BurnIncreaseMult::<Runtime>::insert(netuid, self.burn_increase_mult);
        SubnetAlphaOutEmission::<Runtime>::insert(netuid, AlphaBalance(self.emission_per_block));
        LastUpdate::<Runtime>::insert(NetUidStorageIndex::from(netuid), Vec::<u64>::new());
    }
    /// Returns the activity cutoff in thousandths of the tempo, rounded up.
    fn activity_cutoff_factor(&self) -> u32 {
        (u32::from(self.activity_cutoff) * 1000).div_ceil(u32::from(self.tempo).max(1))
    }
}
