//! The refusals of the transaction pool before a call is dispatched, with the numbers that clients see.

use super::pallet::*;
use sp_core::crypto::AccountId32;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

/// A refusal by the pool: `InvalidTransaction::Custom(number)`. JSON-RPC reports it with code 1010.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolRefusal {
    /// The signer's stake weight is below the threshold.
    StakeTooLow,
    /// The signer's last weights are more recent than the rate limit allows.
    RateLimited,
}

impl PoolRefusal {
    /// Returns the number in `Custom(n)`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::StakeTooLow => 1,
            Self::RateLimited => 6,
        }
    }
}

impl From<PoolRefusal> for TransactionValidityError {
    fn from(refusal: PoolRefusal) -> Self {
        InvalidTransaction::Custom(refusal.number()).into()
    }
}

impl<T: Config> Pallet<T> {
    /// Runs the pool's checks of a signed call of this pallet: stake and rate limit of weights.
    pub fn check_in_pool(signer: &AccountId32, call: &Call<T>) -> Result<(), PoolRefusal> {
        let Call::set_weights { netuid, .. } = call else { return Ok(()) };
        if !Self::has_stake_for_weights(signer, *netuid) {
            return Err(PoolRefusal::StakeTooLow);
        }
        let too_fast = !CommitRevealWeightsEnabled::<T>::get(netuid)
            && Uids::<T>::get(netuid, signer)
                .is_some_and(|uid| !Self::passes_weights_rate_limit(*netuid, uid));
        if too_fast { Err(PoolRefusal::RateLimited) } else { Ok(()) }
    }
}
