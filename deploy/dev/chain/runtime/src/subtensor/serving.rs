//! Announces the addresses of hotkeys' servers.

use super::pallet::*;
use crate::{metagraph::AxonInfo, types::NetUid};
use frame_support::{ensure, pallet_prelude::*};
use sp_core::crypto::AccountId32;
use std::net::{Ipv4Addr, Ipv6Addr};

impl<T: Config> Pallet<T> {
    pub(super) fn do_serve_axon(hotkey: AccountId32, netuid: NetUid, axon: AxonInfo) -> DispatchResult {
        Self::check_axon(&hotkey, netuid, axon.ip_type, axon.ip, axon.port)?;
        Axons::<T>::insert(netuid, &hotkey, axon);
        Self::deposit_event(Event::AxonServed(netuid, hotkey));
        Ok(())
    }

    /// Checks an announcement in the chain's order.
    pub(super) fn check_axon(
        hotkey: &AccountId32,
        netuid: NetUid,
        ip_type: u8,
        ip: u128,
        port: u16,
    ) -> Result<(), Error<T>> {
        ensure!(Uids::<T>::contains_key(netuid, hotkey), Error::<T>::HotKeyNotRegisteredInNetwork);
        ensure!(matches!(ip_type, 4 | 6), Error::<T>::InvalidIpType);
        ensure!(is_public(ip_type, ip), Error::<T>::InvalidIpAddress);
        let last = Axons::<T>::get(netuid, hotkey).map_or(0, |axon| axon.block);
        let rested = Self::current_block().saturating_sub(last) >= ServingRateLimit::<T>::get(netuid);
        ensure!(last == 0 || rested, Error::<T>::ServingRateLimitExceeded);
        ensure!(port != 0, Error::<T>::InvalidPort);
        Ok(())
    }
}

/// Checks whether the chain accepts an address: all but the loopback and the broadcast address. The
/// address 0 withdraws an announcement.
fn is_public(ip_type: u8, ip: u128) -> bool {
    if ip_type == 4 {
        u32::try_from(ip).is_ok_and(|ip| ip != u32::MAX && ip != Ipv4Addr::LOCALHOST.to_bits())
    } else {
        ip != u128::MAX && ip != Ipv6Addr::LOCALHOST.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn loopback_and_broadcast_are_refused() {
        assert!(is_public(4, 0) && is_public(4, 0x0102_0304) && is_public(6, 1 << 64));
        assert!(!is_public(4, 0x7f00_0001) && !is_public(4, u128::from(u32::MAX)) && !is_public(4, 1 << 32));
        assert!(!is_public(6, 1) && !is_public(6, u128::MAX));
    }
}
