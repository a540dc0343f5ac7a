//! The facts that decide on weights: the form in which a subnet takes them, and the rules that they must
//! keep.

use std::{collections::BTreeSet, fmt};

use base::{Height, Hotkey, Mechanism, Netuid, Rao, Uid};
use chain_metadata::{api, items::Kind};
use subxt::utils::AccountId32;

use super::{WeightsError, commit::TIMELOCK_VERSION, storage_index};
use crate::{
    Block, Client, EpochSchedule, Hyperparameters, Row,
    beacon::Beacon,
    epochs,
    error::ReadError,
    refusal::Refusal,
    runtime::Runtime,
    storage::{Batch, Slot, Values},
};

/// The form in which a subnet takes weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsForm {
    /// Openly: they count from the next epoch on.
    Plain,
    /// As a commit that is encrypted to a round of this beacon. The chain reveals it.
    Timelocked(Beacon),
    /// As a commit of their hash. Their validator reveals it.
    Hash,
    /// As a commit of a kind that this program does not know.
    Unknown,
}

/// The facts that decide on the weights of a hotkey, after a finalized block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsStanding {
    /// The block.
    pub head: Block,
    /// The number of neurons of the subnet.
    pub neurons: u16,
    /// The uid of the hotkey, if it is registered.
    pub uid: Option<Uid>,
    /// Whether the hotkey is the subnet owner's. If so, it may set weights without a permit.
    pub owner: bool,
    /// Whether the hotkey has a validator permit.
    pub permit: bool,
    /// The block of the hotkey's last weights or commit on this mechanism, or of its registration. `None`
    /// for neurons of the genesis block that have never set weights.
    pub last_update: Option<Height>,
    /// The stake on the hotkey in this subnet. Delegated and root stake count too, and are not in it.
    pub alpha: Rao,
    /// The subnet's rules.
    pub rules: Hyperparameters,
    /// The subnet's epochs.
    pub schedule: EpochSchedule,
    /// Epochs from a commit to its reveal.
    pub reveal_period: u64,
    /// The form in which the subnet takes weights now.
    pub form: WeightsForm,
}

struct Slots {
    neurons: Slot<u16>,
    uid: Slot<u16>,
    owner: Slot<AccountId32>,
    permits: Slot<Vec<bool>>,
    last_updates: Slot<Vec<u64>>,
    alpha: Slot<u64>,
    schedule: epochs::Slots,
    reveal_period: Option<Slot<u64>>,
    version: Option<Slot<u16>>,
    beacon: Option<Slot<api::runtime_types::pallet_drand::types::BeaconConfiguration>>,
}

impl Slots {
    fn plan(
        batch: &mut Batch<'_>,
        netuid: Netuid,
        mechanism: Mechanism,
        hotkey: &Hotkey,
    ) -> Result<Self, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let account = || AccountId32(hotkey.0);
        Ok(Self {
            neurons: batch.add(subtensor().subnetwork_n(), (netuid.0,))?,
            uid: batch.add(subtensor().uids(), (netuid.0, account()))?,
            owner: batch.add(subtensor().subnet_owner_hotkey(), (netuid.0,))?,
            permits: batch.add(subtensor().validator_permit(), (netuid.0,))?,
            last_updates: batch.add(subtensor().last_update(), (storage_index(netuid, mechanism),))?,
            alpha: batch.add(subtensor().total_hotkey_alpha(), (account(), netuid.0))?,
            schedule: epochs::Slots::plan(batch, netuid)?,
            reveal_period: batch.add_if_present(subtensor().reveal_period_epochs(), (netuid.0,))?,
            version: batch.add_if_present(subtensor().commit_reveal_weights_version(), ())?,
            beacon: batch.add_if_present(api::storage().drand().beacon_config(), ())?,
        })
    }

    fn take(
        self,
        values: &Values,
        head: Block,
        rules: Hyperparameters,
        (mechanism, hotkey): (Mechanism, &Hotkey),
    ) -> Result<WeightsStanding, ReadError> {
        let uid = values.find(self.uid)?.map(Uid);
        let place = uid.map_or(usize::MAX, |uid| usize::from(uid.0));
        let beacon = self.beacon.map(|slot| values.get(slot)).transpose()?.map(Beacon::new);
        let version = self.version.map(|slot| values.get(slot)).transpose()?;
        let beacon = beacon.filter(|_| version == Some(TIMELOCK_VERSION));
        let last_updates = values.get(self.last_updates)?;
        Ok(WeightsStanding {
            head,
            neurons: values.get(self.neurons)?,
            uid,
            owner: values.get(self.owner)?.0 == hotkey.0,
            permit: values.get(self.permits)?.get(place).copied().unwrap_or_default(),
            last_update: last_updates.get(place).copied().filter(|last| *last > 0).map(Height),
            alpha: Rao(values.get(self.alpha)?),
            schedule: self.schedule.take(values, head.height)?,
            reveal_period: self.reveal_period.map_or(Ok(1), |slot| values.get(slot))?,
            form: form(rules.commit_reveal, beacon, mechanism, &values.runtime),
            rules,
        })
    }
}

/// Chooses the form of the weights: by the subnet's flag, and by the calls that the runtime has.
fn form(commit_reveal: bool, beacon: Option<Beacon>, mechanism: Mechanism, runtime: &Runtime) -> WeightsForm {
    let has = |calls: &[&str]| calls.iter().all(|name| runtime.require(Kind::Call, SUBTENSOR, name).is_ok());
    let is_main = mechanism == Mechanism::MAIN;
    let timelocked =
        if is_main { "commit_timelocked_weights" } else { "commit_timelocked_mechanism_weights" };
    let hash: &[&str] = if is_main {
        &["commit_weights", "reveal_weights"]
    } else {
        &["commit_mechanism_weights", "reveal_mechanism_weights"]
    };
    match beacon {
        _ if !commit_reveal => WeightsForm::Plain,
        Some(beacon) if has(&[timelocked]) => WeightsForm::Timelocked(beacon),
        _ if has(hash) => WeightsForm::Hash,
        _ => WeightsForm::Unknown,
    }
}

const SUBTENSOR: &str = "SubtensorModule";

impl Client {
    /// Reads the facts that decide on a hotkey's weights. Five requests.
    pub async fn weights_standing(
        &self,
        netuid: Netuid,
        mechanism: Mechanism,
        hotkey: &Hotkey,
    ) -> Result<WeightsStanding, ReadError> {
        let head = self.finalized().await?;
        let at = self.at(head.hash);
        let rules = at.hyperparameters(netuid).await?;
        let (slots, values) = at.read(|batch| Slots::plan(batch, netuid, mechanism, hotkey)).await?;
        slots.take(&values, head, rules, (mechanism, hotkey))
    }
}

impl WeightsStanding {
    /// Returns the first block that can hold a transaction.
    #[must_use]
    pub fn next_block(&self) -> Height {
        self.head.height.next()
    }

    /// Returns the block of the last weights or of the registration, and the first block in which weights
    /// may be set. Returns `None` for neurons of the genesis block that have never set weights.
    #[must_use]
    pub fn next_weights(&self) -> Option<(Height, Height)> {
        let last = self.last_update?;
        Some((last, Height(last.0.saturating_add(self.rules.weights_rate_limit))))
    }

    /// Checks for refusals beforehand, in the chain's order. Returns the signer's uid.
    ///
    /// The rules hold for commits too: the chain silently drops revealed weights that break one.
    pub(super) fn check(&self, netuid: Netuid, weights: &Row, version_key: u64) -> Result<Uid, WeightsError> {
        let foreseen = |refusal| Err(WeightsError::Foreseen(refusal));
        if netuid == Netuid(0) {
            return foreseen(Refusal::RootWeights);
        }
        if self.form == WeightsForm::Unknown {
            return Err(WeightsError::UnknownForm(netuid));
        }
        if weights.len() > usize::from(self.neurons) {
            return foreseen(Refusal::MoreWeightsThanNeurons);
        }
        let Some(uid) = self.uid else { return foreseen(Refusal::NotRegistered) };
        let demanded = self.rules.weights_version;
        if demanded > version_key {
            return Err(WeightsError::VersionKeyTooOld { netuid, given: version_key, demanded });
        }
        if let Some((last, next)) = self.next_weights().filter(|(_, next)| *next > self.next_block()) {
            return Err(WeightsError::TooSoon { last, next });
        }
        let only_self = weights.iter().all(|(other, _)| *other == uid);
        if !only_self && !self.owner && !self.permit {
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
}

/// Says in one line how and when weights reach the chain.
impl fmt::Display for WeightsStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reveals = |f: &mut fmt::Formatter<'_>| {
            let epoch = self.schedule.epoch_of(self.next_block()).saturating_add(self.reveal_period);
            match self.schedule.first_block(epoch) {
                Some(first) => write!(f, "in {} epoch(s), from block {first} on", self.reveal_period),
                None => write!(f, "never, since the subnet has no epochs"),
            }
        };
        match &self.form {
            WeightsForm::Plain => write!(f, "weights are set openly (commit-reveal is off)")?,
            WeightsForm::Timelocked(_) => {
                write!(f, "weights are committed encrypted, and the chain reveals them ")?;
                reveals(f)?;
            }
            WeightsForm::Hash => {
                write!(f, "weights are committed as a hash, and this node must reveal them ")?;
                reveals(f)?;
            }
            WeightsForm::Unknown => {
                write!(f, "this runtime takes weights in a form that this program does not know: update it")?;
            }
        }
        let next = self.next_weights().map_or(self.next_block(), |(_, next)| next.max(self.next_block()));
        write!(f, "; the rate limit of {} blocks allows them in block {next}", self.rules.weights_rate_limit)
    }
}

impl WeightsStanding {
    /// Returns what keeps the hotkey's weights from counting, one line each.
    #[must_use]
    pub fn obstacles(&self) -> Vec<String> {
        let threshold = Rao(self.rules.stake_threshold);
        let mut lines = Vec::new();
        if self.uid.is_none() {
            lines.push("the hotkey is not registered: register it".to_owned());
        }
        if !self.owner && !self.permit {
            lines.push(
                "the hotkey has no validator permit: it needs more stake than other validators".to_owned(),
            );
        }
        if !self.owner && self.alpha < threshold {
            lines.push(format!(
                "the hotkey's own stake on this subnet ({}) is below the chain's threshold ({threshold}): \
                 it needs root stake or delegations for the rest",
                self.alpha
            ));
        }
        let idle = self.last_update.map_or(0, |last| self.head.height.0.saturating_sub(last.0));
        if idle > self.rules.activity_cutoff {
            lines.push(format!(
                "the last weights are {idle} blocks old, more than the activity cutoff of {} blocks: the hotkey \
                 counts as inactive until it sets weights",
                self.rules.activity_cutoff
            ));
        }
        if let WeightsForm::Timelocked(beacon) = &self.form
            && !beacon.is_quicknet()
        {
            lines.push(
                "the node names another beacon than drand's quicknet: on a public network do not trust it"
                    .to_owned(),
            );
        }
        lines
    }
}

#[cfg(test)]
mod tests;
