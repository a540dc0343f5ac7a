//! The facts of a subnet that programs show, in few requests: a public node allows about one a second.

use base::{BlockHash, Height, Hotkey, Netuid, UnixMillis};
use chain_metadata::api;
use parity_scale_codec::Decode;
use sp_crypto_hashing::twox_128;

use super::{Columns, Metagraph, Row, plan_keys, plan_stakes, take_keys, take_row, with_keys};
use crate::{
    Block, ChainSnapshot, Commitments, commitments,
    error::ReadError,
    storage::{Batch, Slot, Values},
};

/// The neurons of a subnet after a block, with all that they have published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetView {
    /// The block.
    pub block: Block,
    /// The neurons.
    pub metagraph: Metagraph,
    /// Their commitments.
    pub commitments: Commitments,
    /// The weights that each of them has set, by uid.
    pub weights: Vec<Row>,
}

impl ChainSnapshot<'_> {
    /// Reads the neurons of a subnet with their commitments and weights. Three requests for up to 1023
    /// neurons.
    pub async fn subnet_view(&self, netuid: Netuid) -> Result<SubnetView, ReadError> {
        let plan = |batch: &mut Batch<'_>| {
            Ok((BlockSlots::plan(batch)?, Columns::plan(batch, netuid.0, self.index(netuid))?))
        };
        let ((block, columns), values) = self.read(plan).await?;
        let block = block.take(&values, self.block())?;
        let columns = columns.take(&values, netuid)?;
        let plan = |batch: &mut Batch<'_>| {
            let row = |uid| batch.add(api::storage().subtensor_module().weights(), (self.index(netuid), uid));
            let rows = (0..columns.neurons).map(row).collect::<Result<Vec<_>, _>>()?;
            Ok((rows, plan_keys(batch, netuid.0, columns.neurons)?))
        };
        let ((rows, keys), values) = self.read(plan).await?;
        let weights = rows.into_iter().map(|row| take_row(&values, row)).collect::<Result<_, _>>()?;
        let keys = take_keys(&values, &keys)?;
        let hotkeys: Vec<Hotkey> = keys.iter().map(|(hotkey, _)| *hotkey).collect();
        let plan = |batch: &mut Batch<'_>| {
            let commitments = commitments::plan(batch, netuid, &hotkeys)?;
            Ok((commitments, plan_stakes(batch, netuid.0, &keys)?))
        };
        let ((slots, stakes), values) = self.read(plan).await?;
        let commitments = Commitments::collect(&values, slots);
        let neurons = with_keys(&columns, &keys, stakes, &values)?;
        let (owner, owner_hotkey) = (columns.owner, columns.owner_hotkey);
        let metagraph = Metagraph { netuid, block: self.block(), owner, owner_hotkey, neurons };
        Ok(SubnetView { block, metagraph, commitments, weights })
    }
}

/// The slots of what a state tells of its block: each FRAME runtime writes these values.
pub(crate) struct BlockSlots {
    number: Slot<()>,
    parent: Slot<()>,
    now: Slot<u64>,
}

impl BlockSlots {
    pub(crate) fn plan(batch: &mut Batch<'_>) -> Result<Self, ReadError> {
        let system = |entry: &[u8]| [twox_128(b"System"), twox_128(entry)].concat();
        Ok(Self {
            number: batch.add_key(system(b"Number")),
            parent: batch.add_key(system(b"ParentHash")),
            now: batch.add(api::storage().timestamp().now(), ())?,
        })
    }

    pub(crate) fn take(&self, values: &Values, hash: BlockHash) -> Result<Block, ReadError> {
        let number = values.raw(self.number).map_or(Ok(0), |mut bytes| u32::decode(&mut bytes));
        let parent = values.raw(self.parent).map_or(Ok([0; 32]), |mut bytes| <[u8; 32]>::decode(&mut bytes));
        let undecodable = |error: parity_scale_codec::Error| ReadError::Decode {
            item: "System.Number or System.ParentHash".into(),
            at: hash,
            reason: error.to_string(),
        };
        let (number, parent) = (number.map_err(undecodable)?, parent.map_err(undecodable)?);
        // The state of block 0 names a parent, which block 0 does not have.
        let parent = if number == 0 { [0; 32] } else { parent };
        let time = UnixMillis(values.get(self.now)?);
        Ok(Block { height: Height(number.into()), hash, parent: BlockHash(parent), time })
    }
}
