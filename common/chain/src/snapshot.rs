//! The chain's state after one block.

use base::{BlockHash, Coldkey, Mechanism, Netuid, Rao, UnixMillis};
use chain_metadata::api;
use subxt::utils::AccountId32;

use crate::{
    Client,
    error::ReadError,
    storage::{self, Batch, Values},
    weights::storage_index,
};

/// The chain's state after a block. Created by [`Client::at`]. The doc of each method says how many requests
/// it sends.
///
/// Nodes keep the state of a few hundred blocks only. [`ReadError::Pruned`] means that the state is gone.
#[derive(Clone, Copy, Debug)]
pub struct ChainSnapshot<'a> {
    client: &'a Client,
    block: BlockHash,
    mechanism: Mechanism,
}

impl<'a> ChainSnapshot<'a> {
    pub(crate) fn new(client: &'a Client, block: BlockHash) -> Self {
        Self { client, block, mechanism: Mechanism::MAIN }
    }

    /// Returns the same state, for reads of another mechanism: its weights, incentives and updates.
    #[must_use]
    pub fn of(self, mechanism: Mechanism) -> Self {
        Self { mechanism, ..self }
    }

    /// Returns the number under which the chain keeps the values of a subnet's mechanism.
    pub(crate) fn index(&self, netuid: Netuid) -> u16 {
        storage_index(netuid, self.mechanism)
    }

    /// Returns the hash of the block.
    pub fn block(&self) -> BlockHash {
        self.block
    }

    /// Reads the time that the block carries; 0 in the genesis block. One request.
    pub async fn time(&self) -> Result<UnixMillis, ReadError> {
        let (now, values) = self.read(|batch| batch.add(api::storage().timestamp().now(), ())).await?;
        values.get(now).map(UnixMillis)
    }

    /// Reads the free balance of the account. One request.
    pub async fn balance(&self, coldkey: &Coldkey) -> Result<Rao, ReadError> {
        let (account, values) = self
            .read(|batch| batch.add(api::storage().system().account(), (AccountId32(coldkey.0),)))
            .await?;
        Ok(Rao(values.get(account)?.data.free))
    }

    /// Reads the values that `plan` adds to the batch, in one request.
    pub(crate) async fn read<S>(
        &self,
        plan: impl Fn(&mut Batch<'_>) -> Result<S, ReadError>,
    ) -> Result<(S, Values), ReadError> {
        // Boxed, since the futures of callers are nested deeply.
        Box::pin(storage::read(self.client.connection(), self.client.runtimes(), self.block, plan)).await
    }

    pub(crate) fn client(&self) -> &'a Client {
        self.client
    }
}

/// Returns an error if the subnet does not exist.
pub(crate) fn require_subnet(exists: bool, netuid: Netuid) -> Result<(), ReadError> {
    if exists { Ok(()) } else { Err(ReadError::NoSubnet(netuid)) }
}
