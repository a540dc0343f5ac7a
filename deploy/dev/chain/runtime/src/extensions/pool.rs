//! Runs the pool's checks of Subtensor's own calls, before they are dispatched.

use crate::{
    runtime::{Runtime, RuntimeCall, RuntimeOrigin},
    subtensor::{self, Pallet},
};
use frame_support::traits::OriginTrait;
use parity_scale_codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::{
    impl_tx_ext_default,
    traits::{DispatchInfoOf, TransactionExtension, ValidateResult},
    transaction_validity::{TransactionSource, ValidTransaction},
};

/// Refuses weights, commits, reveals and addresses that the call itself would refuse, for the reasons
/// that the real chain's pool knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SubtensorTransactionExtension;

impl TransactionExtension<RuntimeCall> for SubtensorTransactionExtension {
    const IDENTIFIER: &'static str = "SubtensorTransactionExtension";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        _info: &DispatchInfoOf<RuntimeCall>,
        _len: usize,
        _implicit: (),
        _inherited: &impl Encode,
        _source: TransactionSource,
    ) -> ValidateResult<(), RuntimeCall> {
        if let (Some(signer), RuntimeCall::SubtensorModule(call)) = (origin.as_signer(), call) {
            let call: &subtensor::Call<Runtime> = call;
            Pallet::<Runtime>::check_in_pool(signer, call)?;
        }
        Ok((ValidTransaction::default(), (), origin))
    }

    impl_tx_ext_default!(RuntimeCall; weight prepare);
}
