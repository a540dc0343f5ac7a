//! Builds the next block: initialize, timestamp, transactions, finalize.
//!
//! Each transaction runs in its own storage transaction. If the runtime refuses it or panics, the
//! transaction leaves no trace in the block and does not stop the others.

use std::collections::BTreeMap;

use parity_scale_codec::Encode;
use sp_core::storage::StateVersion;
use sp_runtime::{
    ApplyExtrinsicResult, Digest, DigestItem,
    traits::BlakeTwo256,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};
use sp_state_machine::OverlayedChanges;
use sp_trie::PrefixedMemoryDB;

use crate::{
    log::StorageWrite,
    pool::Transaction,
    state::{self, CallError, State},
    store::{Extrinsic, Hash, Header},
};

/// The identifier of the timestamp in inherent data (`sp_timestamp::INHERENT_IDENTIFIER`).
const TIMESTAMP: [u8; 8] = *b"timstap0";

/// The engine of the digest item that marks a block of another branch.
const BRANCH: [u8; 4] = *b"brch";

/// The inputs of the next block.
pub(crate) struct Draft {
    /// The raw storage writes before the block starts.
    pub(crate) writes: Vec<StorageWrite>,
    /// The block's timestamp, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// The transactions to try, in this order.
    pub(crate) transactions: Vec<Transaction>,
    /// A number in the header's digest. It tells the block from one with the same parent and contents.
    pub(crate) mark: Option<u32>,
}

/// A block that is executed but not stored yet.
pub(crate) struct Executed {
    pub(crate) header: Header,
    pub(crate) body: Vec<Extrinsic>,
    /// The trie nodes that the block created.
    pub(crate) nodes: Vec<Vec<u8>>,
    /// The transactions in the block.
    pub(crate) included: Vec<Hash>,
    /// The transactions that the runtime refused for good.
    pub(crate) rejected: Vec<Hash>,
}

/// The reason why a block was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The runtime failed outside of any transaction.
    #[error("cannot build block {height}")]
    Runtime {
        /// The height of the block.
        height: u32,
        /// The failed call.
        source: CallError,
    },
    /// The runtime refused the timestamp.
    #[error("cannot build block {height}: the runtime refuses its timestamp {timestamp_ms}: {reason}")]
    Timestamp {
        /// The height of the block.
        height: u32,
        /// The timestamp, in milliseconds since 1970.
        timestamp_ms: u64,
        /// The runtime's reason.
        reason: String,
    },
    /// The header names another state root than the computed one.
    #[error("cannot build block {height}: its header names state root {named:?}, its state has {computed:?}")]
    StateRoot {
        /// The height of the block.
        height: u32,
        /// The root in the header.
        named: Hash,
        /// The root of the state.
        computed: Hash,
    },
}

/// Executes `draft` on top of `parent`, whose state is `state`.
pub(crate) fn execute(parent: &Header, state: &State<'_>, draft: Draft) -> Result<Executed, SealError> {
    let height = parent.number + 1;
    let runtime_error = |source| SealError::Runtime { height, source };
    let mut run = Run { state, overlay: OverlayedChanges::default(), body: Vec::new() };

    for StorageWrite { key, value } in draft.writes {
        run.overlay.set_storage(key, value);
    }
    run.initialize(parent, draft.mark).map_err(runtime_error)?;
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
    Ok(Executed { header, body: run.body, nodes, included, rejected })
}

/// A block under construction.
struct Run<'a, 'n> {
    state: &'a State<'n>,
    overlay: OverlayedChanges<BlakeTwo256>,
    body: Vec<Extrinsic>,
}

impl Run<'_, '_> {
    fn initialize(&mut self, parent: &Header, mark: Option<u32>) -> Result<(), CallError> {
        let mark = mark.map(|mark| DigestItem::PreRuntime(BRANCH, mark.encode()));
        let header = Header {
            parent_hash: parent.hash(),
            number: parent.number + 1,
            state_root: Hash::zero(),
            extrinsics_root: Hash::zero(),
            digest: Digest { logs: mark.into_iter().collect() },
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

    /// Tries each transaction. Returns the included ones and those refused for good.
    fn transactions(&mut self, transactions: Vec<Transaction>) -> (Vec<Hash>, Vec<Hash>) {
        let (mut included, mut rejected) = (Vec::new(), Vec::new());
        for Transaction { hash, bytes, .. } in transactions {
            match self.apply(bytes) {
                Ok(Ok(_)) => included.push(hash),
                Ok(Err(error)) if is_passing(&error) => {}
                Ok(Err(_)) => rejected.push(hash),
                Err(error) => {
                    tracing::error!(target: "devchain::seal", ?hash, error = %base::ErrorChain(&error), "transaction dropped");
                    rejected.push(hash);
                }
            }
        }
        (included, rejected)
    }

    /// Applies one extrinsic. Keeps its effects unless the runtime refuses it.
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
        // After a panic, the runtime's own storage transactions are still open above this one.
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

    /// Returns the new state root and the trie nodes that the parent's state lacks.
    fn changes(&mut self) -> (Hash, Vec<Vec<u8>>) {
        let backend = self.state.backend();
        let changes = self.overlay.drain_storage_changes(backend, state_version());
        let changes = changes.expect("draining cannot fail once all storage transactions are closed");
        (changes.transaction_storage_root, new_nodes(changes.transaction))
    }

    fn call(&mut self, method: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
        state::call(&mut self.overlay, self.state.backend(), method, data)
    }
}

/// Checks whether the transaction may be valid in a later block.
fn is_passing(error: &TransactionValidityError) -> bool {
    use TransactionValidityError::Invalid;
    matches!(error, Invalid(InvalidTransaction::ExhaustsResources | InvalidTransaction::Future))
}

/// Returns the layout version of the runtime's state trie.
pub(crate) fn state_version() -> StateVersion {
    devchain_runtime::VERSION.state_version()
}

/// Returns the nodes that a trie update added, in a deterministic order. Nodes that the update would
/// remove are kept, since the store is an archive.
pub(crate) fn new_nodes(mut changes: PrefixedMemoryDB<BlakeTwo256>) -> Vec<Vec<u8>> {
    let added = changes.drain().into_values().filter(|(_, references)| *references > 0);
    let mut nodes: Vec<Vec<u8>> = added.map(|(node, _)| node).collect();
    nodes.sort_unstable();
    nodes
}
