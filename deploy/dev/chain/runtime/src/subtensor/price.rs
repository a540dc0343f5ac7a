//! The registration price. It decays with every block and rises with every registration.

use super::pallet::*;
use crate::types::{NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Lowers the price by one block's decay, so that it halves once per half-life.
    pub(super) fn decay_registration_price(netuid: NetUid) {
        let half_life = BurnHalfLife::<T>::get(netuid);
        if half_life > 0 && Self::current_block() > 1 {
            let decayed = mul_q32(Burn::<T>::get(netuid).0, decay_factor_q32(half_life));
            Self::set_price(netuid, decayed);
        }
    }

    /// Raises the price after a registration.
    pub(super) fn raise_registration_price(netuid: NetUid) {
        Self::set_price(netuid, BurnIncreaseMult::<T>::get(netuid).scale(Burn::<T>::get(netuid).0));
    }

    fn set_price(netuid: NetUid, price: u64) {
        let min = MinBurn::<T>::get(netuid).0;
        let max = MaxBurn::<T>::get(netuid).0;
        let price = TaoBalance(price.min(max).max(min));
        if price != Burn::<T>::get(netuid) {
            Burn::<T>::insert(netuid, price);
        }
    }
}

const ONE_Q32: u64 = 1 << 32;

/// Returns the largest factor, in units of 2⁻³², whose `half_life`-th power is at most one half.
fn decay_factor_q32(half_life: u16) -> u64 {
    let mut low = 0;
    let mut high = ONE_Q32;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if pow_q32(middle, half_life) <= ONE_Q32 / 2 { low = middle } else { high = middle }
    }
    low
}

fn pow_q32(mut base: u64, mut exponent: u16) -> u64 {
    let mut result = ONE_Q32;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul_q32(result, base);
        }
        base = mul_q32(base, base);
        exponent >>= 1;
    }
    result
}

/// Returns `value · factor`, truncated. The factor is in units of 2⁻³².
fn mul_q32(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_of_blocks_halves_the_price() {
        for half_life in [1_u16, 7, 360, 7200] {
            let factor = decay_factor_q32(half_life);
            let mut price = 1_000_000_000_000_u64;
            (0..half_life).for_each(|_| price = mul_q32(price, factor));
            // Each block truncates once. The factor itself is within 2⁻³² of the exact root.
            let slack = u64::from(half_life) * 1_000;
            assert!(price.abs_diff(500_000_000_000) <= slack, "{half_life}: {price}");
        }
    }
}
