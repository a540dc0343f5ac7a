//! Makes the next block: initialize, timestamp, transactions, finalize.
//!
//! Each transaction runs in a storage transaction of its own. One that the runtime refuses, or panics on, leaves no
//! trace in the block and does not stop the others.

use std::collections::BTreeMap;

use parity_scale_codec::Encode;
use sp_core::storage::StateVersion;
use sp_runtime::{
    ApplyExtrinsicResult,
    traits::BlakeTwo256,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};
use sp_state_machine::OverlayedChanges;
use sp_trie::PrefixedMemoryDB;

use crate::{
    log::StorageWrite,
    pool::Transaction,
    state::{self, CallError, State},
    store::{Block, Extrinsic, Hash, Header},
};

/// The identifier of the timestamp in inherent data (`sp_timestamp::INHERENT_IDENTIFIER`).
const TIMESTAMP: [u8; 8] = *b"timstap0";

/// What the next block is made from.
pub(crate) struct Draft {
    /// Raw storage writes before the block starts.
    pub(crate) writes: Vec<StorageWrite>,
    /// Its timestamp, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// What to try, in this order.
    pub(crate) transactions: Vec<Transaction>,
}

/// A block that is executed and not stored yet.
pub(crate) struct Executed {
    pub(crate) block: Block,
    /// The trie nodes that it made.
    pub(crate) nodes: Vec<Vec<u8>>,
    /// The transactions in it.
    pub(crate) included: Vec<Hash>,
    /// The transactions that the runtime refused for good.
    pub(crate) rejected: Vec<Hash>,
}

/// Why there is no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The runtime failed outside any transaction.
    #[error("block {height} cannot be made: {source}")]
    Runtime {
        /// The height it would have.
        height: u32,
        /// What failed.
        source: CallError,
    },
    /// The runtime refused the timestamp.
    #[error("block {height} cannot be made: the runtime refuses its timestamp {timestamp_ms}: {reason}")]
    Timestamp {
        /// The height it would have.
        height: u32,
        /// The timestamp, in milliseconds since 1970.
        timestamp_ms: u64,
        /// The runtime's words.
        reason: String,
    },
    /// The header names another state than the one computed.
    #[error(
        "block {height} cannot be made: its header names state root {named:?}, its state has {computed:?}"
    )]
    StateRoot {
        /// The height it would have.
        height: u32,
        /// The root in the header.
        named: Hash,
        /// The root of the state.
        computed: Hash,
    },
}

/// Executes `draft` on top of `parent`, whose state is `state`.
pub(crate) fn execute(parent: &Block, state: &State<'_>, draft: Draft) -> Result<Executed, SealError> {
    let height = parent.header.number + 1;
    let runtime_error = |source| SealError::Runtime { height, source };
    let mut run = Run { state, overlay: OverlayedChanges::default(), body: Vec::new() };

    for StorageWrite { key, value } in draft.writes {
        run.overlay.set_storage(key, value);
    }
    run.initialize(parent).map_err(runtime_error)?;
    let inherents = run.inherents(draft.timestamp_ms).map_err(runtime_error)?;
    for extrinsic in inherents {
        let refused = |reason| SealError::Timestamp { height, timestamp_ms: draft.timestamp_ms, reason };
        match run.apply(extrinsic).map_err(runtime_error)? {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(refused(format!("{error:?}"))),
            Err(error) => return Err(refused(format!("{error:?}"))),
        }
    }
    let (included, rejected) = run.transactions(draft.transactions);
    let header = run.finalize().map_err(runtime_error)?;
    let (computed, nodes) = run.changes();
    if header.state_root != computed {
        return Err(SealError::StateRoot { height, named: header.state_root, computed });
    }
    Ok(Executed { block: Block::new(header, run.body), nodes, included, rejected })
}

/// A block in the making.
struct Run<'a, 'n> {
    state: &'a State<'n>,
    overlay: OverlayedChanges<BlakeTwo256>,
    body: Vec<Extrinsic>,
}

impl Run<'_, '_> {
    fn initialize(&mut self, parent: &Block) -> Result<(), CallError> {
        let header = Header {
            parent_hash: parent.hash,
            number: parent.header.number + 1,
            state_root: Hash::zero(),
            extrinsics_root: Hash::zero(),
            digest: Default::default(),
        };
        self.call("Core_initialize_block", &header.encode()).map(drop)
    }

    fn inherents(&mut self, timestamp_ms: u64) -> Result<Vec<Extrinsic>, CallError> {
        let method = "BlockBuilder_inherent_extrinsics";
        let data = BTreeMap::from([(TIMESTAMP, timestamp_ms.encode())]);
        let bytes = self.call(method, &data.encode())?;
        let extrinsics: Vec<devchain_runtime::UncheckedExtrinsic> =
            state::answer(method, &bytes, "a list of extrinsics")?;
        Ok(extrinsics.iter().map(Encode::encode).collect())
    }

    /// Tries each transaction; those included and those refused for good.
    fn transactions(&mut self, transactions: Vec<Transaction>) -> (Vec<Hash>, Vec<Hash>) {
        let (mut included, mut rejected) = (Vec::new(), Vec::new());
        for Transaction { hash, bytes, .. } in transactions {
            match self.apply(bytes) {
                Ok(Ok(_)) => included.push(hash),
                Ok(Err(error)) if is_passing(&error) => {}
                Ok(Err(_)) => rejected.push(hash),
                Err(error) => {
                    tracing::error!(target: "devchain::seal", ?hash, %error, "transaction dropped");
                    rejected.push(hash);
                }
            }
        }
        (included, rejected)
    }

    /// Applies one extrinsic and keeps what it did, unless it is refused.
    fn apply(&mut self, extrinsic: Extrinsic) -> Result<ApplyExtrinsicResult, CallError> {
        let method = "BlockBuilder_apply_extrinsic";
        let depth = self.overlay.transaction_depth();
        self.overlay.start_transaction();
        let bytes = self.call(method, &extrinsic);
        let result = bytes.and_then(|bytes| state::answer(method, &bytes, "an apply result"));
        if matches!(result, Ok(Ok(_))) {
            self.overlay.commit_transaction().expect("started above, and the runtime closes its own");
            self.body.push(extrinsic);
            return result;
        }
        // A panic leaves the storage layers of the runtime open above ours.
        while self.overlay.transaction_depth() > depth {
            self.overlay.rollback_transaction().expect("the depth is above zero");
        }
        result
    }

    fn finalize(&mut self) -> Result<Header, CallError> {
        let method = "BlockBuilder_finalize_block";
        let bytes = self.call(method, &[])?;
        state::answer(method, &bytes, "a header")
    }

    /// The new state root, and the trie nodes that it needs beyond the parent's.
    fn changes(&mut self) -> (Hash, Vec<Vec<u8>>) {
        let backend = self.state.backend();
        let changes = self.overlay.drain_storage_changes(backend, state_version());
        let changes = changes.expect("draining has no way to fail once all storage transactions are closed");
        (changes.transaction_storage_root, new_nodes(changes.transaction))
    }

    fn call(&mut self, method: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
        state::call(&mut self.overlay, self.state.backend(), method, data)
    }
}

/// Whether a refusal may be over in a later block.
fn is_passing(error: &TransactionValidityError) -> bool {
    use TransactionValidityError::Invalid;
    matches!(error, Invalid(InvalidTransaction::ExhaustsResources | InvalidTransaction::Future))
}

/// How the runtime lays out its state trie.
pub(crate) fn state_version() -> StateVersion {
    devchain_runtime::VERSION.state_version()
}

/// The nodes that a trie update added, in an order that depends on them alone. Those that it would remove stay: the
/// store is an archive.
pub(crate) fn new_nodes(mut changes: PrefixedMemoryDB<BlakeTwo256>) -> Vec<Vec<u8>> {
    let added = changes.drain().into_values().filter(|(_, references)| *references > 0);
    let mut nodes: Vec<Vec<u8>> = added.map(|(node, _)| node).collect();
    nodes.sort_unstable();
    nodes
}
