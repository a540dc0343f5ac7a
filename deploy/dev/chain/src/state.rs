//! The state after one block: its storage, and the runtime's functions on it.
//!
//! The node uses the runtime only through its runtime API (`api::dispatch`, by method name and SCALE
//! bytes), as a Substrate node uses a wasm runtime. Here the runtime is native code. A panic in it is
//! caught and becomes an error of that call.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parity_scale_codec::{Decode, DecodeAll, Encode};
use sp_core::{
    crypto::AccountId32,
    storage::{StorageData, StorageKey},
};
use sp_runtime::{
    traits::BlakeTwo256,
    transaction_validity::{TransactionSource, TransactionValidity},
};
use sp_state_machine::{Backend, Ext, IterArgs, OverlayedChanges, TrieBackend, TrieBackendBuilder};

use crate::store::{Hash, Nodes};

/// The reason why a call of the runtime failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The runtime has no such function.
    #[error("Exported method {0} is not found")]
    NoMethod(String),
    /// The runtime panicked. Bad input is one possible cause.
    #[error("Execution failed: {method} panicked: {message}")]
    Panicked {
        /// The runtime API function.
        method: String,
        /// The panic's message.
        message: String,
    },
    /// The answer does not have the type that the node expects.
    #[error("cannot decode the answer of {method}: expected {expected}")]
    Answer {
        /// The runtime API function.
        method: String,
        /// The expected content.
        expected: &'static str,
    },
}

/// The trie nodes below one root.
pub(crate) struct State<'a> {
    backend: TrieBackend<&'a Nodes, BlakeTwo256>,
}

impl<'a> State<'a> {
    pub(crate) fn new(nodes: &'a Nodes, root: Hash) -> Self {
        Self { backend: TrieBackendBuilder::new(nodes, root).build() }
    }

    pub(crate) fn backend(&self) -> &TrieBackend<&'a Nodes, BlakeTwo256> {
        &self.backend
    }

    /// Reads the value at `key`.
    pub(crate) fn storage(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.backend.storage(key).unwrap_or_else(broken)
    }

    /// Returns the hash of the value at `key`.
    pub(crate) fn storage_hash(&self, key: &[u8]) -> Option<Hash> {
        self.backend.storage_hash(key).unwrap_or_else(broken)
    }

    /// Returns up to `count` keys that start with `prefix`, in order, after `start`.
    pub(crate) fn keys(&self, prefix: &[u8], start: Option<&[u8]>, count: usize) -> Vec<StorageKey> {
        let mut args = IterArgs::default();
        (args.prefix, args.start_at, args.start_at_exclusive) = (Some(prefix), start, true);
        let keys = self.backend.keys(args).into_iter().flatten();
        keys.filter_map(Result::ok).take(count).map(StorageKey).collect()
    }

    /// Returns up to `count` keys that start with `prefix`, in order, with their values.
    pub(crate) fn pairs(&self, prefix: &[u8], count: usize) -> Vec<(StorageKey, StorageData)> {
        let mut args = IterArgs::default();
        args.prefix = Some(prefix);
        let pairs = self.backend.pairs(args).into_iter().flatten();
        pairs
            .filter_map(Result::ok)
            .take(count)
            .map(|(key, value)| (StorageKey(key), StorageData(value)))
            .collect()
    }

    /// Calls a runtime API function. Its changes to the storage are discarded.
    pub(crate) fn call(&self, method: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
        call(&mut OverlayedChanges::default(), &self.backend, method, data)
    }

    /// Asks the runtime for the validity of `extrinsic` in the block after `block`. This is the state
    /// of `block`.
    pub(crate) fn validate(&self, extrinsic: &[u8], block: Hash) -> Result<TransactionValidity, CallError> {
        // The extrinsic is already encoded, including its length prefix.
        let data = [&TransactionSource::External.encode(), extrinsic, &block.encode()].concat();
        self.ask("TaggedTransactionQueue_validate_transaction", &data, "a transaction validity")
    }

    /// Returns the nonce of the account's next transaction, without regard to the pool.
    pub(crate) fn nonce(&self, account: &AccountId32) -> Result<u32, CallError> {
        self.ask("AccountNonceApi_account_nonce", &account.encode(), "a nonce")
    }

    fn ask<T: Decode>(&self, method: &str, data: &[u8], expected: &'static str) -> Result<T, CallError> {
        answer(method, &self.call(method, data)?, expected)
    }
}

/// Calls the runtime on `backend` with the changes so far in `overlay`.
pub(crate) fn call(
    overlay: &mut OverlayedChanges<BlakeTwo256>,
    backend: &TrieBackend<&Nodes, BlakeTwo256>,
    method: &str,
    data: &[u8],
) -> Result<Vec<u8>, CallError> {
    let mut ext = Ext::new(overlay, backend, None);
    let run = || catch_unwind(AssertUnwindSafe(|| devchain_runtime::api::dispatch(method, data)));
    match sp_externalities::set_and_run_with_externalities(&mut ext, run) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(CallError::NoMethod(method.into())),
        Err(panic) => Err(CallError::Panicked { method: method.into(), message: panic_message(&*panic) }),
    }
}

/// Decodes the runtime's answer and rejects trailing bytes.
pub(crate) fn answer<T: Decode>(method: &str, bytes: &[u8], expected: &'static str) -> Result<T, CallError> {
    T::decode_all(&mut &*bytes).map_err(|_| CallError::Answer { method: method.into(), expected })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").into()
}

/// Logs that the trie lacks a node, and treats the key as absent. It should not happen: the store never
/// drops a node, and the log checks each root.
fn broken<T>(error: String) -> Option<T> {
    tracing::error!(target: "devchain::state", problem = error, "state trie is incomplete");
    None
}
