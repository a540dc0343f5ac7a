//! Sets a validator's weights on the miners.

use std::collections::BTreeSet;

use base::{BlockHash, Height, Hotkey, Netuid, Uid};
use chain_metadata::api;
use subxt::utils::AccountId32;

use crate::{
    Call, Client, Hyperparameters, Included, Row, TransactionError, error::ReadError, refusal::Refusal,
    wallet::KeyPair,
};

/// An error of setting weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// No weight is above 0.
    #[error("every weight is 0: give at least one uid a weight")]
    AllZero,
    /// The rate limit has not passed. Nothing was sent.
    #[error(
        "the last weights, or the registration, were in block {last}; weights may be set in block {next}: \
         wait until then"
    )]
    TooSoon {
        /// The block of the last weights, or of the registration if it was later. The chain counts from the
        /// later one.
        last: Height,
        /// The first block in which weights may be set again.
        next: Height,
    },
    /// The subnet requires a newer version key. Nothing was sent.
    #[error(
        "version key {given} is older than the {demanded} that subnet {netuid} requires: update this program"
    )]
    VersionKeyTooOld {
        /// The subnet.
        netuid: Netuid,
        /// The version key of this program.
        given: u64,
        /// The minimum version key of the subnet.
        demanded: u64,
    },
    /// There are too few weights. Nothing was sent.
    #[error("{given} weights are fewer than the {least} that subnet {netuid} requires: add uids of weight 0")]
    TooFew {
        /// The subnet.
        netuid: Netuid,
        /// The number of weights.
        given: usize,
        /// The minimum number of weights.
        least: usize,
    },
    /// The chain would refuse the weights. Nothing was sent.
    #[error("{0}")]
    Foreseen(Refusal),
    /// The transaction did not succeed.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The transaction succeeded, but the chain holds other weights.
    #[error(
        "transaction {} succeeded, but in block {} the chain holds other weights for uid {uid} than were sent: \
         another program signs with this hotkey, or the chain has changed its rules", .included.hash, .included.height
    )]
    NotAsSent {
        /// The transaction.
        included: Box<Included>,
        /// The uid of the signer.
        uid: Uid,
        /// The weights that were sent, scaled.
        sent: Row,
        /// The weights that the chain holds.
        found: Row,
        /// The block of the last weights, according to the chain.
        last_update: Height,
    },
}

impl WeightsError {
    /// Returns whether the same weights may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooSoon { .. } => true,
            Self::Foreseen(refusal) => refusal.is_retryable(),
            Self::Transaction(error) => error.is_retryable(),
            Self::AllZero | Self::VersionKeyTooOld { .. } | Self::TooFew { .. } | Self::NotAsSent { .. } => {
                false
            }
        }
    }
}

impl From<ReadError> for WeightsError {
    fn from(error: ReadError) -> Self {
        Self::Transaction(TransactionError::Unsent(error))
    }
}

/// Scales weights so that the largest is 65535. The chain scales the weights that it receives in the same
/// way, so it leaves scaled weights unchanged.
///
/// Rounds to the nearest integer, halves up. Returns `None` if no weight is above 0.
pub fn scale_to_max(weights: &[(Uid, u16)]) -> Option<Row> {
    let max = weights.iter().map(|(_, weight)| *weight).max().filter(|max| *max > 0)?;
    let (max, top) = (u32::from(max), u32::from(u16::MAX));
    let scaled = |weight: u16| {
        let scaled = (u32::from(weight) * top + max / 2) / max;
        u16::try_from(scaled).expect("no weight is above the largest")
    };
    Some(weights.iter().map(|(uid, weight)| (*uid, scaled(*weight))).collect())
}

/// The chain's state that decides on setting weights, after some block.
struct WeightsState {
    /// The height of the earliest block that can hold the transaction.
    next_block: Height,
    neurons: u16,
    uid: Option<Uid>,
    /// Whether the hotkey is the subnet owner's. If so, it may set weights without a permit.
    owner: bool,
    permits: Vec<bool>,
    last_updates: Vec<u64>,
    rules: Hyperparameters,
}

impl Client {
    /// Sets the weights of the signer's hotkey on a subnet, and checks on chain that they are set.
    ///
    /// `weights` are relative: they are scaled so that the largest is 65535. Checks the chain's rules before
    /// it sends anything: commit-reveal, registration, version key, rate limit, permit, and the weights
    /// themselves.
    pub async fn set_weights(
        &self,
        netuid: Netuid,
        weights: &[(Uid, u16)],
        version_key: u64,
        hotkey: &KeyPair,
    ) -> Result<Included, WeightsError> {
        let scaled = scale_to_max(weights).ok_or(WeightsError::AllZero)?;
        let standing = self.weights_standing(netuid, &hotkey.hotkey()).await?;
        let uid = standing.check(netuid, &scaled, version_key)?;
        let (uids, values) = scaled.iter().map(|(uid, weight)| (uid.0, *weight)).unzip();
        let call = Call::SetWeights { netuid, uids, weights: values, version_key };
        let included = self.submit(&call, hotkey).await?;
        self.check_weights(netuid, uid, scaled, included).await
    }

    /// Returns the first block in which this hotkey may set weights again. Five requests.
    pub async fn next_weights(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<Height, WeightsError> {
        let standing = self.weights_standing(netuid, hotkey).await?;
        let uid = standing.uid.ok_or(WeightsError::Foreseen(Refusal::NotRegistered))?;
        Ok(standing.next_weights(uid).map_or(standing.next_block, |(_, next)| next))
    }

    async fn weights_standing(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<WeightsState, ReadError> {
        let head = self.finalized().await?;
        let at = self.at(head.hash);
        let rules = at.hyperparameters(netuid).await?;
        let subtensor = || api::storage().subtensor_module();
        let (slots, values) = at
            .read(|batch| {
                Ok((
                    batch.add(subtensor().subnetwork_n(), (netuid.0,))?,
                    batch.add(subtensor().uids(), (netuid.0, AccountId32(hotkey.0)))?,
                    batch.add(subtensor().subnet_owner_hotkey(), (netuid.0,))?,
                    batch.add(subtensor().validator_permit(), (netuid.0,))?,
                    batch.add(subtensor().last_update(), (netuid.0,))?,
                ))
            })
            .await?;
        let (neurons, uid, owner, permits, last_updates) = slots;
        Ok(WeightsState {
            next_block: head.height.next(),
            neurons: values.get(neurons)?,
            uid: values.find(uid)?.map(Uid),
            owner: values.get(owner)?.0 == hotkey.0,
            permits: values.get(permits)?,
            last_updates: values.get(last_updates)?,
            rules,
        })
    }

    async fn check_weights(
        &self,
        netuid: Netuid,
        uid: Uid,
        sent: Row,
        included: Included,
    ) -> Result<Included, WeightsError> {
        let found = self.weights_of(included.block, netuid, uid).await;
        let (found, last_update) = found.map_err(|source| TransactionError::Unread {
            hash: included.hash,
            block: included.block,
            source: Box::new(source),
        })?;
        if entries(&found) == entries(&sent) && last_update == included.height {
            Ok(included)
        } else {
            let included = Box::new(included);
            Err(WeightsError::NotAsSent { included, uid, sent, found, last_update })
        }
    }

    async fn weights_of(&self, at: BlockHash, netuid: Netuid, uid: Uid) -> Result<(Row, Height), ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let (slots, values) = self
            .at(at)
            .read(|batch| {
                let row = batch.add(subtensor().weights(), (netuid.0, uid.0))?;
                Ok((row, batch.add(subtensor().last_update(), (netuid.0,))?))
            })
            .await?;
        let row = values.get(slots.0)?.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect();
        let last_updates = values.get(slots.1)?;
        Ok((row, Height(last_updates.get(usize::from(uid.0)).copied().unwrap_or_default())))
    }
}

/// Returns the weights above 0, in any order.
fn entries(row: &Row) -> BTreeSet<(Uid, u16)> {
    row.iter().copied().filter(|(_, weight)| *weight > 0).collect()
}

impl WeightsState {
    /// Checks for refusals beforehand, in the chain's order. Returns the signer's uid.
    fn check(&self, netuid: Netuid, weights: &Row, version_key: u64) -> Result<Uid, WeightsError> {
        let foreseen = |refusal| Err(WeightsError::Foreseen(refusal));
        if netuid == Netuid(0) {
            return foreseen(Refusal::RootWeights);
        }
        if self.rules.commit_reveal {
            return foreseen(Refusal::CommitRevealOn);
        }
        if weights.len() > usize::from(self.neurons) {
            return foreseen(Refusal::MoreWeightsThanNeurons);
        }
        let Some(uid) = self.uid else { return foreseen(Refusal::NotRegistered) };
        let demanded = self.rules.weights_version;
        if demanded > version_key {
            return Err(WeightsError::VersionKeyTooOld { netuid, given: version_key, demanded });
        }
        if let Some((last, next)) = self.next_weights(uid).filter(|(_, next)| *next > self.next_block) {
            return Err(WeightsError::TooSoon { last, next });
        }
        let only_self = weights.iter().all(|(other, _)| *other == uid);
        let permit = self.owner || self.permits.get(usize::from(uid.0)).copied().unwrap_or_default();
        if !only_self && !permit {
            return foreseen(Refusal::NoValidatorPermit);
        }
        if weights.iter().map(|(uid, _)| uid).collect::<BTreeSet<_>>().len() < weights.len() {
            return foreseen(Refusal::DuplicateUids);
        }
        if weights.iter().any(|(other, _)| other.0 >= self.neurons) {
            return foreseen(Refusal::UnknownUid);
        }
        let least = usize::from(self.rules.min_weights.min(self.neurons));
        if !only_self && weights.len() < least {
            return Err(WeightsError::TooFew { netuid, given: weights.len(), least });
        }
        Ok(uid)
    }

    /// Returns the block of the last weights or of the registration, and the first block in which weights
    /// may be set. Returns `None` for neurons of the genesis block that have never set weights.
    fn next_weights(&self, uid: Uid) -> Option<(Height, Height)> {
        let last = self.last_updates.get(usize::from(uid.0)).copied().filter(|last| *last > 0)?;
        Some((Height(last), Height(last.saturating_add(self.rules.weights_rate_limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rao;
    use proptest::prelude::*;

    fn rules() -> Hyperparameters {
        Hyperparameters {
            tempo: 20,
            max_uids: 256,
            max_validators: 64,
            immunity_period: 100,
            min_weights: 2,
            max_weight: u16::MAX,
            weights_rate_limit: 10,
            weights_version: 7,
            commit_reveal: false,
            activity_cutoff: 5000,
            kappa: 32767,
            bonds_moving_average: 900_000,
            bonds_penalty: u16::MAX,
            yuma3: false,
            registration_open: true,
            price: Rao(1),
            min_price: Rao(1),
            max_price: Rao(1),
            stake_threshold: 0,
        }
    }

    fn standing() -> WeightsState {
        WeightsState {
            next_block: Height(50),
            neurons: 4,
            uid: Some(Uid(0)),
            owner: false,
            permits: vec![true, false, false, false],
            last_updates: vec![40, 0, 0, 0],
            rules: rules(),
        }
    }

    fn row(weights: &[(u16, u16)]) -> Row {
        weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect()
    }

    fn check(standing: &WeightsState, weights: &[(u16, u16)]) -> Result<Uid, WeightsError> {
        standing.check(Netuid(3), &row(weights), 7)
    }

    #[test]
    fn good_weights_pass() {
        assert_eq!(check(&standing(), &[(1, 5), (2, 6)]), Ok(Uid(0)));
    }

    #[test]
    fn what_the_chain_would_refuse_is_told_beforehand() {
        let foreseen = |refusal| Err(WeightsError::Foreseen(refusal));
        let good = [(1, 5), (2, 6)];
        let rules_with = |rules: Hyperparameters| WeightsState { rules, ..standing() };
        assert_eq!(standing().check(Netuid(0), &row(&good), 7), foreseen(Refusal::RootWeights));
        let commit_reveal = rules_with(Hyperparameters { commit_reveal: true, ..rules() });
        assert_eq!(check(&commit_reveal, &good), foreseen(Refusal::CommitRevealOn));
        assert_eq!(check(&standing(), &[(0, 1); 5]), foreseen(Refusal::MoreWeightsThanNeurons));
        assert_eq!(check(&WeightsState { uid: None, ..standing() }, &good), foreseen(Refusal::NotRegistered));
        assert_eq!(check(&standing(), &[(1, 5), (1, 6)]), foreseen(Refusal::DuplicateUids));
        assert_eq!(check(&standing(), &[(1, 5), (4, 6)]), foreseen(Refusal::UnknownUid));
        let other = WeightsState { uid: Some(Uid(1)), ..standing() };
        assert_eq!(check(&other, &good), foreseen(Refusal::NoValidatorPermit));
        assert_eq!(check(&WeightsState { owner: true, ..other }, &good), Ok(Uid(1)));
    }

    #[test]
    fn version_key_and_length_are_told_with_their_numbers() {
        let old = standing().check(Netuid(3), &row(&[(1, 5), (2, 6)]), 6).unwrap_err();
        assert_eq!(
            old.to_string(),
            "version key 6 is older than the 7 that subnet 3 requires: update this program"
        );
        let few = check(&standing(), &[(1, 5)]).unwrap_err();
        assert_eq!(
            few.to_string(),
            "1 weights are fewer than the 2 that subnet 3 requires: add uids of weight 0"
        );
    }

    #[test]
    fn the_rate_limit_is_known_beforehand() {
        let early = WeightsState { next_block: Height(49), ..standing() };
        let error = check(&early, &[(1, 5), (2, 6)]).unwrap_err();
        assert_eq!(error, WeightsError::TooSoon { last: Height(40), next: Height(50) });
        assert!(error.is_retryable());
        let never_set = WeightsState { last_updates: vec![0; 4], ..early };
        assert_eq!(check(&never_set, &[(1, 5), (2, 6)]), Ok(Uid(0)));
    }

    #[test]
    fn a_hotkey_may_always_weigh_itself() {
        let other = WeightsState { uid: Some(Uid(1)), ..standing() };
        assert_eq!(check(&other, &[(1, 5)]), Ok(Uid(1)));
    }

    #[test]
    fn scaling_keeps_zeros_and_proportions() {
        assert_eq!(
            scale_to_max(&row(&[(1, 0), (2, 1), (3, 2)])),
            Some(row(&[(1, 0), (2, 32768), (3, 65535)]))
        );
        assert_eq!(scale_to_max(&row(&[(1, 0)])), None);
        assert_eq!(scale_to_max(&[]), None);
    }

    proptest! {
        #[test]
        fn scaled_weights_stay_as_they_are(weights in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..50)) {
            let weights = row(&weights);
            if let Some(scaled) = scale_to_max(&weights) {
                prop_assert_eq!(scaled.iter().map(|(_, weight)| *weight).max(), Some(u16::MAX));
                prop_assert_eq!(scale_to_max(&scaled), Some(scaled.clone()));
                for ((_, before), (_, after)) in weights.iter().zip(&scaled) {
                    prop_assert!(after >= before);
                }
            }
        }
    }
}
