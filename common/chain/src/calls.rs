//! The calls that Muster sends, and how they become signed bytes.

use base::{BlockHash, Height, Hotkey, Netuid, Rao, commitment::Fields};
use chain_metadata::{api, items::Kind, report::Unusable};
use subxt::{
    SubstrateConfig,
    config::substrate::SubstrateExtrinsicParamsBuilder,
    tx::{Payload, StaticPayload},
    utils::{AccountId32, H256, Static},
};

use crate::{runtime::Runtime, wallet::KeyPair};

/// A call of the chain. [`Client::submit`](crate::Client::submit) sends one as it is, without the checks that
/// `register`, `set_commitment` and `set_weights` make beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `SubtensorModule.set_weights`, signed by the hotkey.
    SetWeights {
        /// The subnet.
        netuid: Netuid,
        /// The uids that are weighed.
        uids: Vec<u16>,
        /// Their weights.
        weights: Vec<u16>,
        /// The version of the software that weighs.
        version_key: u64,
    },
    /// `SubtensorModule.burned_register`, signed by the coldkey: at whatever price.
    BurnedRegister {
        /// The subnet.
        netuid: Netuid,
        /// Whom to register.
        hotkey: Hotkey,
    },
    /// `SubtensorModule.register_limit`, signed by the coldkey: at a price of at most `limit`.
    RegisterLimit {
        /// The subnet.
        netuid: Netuid,
        /// Whom to register.
        hotkey: Hotkey,
        /// The most that it may cost.
        limit: Rao,
    },
    /// `Commitments.set_commitment`, signed by the hotkey.
    SetCommitment {
        /// The subnet.
        netuid: Netuid,
        /// What is committed; it replaces all that was committed before.
        fields: Fields,
    },
}

/// What a signature covers besides the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) nonce: u64,
    /// For how many blocks after `anchor` the transaction is valid.
    pub(crate) era: u64,
    pub(crate) anchor: (Height, BlockHash),
}

/// Why a call cannot be turned into bytes for the live runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The live runtime does not have the call, or has it in another form.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The live runtime's types do not take it.
    #[error("{pallet}.{name} cannot be written as the runtime wants it: {reason}")]
    Encode {
        /// The pallet.
        pallet: &'static str,
        /// The call.
        name: &'static str,
        /// What the encoder says.
        reason: String,
    },
}

impl From<Unusable> for CallError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(Box::new(unusable))
    }
}

impl Call {
    /// Pallet and name in the metadata.
    pub fn name(&self) -> (&'static str, &'static str) {
        match self {
            Self::SetWeights { .. } => ("SubtensorModule", "set_weights"),
            Self::BurnedRegister { .. } => ("SubtensorModule", "burned_register"),
            Self::RegisterLimit { .. } => ("SubtensorModule", "register_limit"),
            Self::SetCommitment { .. } => ("Commitments", "set_commitment"),
        }
    }

    /// A signed transaction's bytes.
    pub(crate) fn sign(&self, runtime: &Runtime, key: &KeyPair, terms: Terms) -> Result<Vec<u8>, CallError> {
        let (pallet, name) = self.name();
        runtime.require(Kind::Call, pallet, name)?;
        let signing = Signing { runtime, key, terms };
        let subtensor = api::tx().subtensor_module();
        let signed = match self.clone() {
            Self::SetWeights { netuid, uids, weights, version_key } => {
                signing.sign(&subtensor.set_weights(netuid.0, uids, weights, version_key).unvalidated())
            }
            Self::BurnedRegister { netuid, hotkey } => {
                signing.sign(&subtensor.burned_register(netuid.0, AccountId32(hotkey.0)).unvalidated())
            }
            Self::RegisterLimit { netuid, hotkey, limit } => {
                let hotkey = AccountId32(hotkey.0);
                signing.sign(&subtensor.register_limit(netuid.0, hotkey, limit.0).unvalidated())
            }
            // The fields are written by our own codec: in the generated one they have 138 variants.
            Self::SetCommitment { netuid, fields } => {
                signing.sign(&StaticPayload::new(pallet, name, (netuid.0, Static(fields))))
            }
        };
        signed.map_err(|reason| CallError::Encode { pallet, name, reason })
    }
}

/// All that goes into a signature but the call.
struct Signing<'a> {
    runtime: &'a Runtime,
    key: &'a KeyPair,
    terms: Terms,
}

impl Signing<'_> {
    fn sign(&self, payload: &impl Payload) -> Result<Vec<u8>, String> {
        let (height, hash) = self.terms.anchor;
        let params = SubstrateExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(self.terms.nonce)
            .mortal_from_unchecked(self.terms.era, height.0, H256(hash.0))
            .build();
        let transactions = self.runtime.offline.tx();
        let mut signable =
            transactions.create_signable_offline(payload, params).map_err(|error| error.to_string())?;
        signable.sign(self.key).map(|signed| signed.into_encoded()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
