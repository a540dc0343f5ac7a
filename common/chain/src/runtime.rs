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

/// Warns of all items that the runtime lacks, or has in another form, in one line.
fn log_unusable(runtime: &Runtime) {
    let unusable = runtime.report.unusable();
    let names: Vec<String> = unusable.map(|report| report.item.to_string()).collect();
    if !names.is_empty() {
        let (spec, pinned) = (runtime.version.spec, runtime.report.pinned.spec_version);
        warn!(
            target: "chain", spec, pinned, items = names.join(", "),
            "the runtime lacks {} items, or has them in another form: what needs them is off (`chain-metadata check` says what)",
            names.len()
        );
    }
}

async fn fetch_version(connection: &Connection, at: Option<BlockHash>) -> Result<Version, ReadError> {
    let at = at.map(|hash| H256(hash.0));
    let version = connection
        .read_state("state_getRuntimeVersion", at, move |node| async move {
            node.state_get_runtime_version(at).await
        })
        .await?;
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
        .read_state("state_getMetadata", at, move |node| async move { node.state_get_metadata(at).await })
        .await?;
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
        .read_state(CALL, at, move |node| async move { node.state_call(CALL, Some(arguments), at).await })
        .await;
    match answer {
        Ok(bytes) => Option::<Vec<u8>>::decode(&mut &bytes[..])
            .map_err(|error| RequestError::Unintelligible { method: CALL, reason: error.to_string() }.into()),
        Err(ReadError::Request(error)) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicUsize, atomic::Ordering};

    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };

    use super::*;

    /// Counts events, and keeps their fields.
    #[derive(Clone, Default)]
    struct Lines(Arc<(AtomicUsize, Mutex<String>)>);

    impl Visit for &Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.1.lock().unwrap().push_str(&format!("{}={value:?};", field.name()));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            self.0.0.fetch_add(1, Ordering::SeqCst);
            event.record(&mut &*self);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_older_runtime_costs_one_line() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../chain-metadata/tests/data");
        let logged = |file: &str, spec| {
            let bytes = std::fs::read(format!("{folder}/{file}")).unwrap();
            let version = Version { spec, transaction: 1 };
            let runtime = Runtime::new(&bytes, version, BlockHash([0; 32])).unwrap();
            let lines = Lines::default();
            tracing::subscriber::with_default(lines.clone(), || log_unusable(&runtime));
            let text = lines.0.1.lock().unwrap().clone();
            (lines.0.0.load(Ordering::SeqCst), text)
        };
        let (count, text) = logged("finney-219-v14.scale", 219);
        assert_eq!(count, 1);
        assert!(text.contains("SubtensorModule.register_limit") && text.contains("pinned=461"), "{text}");
        assert_eq!(logged("subtensor-461-v15.scale", 461).0, 0);
    }
}
