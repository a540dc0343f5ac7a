//! A subnet's hyperparameters, and the block of its next epoch.

use base::{Height, Netuid, Rao};
use chain_metadata::{
    api,
    items::Kind,
    report::{Unusable, Why},
};
use parity_scale_codec::{Decode, Encode};
use subxt::utils::H256;

use crate::{
    ChainSnapshot,
    error::{ReadError, RequestError},
    runtime::Runtime,
    snapshot::require_subnet,
    storage::{Batch, Slot, Values},
};

/// The rules of a subnet, as its owner and the chain have set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyperparameters {
    /// Blocks between epochs: there is an epoch every `tempo + 1` blocks, unless the chain's tempos are
    /// dynamic.
    pub tempo: u16,
    /// Maximum number of neurons.
    pub max_uids: u16,
    /// Maximum number of validator permits.
    pub max_validators: u16,
    /// Blocks during which a new neuron cannot be replaced.
    pub immunity_period: u16,
    /// Minimum number of weights that `set_weights` accepts, if the subnet has as many neurons.
    pub min_weights: u16,
    /// Largest share that one weight may have, of 65535.
    pub max_weight: u16,
    /// Minimum number of blocks between two `set_weights` of a hotkey.
    pub weights_rate_limit: u64,
    /// Minimum version key that `set_weights` accepts; 0 accepts all.
    pub weights_version: u64,
    /// Whether weights must be committed first and revealed later. If so, plain `set_weights` is refused.
    pub commit_reveal: bool,
    /// Blocks without `set_weights`, or a commit, after which a validator does not count. Where tempos are
    /// dynamic, this is a multiple of the tempo.
    pub activity_cutoff: u64,
    /// Majority of Yuma consensus, of 65535.
    pub kappa: u16,
    /// Smoothing of bonds, of 1000000: a larger value lets bonds follow weights more slowly.
    pub bonds_moving_average: u64,
    /// Penalty on bonds out of consensus, of 65535.
    pub bonds_penalty: u16,
    /// Whether Yuma's bonds have the third form (Yuma 3).
    pub yuma3: bool,
    /// Whether registration is open.
    pub registration_open: bool,
    /// Current price of a registration.
    pub price: Rao,
    /// Minimum price of a registration.
    pub min_price: Rao,
    /// Maximum price of a registration.
    pub max_price: Rao,
    /// Minimum stake for `set_weights`, in rao of stake weight. The subnet's owner is exempt.
    pub stake_threshold: u64,
}

/// The slots of the hyperparameters.
struct Slots {
    exists: Slot<bool>,
    tempo: Slot<u16>,
    max_uids: Slot<u16>,
    max_validators: Slot<u16>,
    immunity_period: Slot<u16>,
    min_weights: Slot<u16>,
    max_weight: Slot<u16>,
    weights_rate_limit: Slot<u64>,
    weights_version: Slot<u64>,
    commit_reveal: Slot<bool>,
    activity_cutoff: Slot<u16>,
    activity_cutoff_factor: Option<Slot<u32>>,
    kappa: Slot<u16>,
    bonds_moving_average: Slot<u64>,
    bonds_penalty: Slot<u16>,
    yuma3: Option<Slot<bool>>,
    registration_open: Slot<bool>,
    price: Slot<u64>,
    min_price: Slot<u64>,
    max_price: Slot<u64>,
    stake_threshold: Slot<u64>,
}

impl Slots {
    fn plan(batch: &mut Batch<'_>, netuid: u16) -> Result<Self, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        Ok(Self {
            exists: batch.add(subtensor().networks_added(), (netuid,))?,
            tempo: batch.add(subtensor().tempo(), (netuid,))?,
            max_uids: batch.add(subtensor().max_allowed_uids(), (netuid,))?,
            max_validators: batch.add(subtensor().max_allowed_validators(), (netuid,))?,
            immunity_period: batch.add(subtensor().immunity_period(), (netuid,))?,
            min_weights: batch.add(subtensor().min_allowed_weights(), (netuid,))?,
            max_weight: batch.add(subtensor().max_weights_limit(), (netuid,))?,
            weights_rate_limit: batch.add(subtensor().weights_set_rate_limit(), (netuid,))?,
            weights_version: batch.add(subtensor().weights_version_key(), (netuid,))?,
            commit_reveal: batch.add(subtensor().commit_reveal_weights_enabled(), (netuid,))?,
            activity_cutoff: batch.add(subtensor().activity_cutoff(), (netuid,))?,
            activity_cutoff_factor: batch
                .add_if_present(subtensor().activity_cutoff_factor_milli(), (netuid,))?,
            kappa: batch.add(subtensor().kappa(), (netuid,))?,
            bonds_moving_average: batch.add(subtensor().bonds_moving_average(), (netuid,))?,
            bonds_penalty: batch.add(subtensor().bonds_penalty(), (netuid,))?,
            yuma3: batch.add_if_present(subtensor().yuma3_on(), (netuid,))?,
            registration_open: batch.add(subtensor().network_registration_allowed(), (netuid,))?,
            price: batch.add(subtensor().burn(), (netuid,))?,
            min_price: batch.add(subtensor().min_burn(), (netuid,))?,
            max_price: batch.add(subtensor().max_burn(), (netuid,))?,
            stake_threshold: batch.add(subtensor().stake_threshold(), ())?,
        })
    }

    fn take(self, values: &Values, netuid: Netuid) -> Result<Hyperparameters, ReadError> {
        require_subnet(values.get(self.exists)?, netuid)?;
        let tempo = values.get(self.tempo)?;
        let activity_cutoff = match self.activity_cutoff_factor {
            Some(factor) => activity_cutoff_of(values.get(factor)?, tempo),
            None => values.get(self.activity_cutoff)?.into(),
        };
        Ok(Hyperparameters {
            tempo,
            max_uids: values.get(self.max_uids)?,
            max_validators: values.get(self.max_validators)?,
            immunity_period: values.get(self.immunity_period)?,
            min_weights: values.get(self.min_weights)?,
            max_weight: values.get(self.max_weight)?,
            weights_rate_limit: values.get(self.weights_rate_limit)?,
            weights_version: values.get(self.weights_version)?,
            commit_reveal: values.get(self.commit_reveal)?,
            activity_cutoff,
            kappa: values.get(self.kappa)?,
            bonds_moving_average: values.get(self.bonds_moving_average)?,
            bonds_penalty: values.get(self.bonds_penalty)?,
            yuma3: self.yuma3.map_or(Ok(false), |slot| values.get(slot))?,
            registration_open: values.get(self.registration_open)?,
            price: Rao(values.get(self.price)?),
            min_price: Rao(values.get(self.min_price)?),
            max_price: Rao(values.get(self.max_price)?),
            stake_threshold: values.get(self.stake_threshold)?,
        })
    }
}

impl ChainSnapshot<'_> {
    /// Reads a subnet's hyperparameters. One request.
    pub async fn hyperparameters(&self, netuid: Netuid) -> Result<Hyperparameters, ReadError> {
        let (slots, values) = self.read(|batch| Slots::plan(batch, netuid.0)).await?;
        slots.take(&values, netuid)
    }

    /// Returns the block at which the subnet's next epoch runs, or `None` if there is no next epoch. One or
    /// two requests.
    ///
    /// Asks the runtime, if it can answer. Older runtimes cannot; they have fixed tempos, so the epoch is
    /// computed.
    pub async fn next_epoch(&self, netuid: Netuid) -> Result<Option<Height>, ReadError> {
        const API: (&str, &str) = ("SubnetInfoRuntimeApi", "get_next_epoch_start_block");
        let client = self.client();
        let runtime = client.runtimes().newest();
        match runtime.require(Kind::RuntimeApi, API.0, API.1) {
            Ok(()) => match self.ask_next_epoch(netuid).await {
                // The runtime was upgraded since, or the block is older.
                Err(ReadError::Request(error)) if error.is_absent() => Ok(self.epochs(netuid).await?.next()),
                answer => answer,
            },
            Err(_) if has_fixed_tempos(&runtime) => self.compute_next_epoch(netuid).await,
            Err(unusable) => Err(unusable.into()),
        }
    }

    async fn ask_next_epoch(&self, netuid: Netuid) -> Result<Option<Height>, ReadError> {
        const CALL: &str = "SubnetInfoRuntimeApi_get_next_epoch_start_block";
        let at = Some(H256(self.block().0));
        let arguments = &netuid.0.encode();
        let answer = self
            .client()
            .connection()
            .read_state(CALL, at, |node| async move { node.state_call(CALL, Some(arguments), at).await })
            .await?;
        let height = Option::<u64>::decode(&mut &answer[..])
            .map_err(|error| RequestError::Unintelligible { method: CALL, reason: error.to_string() })?;
        Ok(height.map(Height))
    }

    async fn compute_next_epoch(&self, netuid: Netuid) -> Result<Option<Height>, ReadError> {
        let (tempo, values) =
            self.read(|batch| batch.add(api::storage().subtensor_module().tempo(), (netuid.0,))).await?;
        let header = self.client().header(self.block()).await?;
        Ok(next_epoch_of_fixed_tempo(netuid, values.get(tempo)?, Height(header.number)))
    }
}

/// Returns the activity cutoff in blocks: a factor, in thousandths, of the tempo. Source:
/// `get_activity_cutoff_blocks` of the chain's pallet.
fn activity_cutoff_of(factor: u32, tempo: u16) -> u64 {
    (u64::from(factor) * u64::from(tempo) / 1000).max(1)
}

/// Returns whether the runtime is from before tempos could change. Such runtimes do not count epochs. A
/// counter in another form, or metadata that describes no runtime APIs, does not make a runtime old.
pub(crate) fn has_fixed_tempos(runtime: &Runtime) -> bool {
    let counter = runtime.require(Kind::Storage, "SubtensorModule", "SubnetEpochIndex");
    matches!(counter, Err(Unusable { why: Why::Absent, .. }))
}

/// Computes the first epoch after `block` for fixed tempos. Epochs run at the blocks at which
/// `(block + netuid + 1) mod (tempo + 1)` is 0.
///
/// Source: `blocks_until_next_epoch` of the chain's pallet, up to the runtimes that have
/// `get_next_epoch_start_block`.
pub(crate) fn next_epoch_of_fixed_tempo(netuid: Netuid, tempo: u16, block: Height) -> Option<Height> {
    if tempo == 0 {
        return None;
    }
    let period = u64::from(tempo) + 1;
    let phase = (block.0 + u64::from(netuid.0) + 1) % period;
    Some(Height(block.0 + period - phase))
}

/// Computes the number of a block's epoch for fixed tempos, like the `get_epoch_index` of older runtimes.
pub(crate) fn epoch_of_fixed_tempo(netuid: Netuid, tempo: u16, block: Height) -> u64 {
    (block.0 + u64::from(netuid.0) + 1) / (u64::from(tempo) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_activity_cutoff_follows_the_tempo() {
        assert_eq!(activity_cutoff_of(13_889, 360), 5000);
        assert_eq!(activity_cutoff_of(1000, 99), 99);
        assert_eq!(activity_cutoff_of(0, 99), 1);
    }

    #[test]
    fn epochs_of_subnet_3_with_tempo_20() {
        let next = |block| next_epoch_of_fixed_tempo(Netuid(3), 20, Height(block));
        assert_eq!(next(0), Some(Height(17)));
        assert_eq!(next(16), Some(Height(17)));
        assert_eq!(next(17), Some(Height(38)));
        assert_eq!(next_epoch_of_fixed_tempo(Netuid(3), 0, Height(9)), None);
    }

    #[test]
    fn an_epoch_number_rises_where_an_epoch_runs() {
        for block in 0..200 {
            let epoch = |block| epoch_of_fixed_tempo(Netuid(3), 20, Height(block));
            let rises = epoch(block + 1) > epoch(block);
            let runs = next_epoch_of_fixed_tempo(Netuid(3), 20, Height(block)) == Some(Height(block + 1));
            assert_eq!(rises, runs, "block {block}");
        }
    }
}
