//! Registration: a coldkey burns the price and a hotkey gets a uid. In a full subnet it replaces the
//! weakest neuron.

use super::pallet::*;
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex, TaoBalance};
use frame_support::{
    ensure,
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::{Fortitude, Precision, Preservation},
    },
};
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;

impl<T: Config> Pallet<T> {
    pub(super) fn do_register_limit(
        coldkey: &AccountId32,
        netuid: NetUid,
        hotkey: &AccountId32,
        limit_price: u64,
    ) -> DispatchResult {
        ensure!(netuid != NetUid(0), Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(Burn::<T>::get(netuid).0 <= limit_price, Error::<T>::RegistrationPriceLimitExceeded);
        Self::do_register(coldkey, netuid, hotkey)
    }

    pub(super) fn do_register(coldkey: &AccountId32, netuid: NetUid, hotkey: &AccountId32) -> DispatchResult {
        ensure!(netuid != NetUid(0), Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(NetworkRegistrationAllowed::<T>::get(netuid), Error::<T>::SubNetRegistrationDisabled);
        ensure!(!Uids::<T>::contains_key(netuid, hotkey), Error::<T>::HotKeyAlreadyRegisteredInSubNet);
        let price = Burn::<T>::get(netuid);
        Self::ensure_can_pay(coldkey, price)?;
        Self::own(coldkey, hotkey)?;

        let uid = Self::free_uid(netuid).ok_or(Error::<T>::NoNeuronIdAvailable)?;
        T::Currency::burn_from(coldkey, price, Preservation::Preserve, Precision::Exact, Fortitude::Polite)?;
        Self::seat(netuid, uid, hotkey);
        Self::raise_registration_price(netuid);
        Self::deposit_event(Event::NeuronRegistered(netuid, uid, hotkey.clone()));
        Ok(())
    }

    fn ensure_can_pay(coldkey: &AccountId32, price: TaoBalance) -> DispatchResult {
        let spendable = T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(spendable >= price, Error::<T>::NotEnoughBalanceToStake);
        Ok(())
    }

    /// Assigns a new hotkey to its coldkey. A known hotkey must already belong to this coldkey.
    fn own(coldkey: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        if !Owner::<T>::contains_key(hotkey) {
            Self::set_owner(hotkey, coldkey);
        }
        ensure!(Owner::<T>::get(hotkey) == *coldkey, Error::<T>::NonAssociatedColdKey);
        Ok(())
    }

    /// Records the coldkey of a hotkey that has none.
    pub(crate) fn set_owner(hotkey: &AccountId32, coldkey: &AccountId32) {
        Owner::<T>::insert(hotkey, coldkey);
        OwnedHotkeys::<T>::append(coldkey, hotkey);
    }

    /// Returns the next unused uid, or the uid of the neuron to replace.
    fn free_uid(netuid: NetUid) -> Option<u16> {
        let n = SubnetworkN::<T>::get(netuid);
        if n < MaxAllowedUids::<T>::get(netuid) { Some(n) } else { Self::neuron_to_prune(netuid) }
    }

    /// Returns the neuron to replace: the one with the least emission. On a tie the oldest goes first,
    /// then the lowest uid. The candidates are the neurons out of immunity if the subnet has more of
    /// them than its minimum, otherwise the immune ones. The owner's neuron is never replaced.
    fn neuron_to_prune(netuid: NetUid) -> Option<u16> {
        let owner = SubnetOwnerHotkey::<T>::get(netuid);
        let emission = Emission::<T>::get(netuid);
        let block = Self::current_block();
        let immunity = u64::from(ImmunityPeriod::<T>::get(netuid));
        let (immune, exposed): (Vec<_>, Vec<_>) = (0..SubnetworkN::<T>::get(netuid))
            .filter(|&uid| Keys::<T>::get(netuid, uid) != owner)
            .map(|uid| {
                let registered = BlockAtRegistration::<T>::get(netuid, uid);
                let earned = emission.get(usize::from(uid)).copied().unwrap_or_default();
                (earned, registered, uid)
            })
            .partition(|&(_, registered, _)| block.saturating_sub(registered) < immunity);
        let enough_exposed = exposed.len() > usize::from(MinNonImmuneUids::<T>::get(netuid));
        let candidates = if enough_exposed { exposed } else { immune };
        candidates.into_iter().min().map(|(_, _, uid)| uid)
    }

    /// Gives a uid to a hotkey: a new one at the end, or a used one. The former hotkey of a used uid
    /// loses its membership, weights and bonds; the values of the uid are reset.
    pub(crate) fn seat(netuid: NetUid, uid: u16, hotkey: &AccountId32) {
        if uid < SubnetworkN::<T>::get(netuid) {
            Self::unseat(netuid, uid);
        } else {
            SubnetworkN::<T>::insert(netuid, uid + 1);
        }
        let index = NetUidStorageIndex::from(netuid);
        let block = Self::current_block();
        Keys::<T>::insert(netuid, uid, hotkey);
        Uids::<T>::insert(netuid, hotkey, uid);
        IsNetworkMember::<T>::insert(hotkey, netuid, true);
        BlockAtRegistration::<T>::insert(netuid, uid, block);

        Active::<T>::mutate(netuid, |v| set_at(v, uid, true));
        Consensus::<T>::mutate(netuid, |v| set_at(v, uid, PerU16::default()));
        Incentive::<T>::mutate(index, |v| set_at(v, uid, PerU16::default()));
        Dividends::<T>::mutate(netuid, |v| set_at(v, uid, PerU16::default()));
        ValidatorTrust::<T>::mutate(netuid, |v| set_at(v, uid, PerU16::default()));
        Emission::<T>::mutate(netuid, |v| set_at(v, uid, AlphaBalance::default()));
        ValidatorPermit::<T>::mutate(netuid, |v| set_at(v, uid, false));
        StakeWeight::<T>::mutate(netuid, |v| set_at(v, uid, 0));
        for mechanism in 0..MechanismCountCurrent::<T>::get(netuid).0 {
            let index = NetUidStorageIndex::of(netuid, MechId(mechanism));
            LastUpdate::<T>::mutate(index, |v| set_at(v, uid, block));
        }
    }

    fn unseat(netuid: NetUid, uid: u16) {
        let leaving = Keys::<T>::get(netuid, uid);
        Uids::<T>::remove(netuid, &leaving);
        IsNetworkMember::<T>::remove(&leaving, netuid);
        Axons::<T>::remove(netuid, &leaving);
        for mechanism in 0..MechanismCountCurrent::<T>::get(netuid).0 {
            let index = NetUidStorageIndex::of(netuid, MechId(mechanism));
            Weights::<T>::remove(index, uid);
            Bonds::<T>::remove(index, uid);
        }
    }
}

/// Sets an entry of a vector with one entry per uid. Extends a vector that is too short.
fn set_at<V: Clone + Default>(values: &mut Vec<V>, uid: u16, value: V) {
    let at = usize::from(uid);
    if values.len() <= at {
        values.resize(at + 1, V::default());
    }
    values[at] = value;
}
