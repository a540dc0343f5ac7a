//! Checks nonces by Subtensor's rule: hotkeys hold no balance, but may send calls that are free of
//! fees.

use crate::runtime::{AccountId, Nonce, Runtime, RuntimeCall, RuntimeOrigin};
use frame_support::{dispatch::Pays, traits::OriginTrait};
use parity_scale_codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::{
    Weight,
    traits::{DispatchInfoOf, TransactionExtension, ValidateResult},
    transaction_validity::{
        InvalidTransaction, TransactionLongevity, TransactionSource, TransactionValidityError,
        ValidTransaction,
    },
};

/// The extension that checks the signer's nonce. It differs from the stock extension in one rule: an
/// account that does not exist is refused only if its call pays a fee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckNonce(#[codec(compact)] pub Nonce);

impl TransactionExtension<RuntimeCall> for CheckNonce {
    const IDENTIFIER: &'static str = "CheckNonce";
    type Implicit = ();
    type Val = Option<AccountId>;
    type Pre = ();

    fn weight(&self, _: &RuntimeCall) -> Weight {
        Weight::zero()
    }

    fn validate(
        &self,
        origin: RuntimeOrigin,
        _call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        _len: usize,
        _implicit: (),
        _inherited: &impl Encode,
        _source: TransactionSource,
    ) -> ValidateResult<Self::Val, RuntimeCall> {
        let Some(signer) = origin.as_signer().cloned() else {
            return Ok((ValidTransaction::default(), None, origin));
        };
        let account = frame_system::Account::<Runtime>::get(&signer);
        let exists = account.providers > 0 || account.sufficients > 0;
        if info.pays_fee == Pays::Yes && !exists {
            return Err(InvalidTransaction::Payment.into());
        }
        if self.0 < account.nonce {
            return Err(InvalidTransaction::Stale.into());
        }
        let follows = (account.nonce < self.0).then(|| (&signer, self.0 - 1).encode());
        let validity = ValidTransaction {
            requires: follows.into_iter().collect(),
            provides: vec![(&signer, self.0).encode()],
            longevity: TransactionLongevity::MAX,
            ..ValidTransaction::default()
        };
        Ok((validity, Some(signer), origin))
    }

    fn prepare(
        self,
        signer: Self::Val,
        _origin: &RuntimeOrigin,
        _call: &RuntimeCall,
        _info: &DispatchInfoOf<RuntimeCall>,
        _len: usize,
    ) -> Result<(), TransactionValidityError> {
        let Some(signer) = signer else { return Ok(()) };
        frame_system::Account::<Runtime>::try_mutate(signer, |account| {
            if self.0 != account.nonce {
                let side = if self.0 < account.nonce {
                    InvalidTransaction::Stale
                } else {
                    InvalidTransaction::Future
                };
                return Err(side.into());
            }
            account.nonce = account.nonce.saturating_add(1);
            Ok(())
        })
    }
}
