//! The hotkeys on which coldkeys have staked.

use super::stake;
use crate::{
    runtime::{Runtime, SubtensorModule},
    subtensor::*,
    types::{AlphaBalance, NetUid},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;
use std::collections::BTreeMap;

/// A coldkey with stake on a hotkey, and its alpha by subnet.
pub type Nominator = (AccountId32, Vec<(Compact<NetUid>, Compact<u64>)>);

/// A hotkey on which coldkeys have staked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DelegateInfo {
    /// The hotkey.
    pub delegate_ss58: AccountId32,
    /// The share of the dividends that the owner takes: none on this chain.
    pub take: Compact<PerU16>,
    /// The coldkeys with stake, and their alpha by subnet.
    pub nominators: Vec<Nominator>,
    /// The coldkey that owns the hotkey.
    pub owner_ss58: AccountId32,
    /// The subnets in which the hotkey has a uid.
    pub registrations: Vec<Compact<NetUid>>,
    /// The subnets in which it has a permit.
    pub validator_permits: Vec<Compact<NetUid>>,
    /// The daily return of 1000 TAO. This chain does not compute it.
    pub return_per_1000: Compact<u64>,
    /// The daily return of all stake. This chain does not compute it.
    pub total_daily_return: Compact<u64>,
}

/// A position: the hotkey, the subnet and the alpha.
pub type Delegated = (DelegateInfo, (Compact<NetUid>, Compact<AlphaBalance>));

impl DelegateInfo {
    fn of(hotkey: AccountId32) -> Self {
        let uids: Vec<(NetUid, u16)> = NetworksAdded::<Runtime>::iter_keys()
            .filter_map(|netuid| Some((netuid, Uids::<Runtime>::get(netuid, &hotkey)?)))
            .collect();
        let permitted = |(netuid, uid): &&(NetUid, u16)| {
            ValidatorPermit::<Runtime>::get(netuid).get(usize::from(*uid)).copied().unwrap_or(false)
        };
        let compact = |(netuid, _): &(NetUid, u16)| Compact(*netuid);
        Self {
            take: Compact(PerU16::default()),
            nominators: nominators(&hotkey),
            owner_ss58: Owner::<Runtime>::get(&hotkey),
            registrations: uids.iter().map(compact).collect(),
            validator_permits: uids.iter().filter(permitted).map(compact).collect(),
            return_per_1000: Compact(0),
            total_daily_return: Compact(0),
            delegate_ss58: hotkey,
        }
    }
}

fn nominators(hotkey: &AccountId32) -> Vec<Nominator> {
    let mut by_coldkey = BTreeMap::<AccountId32, Vec<_>>::new();
    for (coldkey, netuid) in AlphaV2::<Runtime>::iter_key_prefix((hotkey,)) {
        let alpha = SubtensorModule::alpha_of(hotkey, &coldkey, netuid);
        by_coldkey.entry(coldkey).or_default().push((Compact(netuid), Compact(alpha)));
    }
    by_coldkey.into_iter().collect()
}

/// Returns all positions of a coldkey.
pub(crate) fn positions(coldkey: &AccountId32) -> Vec<Delegated> {
    let position = |held: stake::StakeInfo| (DelegateInfo::of(held.hotkey), (held.netuid, held.stake));
    stake::positions(coldkey).into_iter().map(position).collect()
}

/// Returns a hotkey that was ever registered.
pub(crate) fn one(hotkey: AccountId32) -> Option<DelegateInfo> {
    Owner::<Runtime>::contains_key(&hotkey).then(|| DelegateInfo::of(hotkey))
}
