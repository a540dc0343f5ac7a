//! Stake: a coldkey turns TAO into a subnet's alpha on a hotkey, and back.
//!
//! The subnet has the mechanism that the real chain calls "stable": one alpha always costs one TAO,
//! without a fee. The alpha of a hotkey belongs to its coldkeys in proportion to their shares, so what
//! an epoch adds to it is shared by all of them.

use super::pallet::*;
use crate::types::{AlphaBalance, FixedU128, NetUid, TaoBalance};
use frame_support::{
    ensure,
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::{Fortitude, Precision, Preservation},
    },
};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_core::{U256, crypto::AccountId32};

/// The price of one alpha, in rao.
pub(crate) const ALPHA_PRICE: u64 = 1_000_000_000;

/// The smallest amount that can be staked, and unstaked in part, in rao.
const MIN_STAKE: u64 = 2_000_000;

/// A number with a decimal exponent: shares of a hotkey's alpha. This chain writes whole shares, with
/// the exponent 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SafeFloat {
    /// The significant digits.
    pub mantissa: u128,
    /// The power of ten by which they are multiplied.
    pub exponent: i64,
}

/// Stake that a coldkey has locked on a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct LockState {
    /// The locked alpha.
    pub locked_mass: AlphaBalance,
    /// The strength of the lock.
    pub conviction: FixedU128,
    /// The height of its last change.
    pub last_update: u64,
}

impl SafeFloat {
    fn whole(mantissa: u128) -> Self {
        Self { mantissa, exponent: 0 }
    }
}

impl<T: Config> Pallet<T> {
    pub(super) fn do_add_stake_limit(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: TaoBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        // The price never moves: either the whole amount is within the limit, or nothing is.
        if limit_price.0 < ALPHA_PRICE {
            ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
            ensure!(allow_partial, Error::<T>::SlippageTooHigh);
            return Err(Error::<T>::AmountTooLow.into());
        }
        Self::do_add_stake(coldkey, hotkey, netuid, amount)
    }

    pub(super) fn do_remove_stake_limit(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        if limit_price.0 > ALPHA_PRICE {
            ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
            ensure!(allow_partial, Error::<T>::SlippageTooHigh);
            return Err(Error::<T>::AmountTooLow.into());
        }
        Self::do_remove_stake(coldkey, hotkey, netuid, amount)
    }

    pub(super) fn do_add_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        tao: TaoBalance,
    ) -> DispatchResult {
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(tao.0 >= MIN_STAKE, Error::<T>::AmountTooLow);
        let spendable = T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(spendable >= tao, Error::<T>::NotEnoughBalanceToStake);
        ensure!(Owner::<T>::contains_key(hotkey), Error::<T>::HotKeyAccountNotExists);

        T::Currency::burn_from(coldkey, tao, Preservation::Preserve, Precision::Exact, Fortitude::Polite)?;
        let alpha = AlphaBalance(tao.0);
        SubnetTAO::<T>::mutate(netuid, |pool| pool.0 = pool.0.saturating_add(tao.0));
        SubnetAlphaOut::<T>::mutate(netuid, |out| out.0 = out.0.saturating_add(alpha.0));
        Self::credit(hotkey, coldkey, netuid, alpha.0);
        Self::deposit_event(Event::StakeAdded(coldkey.clone(), hotkey.clone(), tao, alpha, netuid, 0));
        Ok(())
    }

    pub(super) fn do_remove_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        alpha: AlphaBalance,
    ) -> DispatchResult {
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(alpha.0 > 0, Error::<T>::AmountTooLow);
        let held = Self::alpha_of(hotkey, coldkey, netuid);
        ensure!(held >= alpha.0, Error::<T>::NotEnoughStakeToWithdraw);
        ensure!(held == alpha.0 || alpha.0 >= MIN_STAKE, Error::<T>::AmountTooLow);
        ensure!(Owner::<T>::contains_key(hotkey), Error::<T>::HotKeyAccountNotExists);
        ensure!(SubnetTAO::<T>::get(netuid).0 >= alpha.0, Error::<T>::InsufficientLiquidity);

        Self::debit(hotkey, coldkey, netuid, alpha.0);
        let tao = TaoBalance(alpha.0);
        SubnetTAO::<T>::mutate(netuid, |pool| pool.0 = pool.0.saturating_sub(tao.0));
        SubnetAlphaOut::<T>::mutate(netuid, |out| out.0 = out.0.saturating_sub(alpha.0));
        T::Currency::mint_into(coldkey, tao)?;
        Self::deposit_event(Event::StakeRemoved(coldkey.clone(), hotkey.clone(), tao, alpha, netuid, 0));
        Ok(())
    }

    /// Returns a coldkey's alpha on a hotkey, rounded down.
    pub(crate) fn alpha_of(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid) -> u64 {
        let share = AlphaV2::<T>::get((hotkey, coldkey, netuid)).mantissa;
        let shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid).mantissa;
        let alpha = TotalHotkeyAlpha::<T>::get(hotkey, netuid).0;
        portion(alpha.into(), share, shares) as u64
    }

    /// Adds alpha to a coldkey's stake on a hotkey.
    pub(crate) fn credit(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid, amount: u64) {
        let alpha = TotalHotkeyAlpha::<T>::get(hotkey, netuid).0;
        let shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid).mantissa;
        // The first coldkey owns everything that the hotkey has, earlier alpha without shares included.
        let first = shares == 0 || alpha == 0;
        let new = if first { amount.into() } else { portion(shares, amount.into(), alpha.into()) };
        AlphaV2::<T>::mutate((hotkey, coldkey, netuid), |share| {
            *share = SafeFloat::whole(share.mantissa.saturating_add(new))
        });
        TotalHotkeySharesV2::<T>::insert(hotkey, netuid, SafeFloat::whole(shares.saturating_add(new)));
        TotalHotkeyAlpha::<T>::insert(hotkey, netuid, AlphaBalance(alpha.saturating_add(amount)));
        if !StakingHotkeys::<T>::get(coldkey).contains(hotkey) {
            StakingHotkeys::<T>::append(coldkey, hotkey);
        }
    }

    /// Takes alpha from a coldkey's stake on a hotkey, which must have as much.
    fn debit(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid, amount: u64) {
        let alpha = TotalHotkeyAlpha::<T>::get(hotkey, netuid).0;
        let shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid).mantissa;
        let share = AlphaV2::<T>::get((hotkey, coldkey, netuid)).mantissa;
        let all = Self::alpha_of(hotkey, coldkey, netuid) == amount;
        let gone = if all { share } else { portion(shares, amount.into(), alpha.into()).min(share) };
        AlphaV2::<T>::insert((hotkey, coldkey, netuid), SafeFloat::whole(share - gone));
        TotalHotkeySharesV2::<T>::insert(hotkey, netuid, SafeFloat::whole(shares.saturating_sub(gone)));
        TotalHotkeyAlpha::<T>::insert(hotkey, netuid, AlphaBalance(alpha.saturating_sub(amount)));
    }
}

/// Returns `whole · part / total`, rounded down; 0 if the total is 0.
fn portion(whole: u128, part: u128, total: u128) -> u128 {
    let product = U256::from(whole) * U256::from(part);
    product.checked_div(total.into()).map_or(0, |quotient| quotient.low_u128())
}

#[cfg(test)]
mod tests {
    use super::portion;

    #[test]
    fn a_portion_is_rounded_down_and_does_not_overflow() {
        assert_eq!(portion(10, 1, 3), 3);
        assert_eq!(portion(u128::MAX, u128::MAX, u128::MAX), u128::MAX);
        assert_eq!(portion(5, 5, 0), 0);
    }
}
