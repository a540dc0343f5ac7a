//! Sets the weights of the newest score log, once in an epoch, and checks them on chain afterwards.

use base::{Height, Netuid, Uid};
use chain::{Client, Hyperparameters, Metagraph, Row, WeightsError, error::ReadError, wallet::KeyPair};
use scoring::weights::{Subnet, Weights};

/// The result of an attempt to set weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsOutcome {
    /// The weights are on chain.
    Set {
        /// The block that set them.
        block: Height,
        /// The block from which on they may be set again.
        opens: Height,
    },
    /// The weights cannot be set now.
    NotYet {
        /// The block from which on they can.
        opens: Height,
        /// The reason.
        reason: String,
    },
    /// These weights can never be set.
    Refused(String),
}

/// The weights of a validator on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnChain {
    /// The finalized block after which this was read.
    pub height: Height,
    /// The weights above 0.
    pub row: Row,
    /// The block that set them. `None` if they were never set since the registration.
    pub set: Option<Height>,
    /// The next epoch, if there will be one.
    pub next_epoch: Option<Height>,
    /// The subnet's rules.
    pub rules: Hyperparameters,
}

/// Returns the facts about the subnet that a score log records.
#[must_use]
pub fn subnet(metagraph: &Metagraph, rules: &Hyperparameters) -> Subnet {
    Subnet {
        owner: metagraph.owner_uid(),
        uids: u16::try_from(metagraph.neurons.len()).unwrap_or(u16::MAX),
        min_allowed: rules.min_weights,
        max_limit: rules.max_weight,
    }
}

impl OnChain {
    /// Reads the weights of a hotkey. Returns `None` if it is not registered.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn read(client: &Client, netuid: Netuid, hotkey: &KeyPair) -> Result<Option<Self>, ReadError> {
        let head = client.finalized().await?;
        let at = client.at(head.hash);
        let metagraph = at.metagraph(netuid).await?;
        let Some(neuron) = metagraph.by_hotkey(&hotkey.hotkey()) else { return Ok(None) };
        let row = at.weights(netuid, &[neuron.uid]).await?.into_iter().next().unwrap_or_default();
        let set = (neuron.last_update > neuron.registered).then_some(neuron.last_update);
        let next_epoch = at.next_epoch(netuid).await?;
        Ok(Some(Self { height: head.height, row, set, next_epoch, rules: at.hyperparameters(netuid).await? }))
    }

    /// Checks whether these are the weights on chain.
    #[must_use]
    pub fn has(&self, weights: &Weights) -> bool {
        let above_0 = |row: &mut dyn Iterator<Item = (Uid, u16)>| -> Vec<_> {
            let mut row: Vec<_> = row.filter(|(_, weight)| *weight > 0).collect();
            row.sort_unstable();
            row
        };
        let ours = above_0(&mut weights.iter().map(|(&uid, &weight)| (uid, weight)));
        self.set.is_some() && above_0(&mut self.row.iter().copied()) == ours
    }

    /// Returns the block from which on weights may be set, as far as epochs matter. The rate limit is not
    /// included, since the chain's answer says when it is over.
    #[must_use]
    pub fn opens(&self) -> Height {
        let (Some(set), Some(next)) = (self.set, self.next_epoch) else { return Height(0) };
        let epoch = next.0.saturating_sub(u64::from(self.rules.tempo) + 1);
        // Weights set in the block of an epoch count in the next epoch: the epoch comes first in its block.
        if set.0 >= epoch { next } else { Height(0) }
    }
}

/// Sets weights, unless this epoch has some already.
pub async fn set(client: &Client, netuid: Netuid, hotkey: &KeyPair, weights: &Weights) -> WeightsOutcome {
    let later = |height: Height, error: &ReadError| {
        if error.is_retryable() {
            WeightsOutcome::NotYet { opens: height.next(), reason: base::ErrorChain(error).to_string() }
        } else {
            WeightsOutcome::Refused(base::ErrorChain(error).to_string())
        }
    };
    let before = match OnChain::read(client, netuid, hotkey).await {
        Ok(Some(before)) => before,
        Ok(None) => return WeightsOutcome::Refused("the hotkey is not registered any more".to_owned()),
        Err(error) => return later(Height(0), &error),
    };
    let opens = before.opens();
    match before.set {
        // Set by a process that was killed before it got the answer.
        Some(block) if opens > before.height && before.has(weights) => {
            return WeightsOutcome::Set { block, opens };
        }
        _ if opens > before.height => {
            return WeightsOutcome::NotYet { opens, reason: "this epoch has weights already".to_owned() };
        }
        _ => {}
    }
    let row: Vec<_> = weights.iter().map(|(&uid, &weight)| (uid, weight)).collect();
    // Formats have versions of their own. The key is the one that the subnet requires.
    let sent = client.set_weights(netuid, &row, before.rules.weights_version, hotkey).await;
    match sent {
        Ok(included) => {
            let next = client.at(included.block).next_epoch(netuid).await.ok().flatten();
            WeightsOutcome::Set { block: included.height, opens: next.unwrap_or(included.height) }
        }
        Err(WeightsError::TooSoon { next, .. }) => {
            let reason = format!("the chain takes weights from block {next} on");
            WeightsOutcome::NotYet { opens: Height(next.0.saturating_sub(1)), reason }
        }
        Err(error) if error.is_retryable() => WeightsOutcome::NotYet {
            opens: before.height.next(),
            reason: base::ErrorChain(&error).to_string(),
        },
        Err(error) => WeightsOutcome::Refused(base::ErrorChain(&error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rao;

    fn on_chain(set: Option<u64>, next: Option<u64>) -> OnChain {
        let rules = Hyperparameters {
            tempo: 59,
            max_uids: 256,
            max_validators: 64,
            immunity_period: 100,
            min_weights: 1,
            max_weight: u16::MAX,
            weights_rate_limit: 10,
            weights_version: 0,
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
        };
        let row = vec![(Uid(4), 65535), (Uid(2), 7)];
        OnChain { height: Height(130), row, set: set.map(Height), next_epoch: next.map(Height), rules }
    }

    #[test]
    fn once_in_an_epoch() {
        // Epochs in blocks 120 and 180.
        for (set, opens) in [(None, 0), (Some(119), 0), (Some(120), 180), (Some(130), 180)] {
            assert_eq!(on_chain(set, Some(180)).opens(), Height(opens), "{set:?}");
        }
        assert_eq!(on_chain(Some(130), None).opens(), Height(0), "a subnet without epochs");
    }

    #[test]
    fn zeros_are_not_on_chain() {
        let weights: Weights = [(Uid(2), 7), (Uid(3), 0), (Uid(4), 65535)].into();
        assert!(on_chain(Some(1), None).has(&weights));
        assert!(!on_chain(None, None).has(&weights), "what stands there is another registration's");
        assert!(!on_chain(Some(1), None).has(&[(Uid(2), 7)].into()));
    }
}
