//! The metagraph of a subnet: its neurons with their consensus values.

mod view;

pub(crate) use view::BlockSlots;
pub use view::SubnetView;

use base::{BlockHash, Coldkey, Height, Hotkey, Netuid, Rao, Uid};
use chain_metadata::api;
use subxt::utils::AccountId32;

use crate::{
    ChainSnapshot,
    error::ReadError,
    snapshot::require_subnet,
    storage::{Batch, Slot, Values},
};

/// A miner or validator of a subnet.
///
/// Shares (of 65535) are the results of the chain's last epoch. Hotkey and block of registration identify a
/// neuron: its uid may belong to another neuron later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// The number of the neuron on the subnet.
    pub uid: Uid,
    /// The account that signs for the neuron.
    pub hotkey: Hotkey,
    /// The account that owns the hotkey.
    pub coldkey: Coldkey,
    /// The block of the registration (`BlockAtRegistration`).
    pub registered: Height,
    /// The stake that counts in votes and consensus; 65535 is the largest (`StakeWeight`).
    pub stake_weight: u16,
    /// The stake on the hotkey in this subnet's alpha (`TotalHotkeyAlpha`).
    pub alpha: Rao,
    /// Whether the neuron may set weights on others (`ValidatorPermit`).
    pub permit: bool,
    /// Whether the neuron has set weights within the activity cutoff, as of the last epoch (`Active`).
    pub active: bool,
    /// The share of the miners' reward, of 65535 (`Incentive`).
    pub incentive: u16,
    /// The weight that the majority of stake gives the neuron, of 65535 (`Consensus`).
    pub consensus: u16,
    /// The share of the validators' reward, of 65535 (`Dividends`).
    pub dividends: u16,
    /// The part of the neuron's own weights that is within consensus, of 65535 (`ValidatorTrust`).
    pub validator_trust: u16,
    /// The emission of the last epoch, in the subnet's alpha (`Emission`).
    pub emission: Rao,
    /// The block of the last `set_weights` or of the registration: the chain writes both (`LastUpdate`). If
    /// it is not above [`registered`](Self::registered), the neuron has never set weights.
    pub last_update: Height,
}

/// All neurons of a subnet after a block, in the order of uids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: Netuid,
    /// The block.
    pub block: BlockHash,
    /// The account that owns the subnet.
    pub owner: Coldkey,
    /// The owner's hotkey: its uid receives the burn share.
    pub owner_hotkey: Hotkey,
    /// The neurons, indexed by uid.
    pub neurons: Vec<Neuron>,
}

impl Metagraph {
    /// Returns the hotkeys of all neurons, by uid.
    pub fn hotkeys(&self) -> Vec<Hotkey> {
        self.neurons.iter().map(|neuron| neuron.hotkey).collect()
    }

    /// Returns the neuron of this hotkey.
    pub fn by_hotkey(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }

    /// Returns the uid of the owner's hotkey, if it is registered.
    pub fn owner_uid(&self) -> Option<Uid> {
        self.by_hotkey(&self.owner_hotkey).map(|neuron| neuron.uid)
    }
}

/// One row of a matrix over uids, with the entries that are not zero.
pub type Row = Vec<(Uid, u16)>;

impl ChainSnapshot<'_> {
    /// Reads the metagraph of a subnet. Three requests for up to 2047 neurons.
    pub async fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ReadError> {
        let (columns, values) = self.read(|batch| Columns::plan(batch, netuid.0, self.index(netuid))).await?;
        let columns = columns.take(&values, netuid)?;
        let (keys, values) = self.read(|batch| plan_keys(batch, netuid.0, columns.neurons)).await?;
        let keys = take_keys(&values, &keys)?;
        let (stakes, values) = self.read(|batch| plan_stakes(batch, netuid.0, &keys)).await?;
        let neurons = with_keys(&columns, &keys, stakes, &values)?;
        let (owner, owner_hotkey) = (columns.owner, columns.owner_hotkey);
        Ok(Metagraph { netuid, block: self.block(), owner, owner_hotkey, neurons })
    }

    /// Reads the weights that each of these uids has set. The largest weight of a row is 65535. One request.
    pub async fn weights(&self, netuid: Netuid, uids: &[Uid]) -> Result<Vec<Row>, ReadError> {
        let plan = |batch: &mut Batch<'_>| {
            let weights = |uid: &Uid| {
                batch.add(api::storage().subtensor_module().weights(), (self.index(netuid), uid.0))
            };
            uids.iter().map(weights).collect::<Result<Vec<_>, _>>()
        };
        let (rows, values) = self.read(plan).await?;
        rows.into_iter().map(|row| take_row(&values, row)).collect()
    }

    /// Reads the bonds of each of these uids. One request.
    pub async fn bonds(&self, netuid: Netuid, uids: &[Uid]) -> Result<Vec<Row>, ReadError> {
        let plan = |batch: &mut Batch<'_>| {
            let bonds =
                |uid: &Uid| batch.add(api::storage().subtensor_module().bonds(), (self.index(netuid), uid.0));
            uids.iter().map(bonds).collect::<Result<Vec<_>, _>>()
        };
        let (rows, values) = self.read(plan).await?;
        rows.into_iter().map(|row| take_row(&values, row)).collect()
    }

    /// Reads the uid of a hotkey on a subnet, if it is registered there. One request.
    pub async fn uid(&self, netuid: Netuid, hotkey: &Hotkey) -> Result<Option<Uid>, ReadError> {
        let keys = (netuid.0, AccountId32(hotkey.0));
        let (uid, values) =
            self.read(|batch| batch.add(api::storage().subtensor_module().uids(), keys)).await?;
        Ok(values.find(uid)?.map(Uid))
    }
}

fn take_row(values: &Values, row: Slot<Vec<(u16, u16)>>) -> Result<Row, ReadError> {
    Ok(values.get(row)?.into_iter().map(|(uid, value)| (Uid(uid), value)).collect())
}

/// The slots of the values that are stored as one vector over all uids, and of the subnet's owner. Those that
/// only inform may be absent in a runtime: they count as zero.
struct Columns {
    exists: Slot<bool>,
    neurons: Slot<u16>,
    owner: Slot<AccountId32>,
    owner_hotkey: Slot<AccountId32>,
    stake_weight: Slot<Vec<u16>>,
    permit: Slot<Vec<bool>>,
    active: Option<Slot<Vec<bool>>>,
    incentive: Slot<Vec<u16>>,
    consensus: Option<Slot<Vec<u16>>>,
    dividends: Option<Slot<Vec<u16>>>,
    validator_trust: Option<Slot<Vec<u16>>>,
    emission: Option<Slot<Vec<u64>>>,
    last_update: Slot<Vec<u64>>,
}

impl Columns {
    fn plan(batch: &mut Batch<'_>, netuid: u16, index: u16) -> Result<Self, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        Ok(Self {
            exists: batch.add(subtensor().networks_added(), (netuid,))?,
            neurons: batch.add(subtensor().subnetwork_n(), (netuid,))?,
            owner: batch.add(subtensor().subnet_owner(), (netuid,))?,
            owner_hotkey: batch.add(subtensor().subnet_owner_hotkey(), (netuid,))?,
            stake_weight: batch.add(subtensor().stake_weight(), (netuid,))?,
            permit: batch.add(subtensor().validator_permit(), (netuid,))?,
            active: batch.add_if_present(subtensor().active(), (netuid,))?,
            incentive: batch.add(subtensor().incentive(), (index,))?,
            consensus: batch.add_if_present(subtensor().consensus(), (netuid,))?,
            dividends: batch.add_if_present(subtensor().dividends(), (netuid,))?,
            validator_trust: batch.add_if_present(subtensor().validator_trust(), (netuid,))?,
            emission: batch.add_if_present(subtensor().emission(), (netuid,))?,
            last_update: batch.add(subtensor().last_update(), (index,))?,
        })
    }

    fn take(self, values: &Values, netuid: Netuid) -> Result<FilledColumns, ReadError> {
        require_subnet(values.get(self.exists)?, netuid)?;
        Ok(FilledColumns {
            neurons: values.get(self.neurons)?,
            owner: Coldkey(values.get(self.owner)?.0),
            owner_hotkey: Hotkey(values.get(self.owner_hotkey)?.0),
            stake_weight: values.get(self.stake_weight)?,
            permit: values.get(self.permit)?,
            active: values.get_or_default(self.active)?,
            incentive: values.get(self.incentive)?,
            consensus: values.get_or_default(self.consensus)?,
            dividends: values.get_or_default(self.dividends)?,
            validator_trust: values.get_or_default(self.validator_trust)?,
            emission: values.get_or_default(self.emission)?,
            last_update: values.get(self.last_update)?,
        })
    }
}

/// The values of [`Columns`].
struct FilledColumns {
    neurons: u16,
    owner: Coldkey,
    owner_hotkey: Hotkey,
    stake_weight: Vec<u16>,
    permit: Vec<bool>,
    active: Vec<bool>,
    incentive: Vec<u16>,
    consensus: Vec<u16>,
    dividends: Vec<u16>,
    validator_trust: Vec<u16>,
    emission: Vec<u64>,
    last_update: Vec<u64>,
}

impl FilledColumns {
    /// Returns the neuron of a uid as far as the columns hold it; the caller fills in hotkey, coldkey,
    /// registration and alpha. The chain extends the columns with zeros at registration or at the next
    /// epoch, so a missing entry counts as zero.
    fn neuron(&self, uid: usize) -> Neuron {
        fn cell<T: Copy + Default>(column: &[T], uid: usize) -> T {
            column.get(uid).copied().unwrap_or_default()
        }
        Neuron {
            uid: Uid(u16::try_from(uid).expect("there are at most 65535 neurons")),
            hotkey: Hotkey([0; 32]),
            coldkey: Coldkey([0; 32]),
            registered: Height(0),
            alpha: Rao(0),
            stake_weight: cell(&self.stake_weight, uid),
            permit: cell(&self.permit, uid),
            active: cell(&self.active, uid),
            incentive: cell(&self.incentive, uid),
            consensus: cell(&self.consensus, uid),
            dividends: cell(&self.dividends, uid),
            validator_trust: cell(&self.validator_trust, uid),
            emission: Rao(cell(&self.emission, uid)),
            last_update: Height(cell(&self.last_update, uid)),
        }
    }
}

type KeySlots = (Slot<AccountId32>, Slot<u64>);
type StakeSlots = (Slot<AccountId32>, Slot<u64>);

fn plan_keys(batch: &mut Batch<'_>, netuid: u16, neurons: u16) -> Result<Vec<KeySlots>, ReadError> {
    let subtensor = || api::storage().subtensor_module();
    (0..neurons)
        .map(|uid| {
            let hotkey = batch.add(subtensor().keys(), (netuid, uid))?;
            Ok((hotkey, batch.add(subtensor().block_at_registration(), (netuid, uid))?))
        })
        .collect()
}

fn take_keys(values: &Values, slots: &[KeySlots]) -> Result<Vec<(Hotkey, Height)>, ReadError> {
    slots
        .iter()
        .map(|(hotkey, registered)| Ok((Hotkey(values.get(*hotkey)?.0), Height(values.get(*registered)?))))
        .collect()
}

fn plan_stakes(
    batch: &mut Batch<'_>,
    netuid: u16,
    keys: &[(Hotkey, Height)],
) -> Result<Vec<StakeSlots>, ReadError> {
    let subtensor = || api::storage().subtensor_module();
    keys.iter()
        .map(|(hotkey, _)| {
            let owner = batch.add(subtensor().owner(), (AccountId32(hotkey.0),))?;
            let alpha = batch.add(subtensor().total_hotkey_alpha(), (AccountId32(hotkey.0), netuid))?;
            Ok((owner, alpha))
        })
        .collect()
}

/// Completes the columns with the values that are stored once per neuron.
fn with_keys(
    columns: &FilledColumns,
    keys: &[(Hotkey, Height)],
    stakes: Vec<StakeSlots>,
    values: &Values,
) -> Result<Vec<Neuron>, ReadError> {
    let neuron = |(uid, (key, (owner, alpha))): (usize, (&(Hotkey, Height), StakeSlots))| {
        let (hotkey, registered) = *key;
        Ok(Neuron {
            hotkey,
            registered,
            coldkey: Coldkey(values.get(owner)?.0),
            alpha: Rao(values.get(alpha)?),
            ..columns.neuron(uid)
        })
    };
    keys.iter().zip(stakes).enumerate().map(neuron).collect()
}
