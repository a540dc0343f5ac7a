//! The calls that Muster sends, and their encoding as signed transactions.

use base::{BlockHash, Height, Hotkey, Mechanism, Netuid, Rao, commitment::Fields};
use chain_metadata::{
    api::{self, runtime_types::bounded_collections::bounded_vec::BoundedVec},
    items::Kind,
    report::Unusable,
};
use subxt::{
    SubstrateConfig,
    config::substrate::SubstrateExtrinsicParamsBuilder,
    tx::{Payload, Signer, StaticPayload},
    utils::{AccountId32, H256, Static},
};

use crate::runtime::Runtime;

/// A call of the chain. [`Client::submit`](crate::Client::submit) sends a call as it is. `register`,
/// `set_commitment` and `set_weights` make checks before they send one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `SubtensorModule.set_weights` or `set_mechanism_weights`, signed by the hotkey.
    SetWeights {
        /// The subnet.
        netuid: Netuid,
        /// The mechanism.
        mechanism: Mechanism,
        /// The uids that receive weights.
        uids: Vec<u16>,
        /// The weight of each uid.
        weights: Vec<u16>,
        /// The version key of the software that sets the weights.
        version_key: u64,
    },
    /// `SubtensorModule.commit_timelocked_weights` or `commit_timelocked_mechanism_weights`, signed by the
    /// hotkey.
    CommitTimelocked {
        /// The subnet.
        netuid: Netuid,
        /// The mechanism.
        mechanism: Mechanism,
        /// The encrypted weights.
        commit: Vec<u8>,
        /// The round of the beacon that decrypts them.
        round: u64,
        /// The version of the form.
        version: u16,
    },
    /// `SubtensorModule.commit_weights` or `commit_mechanism_weights`, signed by the hotkey.
    CommitHash {
        /// The subnet.
        netuid: Netuid,
        /// The mechanism.
        mechanism: Mechanism,
        /// The hash of the weights.
        hash: [u8; 32],
    },
    /// `SubtensorModule.reveal_weights` or `reveal_mechanism_weights`, signed by the hotkey.
    RevealWeights {
        /// The subnet.
        netuid: Netuid,
        /// The mechanism.
        mechanism: Mechanism,
        /// The uids that receive weights.
        uids: Vec<u16>,
        /// The weight of each uid.
        weights: Vec<u16>,
        /// The salt of the hash.
        salt: Vec<u16>,
        /// The version key of the software that sets the weights.
        version_key: u64,
    },
    /// `SubtensorModule.burned_register`, signed by the coldkey: at any price.
    BurnedRegister {
        /// The subnet.
        netuid: Netuid,
        /// The hotkey to register.
        hotkey: Hotkey,
    },
    /// `SubtensorModule.register_limit`, signed by the coldkey: at a price of at most `limit`.
    RegisterLimit {
        /// The subnet.
        netuid: Netuid,
        /// The hotkey to register.
        hotkey: Hotkey,
        /// The highest price to pay.
        limit: Rao,
    },
    /// `Commitments.set_commitment`, signed by the hotkey.
    SetCommitment {
        /// The subnet.
        netuid: Netuid,
        /// The contents of the commitment. They replace the hotkey's previous commitment.
        fields: Fields,
    },
}

/// The parts of a transaction that the signature covers besides the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) nonce: u64,
    /// Blocks after `anchor` in which the transaction is valid.
    pub(crate) era: u64,
    pub(crate) anchor: (Height, BlockHash),
}

/// An error of encoding a call for the live runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The live runtime does not have the call, or has it in another form.
    #[error(transparent)]
    Unusable(Box<Unusable>),
    /// The call does not fit the live runtime's types.
    #[error("cannot encode {pallet}.{name} for the live runtime: {reason}")]
    Encode {
        /// The pallet.
        pallet: &'static str,
        /// The name of the call.
        name: &'static str,
        /// The error of the encoder.
        reason: String,
    },
}

impl From<Unusable> for CallError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(Box::new(unusable))
    }
}

impl Call {
    /// Returns the pallet and the name of the call in the metadata.
    pub fn name(&self) -> (&'static str, &'static str) {
        let of = |mechanism: &Mechanism, main, other| match *mechanism {
            Mechanism::MAIN => ("SubtensorModule", main),
            _ => ("SubtensorModule", other),
        };
        match self {
            Self::SetWeights { mechanism, .. } => of(mechanism, "set_weights", "set_mechanism_weights"),
            Self::CommitTimelocked { mechanism, .. } => {
                of(mechanism, "commit_timelocked_weights", "commit_timelocked_mechanism_weights")
            }
            Self::CommitHash { mechanism, .. } => of(mechanism, "commit_weights", "commit_mechanism_weights"),
            Self::RevealWeights { mechanism, .. } => {
                of(mechanism, "reveal_weights", "reveal_mechanism_weights")
            }
            Self::BurnedRegister { .. } => ("SubtensorModule", "burned_register"),
            Self::RegisterLimit { .. } => ("SubtensorModule", "register_limit"),
            Self::SetCommitment { .. } => ("Commitments", "set_commitment"),
        }
    }

    /// Signs the call and returns the bytes of the transaction.
    pub(crate) fn sign(
        &self,
        runtime: &Runtime,
        key: &impl Signer<SubstrateConfig>,
        terms: Terms,
    ) -> Result<Vec<u8>, CallError> {
        let (pallet, name) = self.name();
        runtime.require(Kind::Call, pallet, name)?;
        let signing = Signing { runtime, key, terms };
        let subtensor = api::tx().subtensor_module();
        let signed = match self.clone() {
            Self::SetWeights { netuid, mechanism: Mechanism::MAIN, uids, weights, version_key } => {
                signing.sign(&subtensor.set_weights(netuid.0, uids, weights, version_key).unvalidated())
            }
            Self::SetWeights { netuid, mechanism, uids, weights, version_key } => {
                let (netuid, mechanism) = (netuid.0, mechanism.0);
                let call = subtensor.set_mechanism_weights(netuid, mechanism, uids, weights, version_key);
                signing.sign(&call.unvalidated())
            }
            Self::CommitTimelocked { netuid, mechanism: Mechanism::MAIN, commit, round, version } => {
                let commit = BoundedVec(commit);
                signing.sign(
                    &subtensor.commit_timelocked_weights(netuid.0, commit, round, version).unvalidated(),
                )
            }
            Self::CommitTimelocked { netuid, mechanism, commit, round, version } => {
                let (netuid, mechanism, commit) = (netuid.0, mechanism.0, BoundedVec(commit));
                let call =
                    subtensor.commit_timelocked_mechanism_weights(netuid, mechanism, commit, round, version);
                signing.sign(&call.unvalidated())
            }
            Self::CommitHash { netuid, mechanism: Mechanism::MAIN, hash } => {
                signing.sign(&subtensor.commit_weights(netuid.0, H256(hash)).unvalidated())
            }
            Self::CommitHash { netuid, mechanism, hash } => {
                let call = subtensor.commit_mechanism_weights(netuid.0, mechanism.0, H256(hash));
                signing.sign(&call.unvalidated())
            }
            Self::RevealWeights { netuid, mechanism: Mechanism::MAIN, uids, weights, salt, version_key } => {
                let call = subtensor.reveal_weights(netuid.0, uids, weights, salt, version_key);
                signing.sign(&call.unvalidated())
            }
            Self::RevealWeights { netuid, mechanism, uids, weights, salt, version_key } => {
                let (netuid, mechanism) = (netuid.0, mechanism.0);
                let call =
                    subtensor.reveal_mechanism_weights(netuid, mechanism, uids, weights, salt, version_key);
                signing.sign(&call.unvalidated())
            }
            Self::BurnedRegister { netuid, hotkey } => {
                signing.sign(&subtensor.burned_register(netuid.0, AccountId32(hotkey.0)).unvalidated())
            }
            Self::RegisterLimit { netuid, hotkey, limit } => {
                let hotkey = AccountId32(hotkey.0);
                signing.sign(&subtensor.register_limit(netuid.0, hotkey, limit.0).unvalidated())
            }
            // Our own codec encodes the fields: the generated type has 138 variants.
            Self::SetCommitment { netuid, fields } => {
                signing.sign(&StaticPayload::new(pallet, name, (netuid.0, Static(fields))))
            }
        };
        signed.map_err(|reason| CallError::Encode { pallet, name, reason })
    }
}

/// The inputs of a signature, without the call.
struct Signing<'a, S> {
    runtime: &'a Runtime,
    key: &'a S,
    terms: Terms,
}

impl<S: Signer<SubstrateConfig>> Signing<'_, S> {
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
