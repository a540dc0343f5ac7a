//! The live runtime: its items, its types, and the encoding of transactions for it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use base::BlockHash;
use chain_metadata::{
    decode,
    items::Kind,
    report::{Report, Unusable},
};
use parity_scale_codec::{Decode, Encode};
use subxt::{
    ArcMetadata, OfflineClient, OfflineClientAtBlock, SubstrateConfig,
    config::substrate::SpecVersionForRange, utils::H256,
};
use tracing::{info, warn};

use crate::{
    connection::Connection,
    error::{ReadError, RequestError},
};

/// The version of the runtime that made a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) spec: u32,
    pub(crate) transaction: u32,
}

/// One version of the chain's runtime.
pub(crate) struct Runtime {
    pub(crate) version: Version,
    pub(crate) report: Arc<Report>,
    pub(crate) metadata: ArcMetadata,
    /// The encoder of storage keys, calls and transactions. It never talks to a node.
    pub(crate) offline: OfflineClientAtBlock<SubstrateConfig>,
}

impl Runtime {
    pub(crate) fn new(
        bytes: &[u8],
        version: Version,
        genesis: BlockHash,
    ) -> Result<Self, decode::DecodeError> {
        let metadata = decode::decode(bytes)?.arc();
        let report = Arc::new(Report::new(&metadata));
        let config = SubstrateConfig::builder()
            .set_genesis_hash(H256(genesis.0))
            .set_metadata_for_spec_versions([(version.spec, metadata.clone())])
            .set_spec_version_for_block_ranges([SpecVersionForRange {
                block_range: 0..u64::MAX,
                spec_version: version.spec,
                transaction_version: version.transaction,
            }])
            .build();
        let offline = OfflineClient::new_with_config(config)
            .at_block(0u64)
            .expect("the metadata of all blocks was set just above");
        Ok(Self { version, report, metadata, offline })
    }

    /// Checks that the live runtime has this item in the known form.
    pub(crate) fn require(&self, kind: Kind, pallet: &str, name: &str) -> Result<(), Unusable> {
        self.report.usable(kind, pallet, name)
    }

    /// Returns whether the live runtime has this item in the known form.
    pub(crate) fn has(&self, kind: Kind, pallet: &str, name: &str) -> bool {
        self.require(kind, pallet, name).is_ok()
    }
}

/// The runtimes seen so far. An upgrade adds one. Older blocks are still read with their own runtime.
pub(crate) struct Runtimes {
    genesis: BlockHash,
    known: RwLock<Known>,
}

struct Known {
    by_spec: HashMap<u32, Arc<Runtime>>,
    newest: Arc<Runtime>,
}

impl Runtimes {
    /// Reads the runtime of the node's best block.
    pub(crate) async fn load(connection: &Connection, genesis: BlockHash) -> Result<Self, ReadError> {
        let version = fetch_version(connection, None).await?;
        let newest = Arc::new(fetch(connection, None, version, genesis).await?);
        let by_spec = HashMap::from([(version.spec, newest.clone())]);
        log_unusable(&newest);
        Ok(Self { genesis, known: RwLock::new(Known { by_spec, newest }) })
    }

    /// Returns the newest runtime seen.
    pub(crate) fn newest(&self) -> Arc<Runtime> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// Returns the runtime of this spec version, if it was seen before.
    pub(crate) fn known(&self, spec: u32) -> Option<Arc<Runtime>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).by_spec.get(&spec).cloned()
    }

    /// Returns the runtime of a block, or of the best block if `block` is `None`. Fetches it if it is new.
    pub(crate) async fn at(
        &self,
        connection: &Connection,
        block: Option<BlockHash>,
    ) -> Result<Arc<Runtime>, ReadError> {
        let version = fetch_version(connection, block).await?;
        if let Some(runtime) = self.known(version.spec) {
            return Ok(runtime);
        }
        let runtime = Arc::new(fetch(connection, block, version, self.genesis).await?);
        self.remember(runtime.clone());
        Ok(runtime)
    }

    fn remember(&self, runtime: Arc<Runtime>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if runtime.version.spec > known.newest.version.spec {
            info!(target: "chain", from = known.newest.version.spec, to = runtime.version.spec, "runtime upgraded");
            log_unusable(&runtime);
            known.newest = runtime.clone();
        }
        known.by_spec.insert(runtime.version.spec, runtime);
    }
}

fn log_unusable(runtime: &Runtime) {
    for item in runtime.report.unusable() {
        warn!(target: "chain", item = %item.item, status = %item.status, "the runtime lacks this item, or has it in another form");
    }
}

async fn fetch_version(connection: &Connection, at: Option<BlockHash>) -> Result<Version, ReadError> {
    let at = at.map(|hash| H256(hash.0));
    let version = connection
        .read("state_getRuntimeVersion", move |node| async move { node.state_get_runtime_version(at).await })
        .await
        .map_err(|error| explain(error, at))?;
    Ok(Version { spec: version.spec_version, transaction: version.transaction_version })
}

async fn fetch(
    connection: &Connection,
    at: Option<BlockHash>,
    version: Version,
    genesis: BlockHash,
) -> Result<Runtime, ReadError> {
    let bytes = fetch_metadata(connection, at).await?;
    Runtime::new(&bytes, version, genesis)
        .map_err(|error| ReadError::Metadata { spec_version: version.spec, reason: error.to_string() })
}

/// Fetches the newest metadata version that both sides support.
async fn fetch_metadata(connection: &Connection, at: Option<BlockHash>) -> Result<Vec<u8>, ReadError> {
    let at = at.map(|hash| H256(hash.0));
    for version in decode::VERSIONS {
        if let Some(bytes) = metadata_at_version(connection, at, version).await? {
            return Ok(bytes);
        }
    }
    // Nodes from before metadata V15 have only this method.
    let answer = connection
        .read("state_getMetadata", move |node| async move { node.state_get_metadata(at).await })
        .await
        .map_err(|error| explain(error, at))?;
    Ok(answer.into_raw())
}

async fn metadata_at_version(
    connection: &Connection,
    at: Option<H256>,
    version: u32,
) -> Result<Option<Vec<u8>>, ReadError> {
    const CALL: &str = "Metadata_metadata_at_version";
    let arguments = &version.encode();
    let answer = connection
        .read(CALL, move |node| async move { node.state_call(CALL, Some(arguments), at).await })
        .await;
    match answer {
        Ok(bytes) => Option::<Vec<u8>>::decode(&mut &bytes[..])
            .map_err(|error| RequestError::Unintelligible { method: CALL, reason: error.to_string() }.into()),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(explain(error, at)),
    }
}

/// Recognizes errors about blocks that the node does not have, or whose state it no longer has.
pub(crate) fn explain(error: RequestError, at: Option<H256>) -> ReadError {
    /// `Client error` of the JSON-RPC methods `state_*`. Only its text tells which error it is.
    const STATE_CLIENT_ERROR: i32 = 4003;
    let (RequestError::Refused { code, .. }, Some(at)) = (&error, at) else {
        return error.into();
    };
    let says = |text: &str| error.says(text);
    match *code {
        STATE_CLIENT_ERROR if says("State already discarded") => ReadError::Pruned(BlockHash(at.0)),
        STATE_CLIENT_ERROR if says("UnknownBlock") || says("unknown Block") => {
            ReadError::UnknownBlock(BlockHash(at.0))
        }
        _ => error.into(),
    }
}
