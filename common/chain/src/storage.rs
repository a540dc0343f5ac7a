//! Reads many storage values of one block in one request. The metadata of the block's own runtime decodes
//! them.

use std::{collections::HashMap, marker::PhantomData, sync::Arc};

use base::{BlockHash, Netuid};
use chain_metadata::{items::Kind, report::Why};
use parity_scale_codec::{Compact, Decode};
use sp_crypto_hashing::twox_128;
use subxt::{
    ext::{
        frame_decode::storage::{IntoDecodableValues, IntoEncodableValues},
        scale_decode::DecodeAsType,
    },
    storage::StaticAddress,
    utils::{H256, YesMaybe},
};

use crate::{
    connection::Connection,
    error::{ReadError, RequestError},
    runtime::{Runtime, Runtimes},
};

/// The only JSON-RPC method of this module.
const METHOD: &str = "state_queryStorageAt";
/// Most keys of one request. A subnet of 256 neurons needs 512 at once.
const KEYS_PER_REQUEST: usize = 4096;

/// The place of a requested value in [`Values`].
pub(crate) struct Slot<V> {
    index: usize,
    pallet: &'static str,
    entry: &'static str,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Slot<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Slot<V> {}

/// The keys of one read.
pub(crate) struct Batch<'a> {
    pub(crate) runtime: &'a Runtime,
    keys: Vec<Vec<u8>>,
}

impl<'a> Batch<'a> {
    /// Creates a batch without keys.
    pub(crate) fn new(runtime: &'a Runtime) -> Self {
        Self { runtime, keys: Vec::new() }
    }

    /// Adds the value at these keys to the request. Returns an error if the live runtime lacks the entry, or
    /// has it in another form.
    pub(crate) fn add<K, V, P>(
        &mut self,
        address: StaticAddress<K, V, P>,
        keys: K,
    ) -> Result<Slot<V>, ReadError>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
    {
        use subxt::storage::Address;
        let (pallet, entry) = static_names(address.pallet_name(), address.entry_name());
        self.runtime.require(Kind::Storage, pallet, entry)?;
        let key = self
            .runtime
            .offline
            .storage()
            .entry(address.unvalidated())
            .and_then(|entry| entry.fetch_key(keys))
            .map_err(|error| ReadError::Metadata {
                spec_version: self.runtime.version.spec,
                reason: error.to_string(),
            })?;
        self.keys.push(key);
        Ok(Slot { index: self.keys.len() - 1, pallet, entry, value: PhantomData })
    }

    /// Adds the bytes at a key that is the same in every runtime.
    pub(crate) fn add_key(&mut self, key: Vec<u8>) -> Slot<()> {
        self.keys.push(key);
        Slot { index: self.keys.len() - 1, pallet: "raw", entry: "key", value: PhantomData }
    }

    /// Adds the bytes of an entry that [`chain_metadata`] does not list: a map from a subnet, by the hasher
    /// `Identity`. Returns `None` if the live runtime lacks the entry.
    pub(crate) fn add_unlisted(&mut self, pallet: &str, entry: &str, netuid: Netuid) -> Option<Slot<()>> {
        let storage = self.runtime.metadata.pallet_by_name(pallet)?.storage()?;
        storage.entry_by_name(entry)?;
        let [pallet, entry] = [pallet, entry].map(|name| twox_128(name.as_bytes()));
        Some(self.add_key([&pallet[..], &entry, &netuid.0.to_le_bytes()].concat()))
    }

    /// Adds a value like [`Batch::add`], or returns `None` if the runtime lacks the entry. An entry in
    /// another form is an error: the runtime must not be taken for an older one.
    pub(crate) fn add_if_present<K, V, P>(
        &mut self,
        address: StaticAddress<K, V, P>,
        keys: K,
    ) -> Result<Option<Slot<V>>, ReadError>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
    {
        match self.add(address, keys) {
            Ok(slot) => Ok(Some(slot)),
            Err(ReadError::Unusable(unusable)) if unusable.why == Why::Absent => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the static names of an entry, from the list of items. An address only lends its names.
fn static_names(pallet: &str, entry: &str) -> (&'static str, &'static str) {
    chain_metadata::items::find(Kind::Storage, pallet, entry)
        .map_or(("a pallet", "that is not listed"), |item| (item.pallet, item.name))
}

/// The values of a read.
pub(crate) struct Values {
    pub(crate) runtime: Arc<Runtime>,
    at: BlockHash,
    bytes: Vec<Option<Vec<u8>>>,
}

impl Values {
    /// Returns the value, or the runtime's default if the chain has no value.
    pub(crate) fn get<V: DecodeAsType>(&self, slot: Slot<V>) -> Result<V, ReadError> {
        match self.raw(slot) {
            Some(bytes) => self.decode(slot, bytes),
            None => match self.entry(slot)?.default_value() {
                Some(default) => self.decode(slot, default),
                None => Err(self.undecodable(slot, "the chain has no value, and there is no default")),
            },
        }
    }

    /// Returns the value, if the chain has one.
    pub(crate) fn find<V: DecodeAsType>(&self, slot: Slot<V>) -> Result<Option<V>, ReadError> {
        self.raw(slot).map(|bytes| self.decode(slot, bytes)).transpose()
    }

    /// Returns the value like [`Values::get`], or the type's default if the runtime lacks the entry.
    pub(crate) fn get_or_default<V: DecodeAsType + Default>(
        &self,
        slot: Option<Slot<V>>,
    ) -> Result<V, ReadError> {
        slot.map_or_else(|| Ok(V::default()), |slot| self.get(slot))
    }

    /// Returns the bytes of the value, if the chain has one.
    pub(crate) fn raw<V>(&self, slot: Slot<V>) -> Option<&[u8]> {
        self.bytes.get(slot.index)?.as_deref()
    }

    fn decode<V: DecodeAsType>(&self, slot: Slot<V>, mut bytes: &[u8]) -> Result<V, ReadError> {
        let value_type = self.entry(slot)?.value_ty();
        let value = V::decode_as_type(&mut bytes, value_type, self.runtime.metadata.types())
            .map_err(|error| self.undecodable(slot, &error.to_string()))?;
        match bytes.len() {
            0 => Ok(value),
            left => Err(self.undecodable(slot, &format!("{left} bytes are left over"))),
        }
    }

    fn entry<V>(&self, slot: Slot<V>) -> Result<&subxt::metadata::StorageEntryMetadata, ReadError> {
        self.runtime
            .metadata
            .pallet_by_name(slot.pallet)
            .and_then(|pallet| pallet.storage())
            .and_then(|storage| storage.entry_by_name(slot.entry))
            .ok_or_else(|| self.undecodable(slot, "the runtime does not have it"))
    }

    fn undecodable<V>(&self, slot: Slot<V>, reason: &str) -> ReadError {
        ReadError::Decode {
            item: format!("{}.{}", slot.pallet, slot.entry),
            at: self.at,
            reason: reason.to_string(),
        }
    }
}

/// Reads the values that `plan` adds to the batch, at a block, in one request (for up to 4095 keys).
///
/// The request also reads the version of the block's runtime. If the keys were made for another runtime, the
/// plan runs again for the right one. This detects upgrades of the runtime.
pub(crate) async fn read<S>(
    connection: &Connection,
    runtimes: &Runtimes,
    at: BlockHash,
    plan: impl Fn(&mut Batch<'_>) -> Result<S, ReadError>,
) -> Result<(S, Values), ReadError> {
    let mut runtime = runtimes.newest();
    loop {
        let mut batch = Batch::new(&runtime);
        let slots = match plan(&mut batch) {
            // The block may be of another runtime, which has the item: a newer one, after an upgrade.
            Err(error @ ReadError::Unusable(_)) => {
                drop(batch);
                let found = runtimes.at(connection, Some(at)).await?;
                if found.version.spec == runtime.version.spec {
                    return Err(error);
                }
                runtime = found;
                continue;
            }
            slots => slots?,
        };
        let mut keys = batch.keys;
        keys.push(last_runtime_upgrade());
        let mut bytes = query(connection, at, &keys).await?;
        let spec = bytes.pop().flatten().and_then(|bytes| spec_version(&bytes));
        match spec {
            Some(spec) if spec != runtime.version.spec => {
                let found = match runtimes.known(spec) {
                    Some(found) => found,
                    None => runtimes.at(connection, Some(at)).await?,
                };
                if found.version.spec == runtime.version.spec {
                    return Ok((slots, Values { runtime, at, bytes }));
                }
                runtime = found;
            }
            _ => return Ok((slots, Values { runtime, at, bytes })),
        }
    }
}

/// Returns the key of `System.LastRuntimeUpgrade`. Each FRAME runtime writes its version there when it first
/// runs.
fn last_runtime_upgrade() -> Vec<u8> {
    [twox_128(b"System"), twox_128(b"LastRuntimeUpgrade")].concat()
}

fn spec_version(mut bytes: &[u8]) -> Option<u32> {
    Compact::<u32>::decode(&mut bytes).ok().map(|spec| spec.0)
}

/// Reads the values at these keys, in the same order.
async fn query(
    connection: &Connection,
    at: BlockHash,
    keys: &[Vec<u8>],
) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_PER_REQUEST) {
        let block = Some(H256(at.0));
        let changes = connection
            .read_state(METHOD, block, |node| async move {
                node.state_query_storage_at(keys.iter().map(Vec::as_slice), block).await
            })
            .await?;
        let mut found: HashMap<Vec<u8>, Option<Vec<u8>>> = changes
            .into_iter()
            .flat_map(|set| set.changes)
            .map(|(key, value)| (key.0, value.map(|bytes| bytes.0)))
            .collect();
        for key in keys {
            let value = found.remove(key).ok_or_else(|| RequestError::Unintelligible {
                method: METHOD,
                reason: format!("it lacks key 0x{}", hex::encode(key)),
            })?;
            values.push(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
