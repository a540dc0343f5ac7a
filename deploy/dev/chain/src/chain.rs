//! The chain: sealed blocks, their states, and the log that keeps them on disk.
//!
//! The newest blocks may be dropped for another branch, down to the finalized block and no further.

mod load;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::HashMap, path::Path};

use devchain_runtime::{aura::slot_duration_key, genesis::Genesis};
use parity_scale_codec::{Decode, Encode};
use sp_core::storage::Storage;
use sp_crypto_hashing::{blake2_256, twox_128};
use sp_runtime::traits::{BlakeTwo256, Hash as _};
use sp_state_machine::{Backend, OverlayedChanges};
use sp_version::RuntimeVersion;

use self::load::Loader;
use crate::{
    log::{Log, LogError, Record, RuntimeId, Sealed, Sync, TornTail},
    seal::{self, Draft, Executed, SealError},
    state::{self, CallError, State},
    store::{Block, Hash, Header, Store},
    upgrade,
};

/// The approximate size of the nodes in one record of a snapshot, in bytes.
const SNAPSHOT_PART: usize = 1 << 20;

/// The maximum number of cached answers of the metadata API. Clients ask for a few metadata
/// functions and versions.
const KEPT_ANSWERS: usize = 8;

/// The reason why a chain could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The genesis values do not give a valid state.
    #[error("cannot use the genesis configuration")]
    Genesis(#[from] devchain_runtime::genesis::GenesisError),
    /// The log could not be opened or read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log holds a chain with another genesis.
    #[error(
        "the log's chain has genesis {found:?}, the configured genesis values give {configured:?}; \
         omit the genesis values to continue the log's chain, or give another --log"
    )]
    OtherGenesis {
        /// The log's genesis hash.
        found: Hash,
        /// The configured genesis hash.
        configured: Hash,
    },
    /// Another runtime wrote the log.
    #[error(
        "the log was written by runtime {} {} ({:?}), this one is {} {} ({:?}); \
         use the devchain that wrote it, or give another --log",
        found.spec_name, found.spec_version, found.fingerprint, own.spec_name, own.spec_version, own.fingerprint
    )]
    OtherRuntime {
        /// The log's runtime.
        found: Box<RuntimeId>,
        /// This devchain's runtime.
        own: Box<RuntimeId>,
    },
    /// A call of the runtime failed.
    #[error(transparent)]
    Runtime(#[from] CallError),
}

/// The reason why a block was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The block could not be built.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The block could not be appended to the log, and so does not exist.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is no block to drop.
    #[error(
        "cannot drop a block: all blocks up to {0} are final; set finality.lag, or stall finality first and seal blocks"
    )]
    AllFinal(u32),
}

/// The outcome of a seal.
pub(crate) struct Outcome {
    /// The transactions in the new best block.
    pub(crate) included: Vec<Hash>,
    /// The transactions that the runtime refused for good.
    pub(crate) rejected: Vec<Hash>,
    /// The blocks that were dropped, in the order of their heights.
    pub(crate) dropped: Vec<Hash>,
}

/// Cached answers of the runtime, by its spec version, method and arguments.
type Answers = HashMap<(u32, String, Vec<u8>), Vec<u8>>;

/// The chain: its blocks and states in memory, and its log.
pub(crate) struct Chain {
    store: Store,
    log: Option<Log>,
    runtime: RuntimeId,
    answers: RefCell<Answers>,
    /// The block time that the metadata tells, in milliseconds.
    block_time_ms: Option<u64>,
}

impl Chain {
    /// Continues the log's chain, or starts a new one from `genesis` (from the default genesis if it is
    /// `None`).
    ///
    /// Without a `log` the chain exists in memory only.
    pub(crate) fn open(
        genesis: Option<&Genesis>,
        log: Option<(&Path, Sync)>,
    ) -> Result<(Self, Option<TornTail>), ChainError> {
        let Some((path, sync)) = log else { return Ok((Self::start(genesis, None)?, None)) };
        let mut loader = Loader::default();
        let (log, torn) = Log::open(path, sync, &mut |record| loader.take(record))?;
        let Some((runtime, store)) = loader.finish(&log)? else {
            return Ok((Self::start(genesis, Some(log))?, torn));
        };
        let own = runtime_id(&State::new(store.nodes(), store.genesis().header.state_root))?;
        if runtime != own {
            return Err(ChainError::OtherRuntime { found: Box::new(runtime), own: Box::new(own) });
        }
        if let Some(genesis) = genesis {
            let configured = genesis_block(&genesis.storage()?).0.hash();
            let found = store.genesis().hash;
            if configured != found {
                return Err(ChainError::OtherGenesis { found, configured });
            }
        }
        Ok((Self { store, log: Some(log), runtime, answers: RefCell::default(), block_time_ms: None }, torn))
    }

    fn start(genesis: Option<&Genesis>, mut log: Option<Log>) -> Result<Self, ChainError> {
        let storage = match genesis {
            Some(genesis) => genesis.storage()?,
            None => Genesis::default().storage()?,
        };
        let (header, nodes) = genesis_block(&storage);
        let store = Store::new(header.clone(), nodes.clone());
        let runtime = runtime_id(&State::new(store.nodes(), header.state_root))?;
        if let Some(log) = &mut log {
            log.append(&Record::Genesis { runtime: runtime.clone(), header, nodes })?;
            log.flush()?;
        }
        Ok(Self { store, log, runtime, answers: RefCell::default(), block_time_ms: None })
    }

    /// Sets the block time that the metadata tells, in the constant `Aura.SlotDuration`.
    pub(crate) fn set_block_time(&mut self, milliseconds: u64) {
        self.block_time_ms = Some(milliseconds);
        self.answers.borrow_mut().clear();
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn log_path(&self) -> Option<&Path> {
        self.log.as_ref().map(Log::path)
    }

    /// Returns the state after `block`.
    pub(crate) fn state(&self, block: &Block) -> State<'_> {
        State::new(self.store.nodes(), block.header.state_root)
    }

    /// Returns the newest block's state.
    pub(crate) fn best_state(&self) -> State<'_> {
        self.state(self.store.best())
    }

    /// Returns the newest block's timestamp, in milliseconds since 1970; 0 at genesis.
    pub(crate) fn timestamp_ms(&self) -> u64 {
        self.timestamp_of(self.store.best())
    }

    fn timestamp_of(&self, block: &Block) -> u64 {
        let key = [twox_128(b"Timestamp"), twox_128(b"Now")].concat();
        let now = self.state(block).storage(&key);
        now.and_then(|bytes| u64::decode(&mut &bytes[..]).ok()).unwrap_or(0)
    }

    /// Calls a runtime API function on the state after `block`.
    ///
    /// Metadata is cached: it is the same in every state between two upgrades, and generating it takes longer
    /// than all other calls of a connecting client.
    pub(crate) fn call(&self, block: &Block, method: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
        if !method.starts_with("Metadata_") {
            return self.state(block).call(method, data);
        }
        let state = self.state(block);
        if let Some(answer) = upgrade::answer(&state, method, data) {
            return Ok(answer);
        }
        let question = (self.version(block)?.spec_version, method.to_owned(), data.to_owned());
        if let Some(answer) = self.answers.borrow().get(&question) {
            return Ok(answer.clone());
        }
        let mut overlay = OverlayedChanges::default();
        if let Some(milliseconds) = self.block_time_ms {
            overlay.set_storage(slot_duration_key(), Some(milliseconds.encode()));
        }
        let answer = state::call(&mut overlay, state.backend(), method, data)?;
        let mut answers = self.answers.borrow_mut();
        if answers.len() < KEPT_ANSWERS {
            answers.insert(question, answer.clone());
        }
        Ok(answer)
    }

    /// Returns the version of the runtime in the state after `block`.
    pub(crate) fn version(&self, block: &Block) -> Result<RuntimeVersion, CallError> {
        let method = "Core_version";
        state::answer(method, &self.state(block).call(method, &[])?, "a runtime version")
    }

    /// Seals the next block: executes it, appends it to the log, and only then adds it to the store.
    /// Then all blocks up to `finalized` are final.
    ///
    /// The newest `depth` blocks are dropped for another branch of the same number of blocks. The next
    /// block is built on it; as the longer branch, it is then the best. `depth` reaches down to the
    /// finalized block at most, `finalized` is at least the present finalized height.
    pub(crate) fn seal(&mut self, draft: Draft, depth: u32, finalized: u32) -> Result<Outcome, BlockError> {
        let fork = self.store.best().header.number - depth;
        let mut drafts = self.replacements(fork);
        drafts.push(draft);

        let mut parent = self.store.blocks()[fork as usize].header.clone();
        let mut outcome = Outcome { included: Vec::new(), rejected: Vec::new(), dropped: Vec::new() };
        let mut blocks = Vec::new();
        for draft in drafts {
            let writes = draft.writes.clone();
            let Executed { header, body, nodes, included, rejected } =
                seal::execute(&parent, &State::new(self.store.nodes(), parent.state_root), draft)?;
            parent = header.clone();
            // If a later step fails, these nodes belong to no block and harm nothing.
            self.store.add_nodes(nodes.clone());
            blocks.push(Sealed { header, body, writes, nodes });
            (outcome.included, outcome.rejected) = (included, rejected);
        }
        let record = Record::of(blocks, finalized);
        if let Some(log) = &mut self.log {
            log.append(&record)?;
        }
        outcome.dropped = self.store.extend(fork, load::stored(record.into_blocks()), finalized);
        Ok(outcome)
    }

    /// Returns drafts of other blocks in place of those above the height `fork`. They have the same
    /// timestamps and raw storage writes, but no transactions, and a mark that makes them different.
    fn replacements(&self, fork: u32) -> Vec<Draft> {
        let mark = Some(self.store.last_import());
        let other = |block: &Block| Draft {
            writes: self.store.writes(block.header.number).to_vec(),
            timestamp_ms: self.timestamp_of(block),
            transactions: Vec::new(),
            mark,
        };
        self.store.blocks()[fork as usize + 1..].iter().map(other).collect()
    }

    /// Flushes the log to the disk.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        self.log.as_mut().map_or(Ok(()), Log::flush)
    }

    /// Writes a log of the whole chain to `path`, which must not exist. The file appears only when it
    /// is complete.
    pub(crate) fn snapshot(&self, path: &Path) -> Result<(), LogError> {
        let io = |action| move |source| LogError::Io { path: path.into(), action, source };
        // The log is created under a temporary name below, so check here that the final name is free.
        if path.try_exists().map_err(io("read its metadata"))? {
            return Err(io("create the snapshot")(std::io::ErrorKind::AlreadyExists.into()));
        }
        let part = path.with_added_extension("part");
        let written = self.write_snapshot(&part);
        let named = written.and_then(|()| std::fs::rename(&part, path).map_err(io("rename the snapshot")));
        if named.is_err() {
            drop(std::fs::remove_file(&part));
        }
        named
    }

    fn write_snapshot(&self, path: &Path) -> Result<(), LogError> {
        let mut log = Log::create(path, Sync::AtClose)?;
        let (runtime, header) = (self.runtime.clone(), self.store.genesis().header.clone());
        log.append(&Record::Genesis { runtime, header, nodes: Vec::new() })?;
        let mut part = Vec::new();
        let mut size = 0;
        for node in self.store.nodes().iter() {
            size += node.len();
            part.push(node.to_vec());
            if size > SNAPSHOT_PART {
                log.append(&Record::Nodes(std::mem::take(&mut part)))?;
                size = 0;
            }
        }
        log.append(&Record::Nodes(part))?;
        let finalized = self.store.finalized().header.number;
        for Block { header, body, .. } in &self.store.blocks()[1..] {
            let writes = self.store.writes(header.number).to_vec();
            let block = Sealed { header: header.clone(), body: body.clone(), writes, nodes: Vec::new() };
            log.append(&Record::of(vec![block], finalized.min(header.number)))?;
        }
        log.flush()
    }
}

/// Returns the header of block 0 and the trie nodes of its state.
fn genesis_block(storage: &Storage) -> (Header, Vec<Vec<u8>>) {
    let empty = Store::new(empty_header(), Vec::new());
    let state = State::new(empty.nodes(), empty_root());
    let values = storage.top.iter().map(|(key, value)| (&key[..], Some(&value[..])));
    let (state_root, changes) = state.backend().storage_root(values, seal::state_version());
    (Header { state_root, ..empty_header() }, seal::new_nodes(changes))
}

fn empty_header() -> Header {
    Header {
        parent_hash: Hash::zero(),
        number: 0,
        state_root: empty_root(),
        extrinsics_root: empty_root(),
        digest: Default::default(),
    }
}

/// Returns the root of an empty trie.
fn empty_root() -> Hash {
    BlakeTwo256::trie_root(Vec::new(), seal::state_version())
}

fn runtime_id(state: &State<'_>) -> Result<RuntimeId, CallError> {
    let metadata = state.call("Metadata_metadata", &[])?;
    let version = devchain_runtime::VERSION;
    Ok(RuntimeId {
        spec_name: version.spec_name.to_string(),
        spec_version: version.spec_version,
        fingerprint: blake2_256(&(version.encode(), metadata).encode()).into(),
    })
}
