//! [`NeuronStatus`]: the place of one hotkey on a subnet, as far as the live runtime tells it.

use base::{BlockHash, Coldkey, Height, Hotkey, Netuid, Rao, Uid};
use chain_metadata::{api, items::Kind};
use subxt::{ext::scale_decode::DecodeAsType, utils::AccountId32};

use crate::{
    Block, ChainSnapshot, epochs,
    error::ReadError,
    metagraph::BlockSlots,
    snapshot::require_subnet,
    storage::{Batch, Slot, Values},
    subnet::has_fixed_tempos,
};

/// The place of a hotkey on a subnet. Fields are `None` where the live runtime lacks the item, or has it in
/// another form: only the uid and the owner are needed.
///
/// Shares are parts of 65535, from the chain's last epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeuronStatus {
    /// The block.
    pub block: Block,
    /// The uid.
    pub uid: Uid,
    /// The account that owns the hotkey.
    pub coldkey: Coldkey,
    /// The free balance of that account.
    pub balance: Option<Rao>,
    /// The number of neurons on the subnet.
    pub neurons: Option<u16>,
    /// The most neurons that the subnet may have.
    pub max_neurons: Option<u16>,
    /// The block of the registration.
    pub registered: Option<Height>,
    /// The stake that counts in votes and consensus; 65535 is the largest.
    pub stake_weight: Option<u16>,
    /// The stake on the hotkey in this subnet's alpha.
    pub alpha: Option<Rao>,
    /// Whether the neuron may set weights on others.
    pub permit: Option<bool>,
    /// Whether the neuron has set weights within the activity cutoff, as of the last epoch.
    pub active: Option<bool>,
    /// The share of the miners' reward.
    pub incentive: Option<u16>,
    /// The share of the validators' reward.
    pub dividends: Option<u16>,
    /// The emission of the last epoch, in the subnet's alpha.
    pub emission: Option<Rao>,
    /// The block of the last weights or of the registration: the chain writes both.
    pub last_update: Option<Height>,
    /// The block of the next epoch. `Some(None)` if the subnet has no epochs.
    pub next_epoch: Option<Option<Height>>,
}

/// A slot that is absent where the runtime lacks the item.
type Optional<V> = Option<Slot<V>>;

/// The slots of the values that need no uid.
struct Slots {
    block: BlockSlots,
    exists: Slot<bool>,
    uid: Slot<u16>,
    coldkey: Slot<AccountId32>,
    neurons: Optional<u16>,
    max_neurons: Optional<u16>,
    alpha: Optional<u64>,
    stake_weight: Optional<Vec<u16>>,
    permit: Optional<Vec<bool>>,
    active: Optional<Vec<bool>>,
    incentive: Optional<Vec<u16>>,
    dividends: Optional<Vec<u16>>,
    emission: Optional<Vec<u64>>,
    last_update: Optional<Vec<u64>>,
    epochs: Option<epochs::Slots>,
}

impl Slots {
    fn plan(batch: &mut Batch<'_>, netuid: Netuid, hotkey: &Hotkey) -> Result<Self, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let (n, account) = (netuid.0, || AccountId32(hotkey.0));
        Ok(Self {
            block: BlockSlots::plan(batch)?,
            exists: batch.add(subtensor().networks_added(), (n,))?,
            uid: batch.add(subtensor().uids(), (n, account()))?,
            coldkey: batch.add(subtensor().owner(), (account(),))?,
            neurons: usable(batch.add(subtensor().subnetwork_n(), (n,)))?,
            max_neurons: usable(batch.add(subtensor().max_allowed_uids(), (n,)))?,
            alpha: usable(batch.add(subtensor().total_hotkey_alpha(), (account(), n)))?,
            stake_weight: usable(batch.add(subtensor().stake_weight(), (n,)))?,
            permit: usable(batch.add(subtensor().validator_permit(), (n,)))?,
            active: usable(batch.add(subtensor().active(), (n,)))?,
            incentive: usable(batch.add(subtensor().incentive(), (n,)))?,
            dividends: usable(batch.add(subtensor().dividends(), (n,)))?,
            emission: usable(batch.add(subtensor().emission(), (n,)))?,
            last_update: usable(batch.add(subtensor().last_update(), (n,)))?,
            epochs: plan_epochs(batch, netuid)?,
        })
    }

    fn take(
        self,
        values: &Values,
        netuid: Netuid,
        hash: BlockHash,
    ) -> Result<Option<NeuronStatus>, ReadError> {
        require_subnet(values.get(self.exists)?, netuid)?;
        let Some(uid) = values.find(self.uid)?.map(Uid) else { return Ok(None) };
        let block = self.block.take(values, hash)?;
        let epochs = self.epochs.map(|slots| slots.take(values, block.height)).transpose()?;
        Ok(Some(NeuronStatus {
            block,
            uid,
            coldkey: Coldkey(values.get(self.coldkey)?.0),
            balance: None,
            neurons: get(values, self.neurons)?,
            max_neurons: get(values, self.max_neurons)?,
            registered: None,
            stake_weight: cell(values, self.stake_weight, uid)?,
            alpha: get(values, self.alpha)?.map(Rao),
            permit: cell(values, self.permit, uid)?,
            active: cell(values, self.active, uid)?,
            incentive: cell(values, self.incentive, uid)?,
            dividends: cell(values, self.dividends, uid)?,
            emission: cell(values, self.emission, uid)?.map(Rao),
            last_update: cell(values, self.last_update, uid)?.map(Height),
            next_epoch: epochs.map(|schedule| schedule.next()),
        }))
    }
}

/// Plans the read of the schedule, if the runtime has all that it needs: a part of it would be misread.
fn plan_epochs(batch: &mut Batch<'_>, netuid: Netuid) -> Result<Option<epochs::Slots>, ReadError> {
    let has = |entry| batch.runtime.has(Kind::Storage, "SubtensorModule", entry);
    let are_dynamic = ["LastEpochBlock", "PendingEpochAt", "SubnetEpochIndex"].iter().all(|entry| has(entry));
    if are_dynamic || has_fixed_tempos(batch.runtime) {
        usable(epochs::Slots::plan(batch, netuid))
    } else {
        Ok(None)
    }
}

/// Turns an item that the runtime lacks into `None`.
fn usable<T>(planned: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match planned {
        Ok(slot) => Ok(Some(slot)),
        Err(ReadError::Unusable(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn get<V: DecodeAsType>(values: &Values, slot: Optional<V>) -> Result<Option<V>, ReadError> {
    slot.map(|slot| values.get(slot)).transpose()
}

/// Returns a uid's cell of a column. The chain extends columns with zeros later, so a missing cell is zero.
fn cell<V>(values: &Values, slot: Optional<Vec<V>>, uid: Uid) -> Result<Option<V>, ReadError>
where
    V: Copy + Default,
    Vec<V>: DecodeAsType,
{
    Ok(get(values, slot)?.map(|column| column.get(usize::from(uid.0)).copied().unwrap_or_default()))
}

impl ChainSnapshot<'_> {
    /// Reads the place of a hotkey on a subnet. Returns `None` if the hotkey is not registered. Two requests.
    ///
    /// # Errors
    /// The chain cannot be read, there is no such subnet, or the runtime cannot tell the uid.
    pub async fn neuron_status(
        &self,
        netuid: Netuid,
        hotkey: &Hotkey,
    ) -> Result<Option<NeuronStatus>, ReadError> {
        let (slots, values) = self.read(|batch| Slots::plan(batch, netuid, hotkey)).await?;
        let Some(status) = slots.take(&values, netuid, self.block())? else { return Ok(None) };
        let plan = |batch: &mut Batch<'_>| {
            let account = (AccountId32(status.coldkey.0),);
            let registered = api::storage().subtensor_module().block_at_registration();
            let registered = usable(batch.add(registered, (netuid.0, status.uid.0)))?;
            Ok((usable(batch.add(api::storage().system().account(), account))?, registered))
        };
        let ((balance, registered), values) = self.read(plan).await?;
        Ok(Some(NeuronStatus {
            balance: get(&values, balance)?.map(|account| Rao(account.data.free)),
            registered: get(&values, registered)?.map(Height),
            ..status
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn older_runtimes_lack_no_more_than_what_is_optional() {
        for (runtime, alpha) in [(golden::runtime_219(), false), (golden::runtime_365(), true)] {
            let mut batch = Batch::new(&runtime);
            let slots = Slots::plan(&mut batch, Netuid(3), &Hotkey([7; 32])).unwrap();
            assert_eq!(slots.alpha.is_some(), alpha);
            assert!(slots.incentive.is_some() && slots.permit.is_some() && slots.epochs.is_some());
        }
    }

    #[test]
    fn an_item_that_the_runtime_lacks_is_none_and_other_errors_stay() {
        let runtime = golden::runtime_365();
        let lacks = runtime.require(Kind::Storage, "SubtensorModule", "LastEpochBlock").unwrap_err();
        assert_eq!(usable::<()>(Err(lacks.into())), Ok(None));
        let other = ReadError::NoSubnet(Netuid(3));
        assert_eq!(usable::<()>(Err(other.clone())), Err(other));
        assert_eq!(usable(Ok(1)), Ok(Some(1)));
    }
}
