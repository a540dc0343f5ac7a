//! The stake of coldkeys.

use crate::{
    runtime::{Runtime, SubtensorModule},
    subtensor::*,
    types::{AlphaBalance, NetUid, TaoBalance},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::crypto::AccountId32;
use std::collections::BTreeMap;

/// The stake of a coldkey on a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeInfo {
    /// The hotkey.
    pub hotkey: AccountId32,
    /// The coldkey.
    pub coldkey: AccountId32,
    /// The subnet.
    pub netuid: Compact<NetUid>,
    /// The alpha.
    pub stake: Compact<AlphaBalance>,
    /// The locked alpha (retired).
    pub locked: Compact<u64>,
    /// The alpha that the hotkey earned in the last epoch.
    pub emission: Compact<AlphaBalance>,
    /// The TAO that it earned (retired).
    pub tao_emission: Compact<TaoBalance>,
    /// Retired.
    pub drain: Compact<u64>,
    /// Whether the hotkey has a uid in the subnet.
    pub is_registered: bool,
}

/// The stake of a coldkey in a subnet, and the part that it can withdraw.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeAvailability {
    /// The alpha.
    pub total: Compact<AlphaBalance>,
    /// The locked part: none on this chain.
    pub locked: Compact<AlphaBalance>,
    /// The part that can be withdrawn.
    pub available: Compact<AlphaBalance>,
}

/// Returns a coldkey's stake on a hotkey.
pub(crate) fn position(hotkey: AccountId32, coldkey: AccountId32, netuid: NetUid) -> StakeInfo {
    let uid = Uids::<Runtime>::get(netuid, &hotkey);
    let emission = Emission::<Runtime>::get(netuid);
    let earned = uid.and_then(|uid| emission.get(usize::from(uid)).copied()).unwrap_or_default();
    let stake = AlphaBalance(SubtensorModule::alpha_of(&hotkey, &coldkey, netuid));
    StakeInfo {
        netuid: Compact(netuid),
        stake: Compact(stake),
        locked: Compact(0),
        emission: Compact(earned),
        tao_emission: Compact(TaoBalance(0)),
        drain: Compact(0),
        is_registered: uid.is_some(),
        hotkey,
        coldkey,
    }
}

/// Returns all stake of a coldkey.
pub(crate) fn positions(coldkey: &AccountId32) -> Vec<StakeInfo> {
    let hotkeys = StakingHotkeys::<Runtime>::get(coldkey);
    let on = |netuid| {
        hotkeys
            .iter()
            .map(move |hotkey| position(hotkey.clone(), coldkey.clone(), netuid))
            .collect::<Vec<_>>()
    };
    subnets().flat_map(on).filter(|position| position.stake.0.0 > 0).collect()
}

/// Returns the stake of coldkeys by subnet. Without a list of subnets, these are all.
pub(crate) fn availability(
    coldkeys: Vec<AccountId32>,
    netuids: Option<Vec<NetUid>>,
) -> BTreeMap<AccountId32, BTreeMap<NetUid, StakeAvailability>> {
    let netuids = netuids.unwrap_or_else(|| subnets().collect());
    let of = |coldkey: AccountId32| {
        let hotkeys = StakingHotkeys::<Runtime>::get(&coldkey);
        let in_subnet = |netuid: &NetUid| {
            let alpha = hotkeys.iter().map(|hotkey| SubtensorModule::alpha_of(hotkey, &coldkey, *netuid));
            let total = Compact(AlphaBalance(alpha.fold(0, u64::saturating_add)));
            let locked = Compact(AlphaBalance(0));
            (*netuid, StakeAvailability { total, locked, available: total })
        };
        let by_subnet = netuids.iter().map(in_subnet).collect();
        (coldkey.clone(), by_subnet)
    };
    coldkeys.into_iter().map(of).collect()
}

fn subnets() -> impl Iterator<Item = NetUid> {
    NetworksAdded::<Runtime>::iter_keys()
}
