//! The state after one block: its storage, and the runtime's functions on it.
//!
//! The node knows the runtime through its runtime API alone (`api::dispatch`, by method name and SCALE bytes), as a
//! Substrate node knows a wasm runtime. Here the runtime is native code, so a panic in it is caught and becomes an
//! error of that call.

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

/// A call of the runtime that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The runtime has no such function.
    #[error("Exported method {0} is not found")]
    NoMethod(String),
    /// The runtime panicked; bad input is one reason.
    #[error("Execution failed: {method} panicked: {message}")]
    Panicked {
        /// The runtime API function.
        method: String,
        /// The panic's message.
        message: String,
    },
    /// The answer is not of the type that the node expects.
    #[error("{method} answered with something else than {expected}")]
    Answer {
        /// The runtime API function.
        method: String,
        /// What the node expects.
        expected: &'static str,
    },
}

/// Trie nodes seen from one root.
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

    /// The value at `key`.
    pub(crate) fn storage(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.backend.storage(key).unwrap_or_else(broken)
    }

    /// The hash of the value at `key`.
    pub(crate) fn storage_hash(&self, key: &[u8]) -> Option<Hash> {
        self.backend.storage_hash(key).unwrap_or_else(broken)
    }

    /// Up to `count` keys that start with `prefix`, in order, after `start`.
    pub(crate) fn keys(&self, prefix: &[u8], start: Option<&[u8]>, count: usize) -> Vec<StorageKey> {
        let mut args = IterArgs::default();
        (args.prefix, args.start_at, args.start_at_exclusive) = (Some(prefix), start, true);
        let keys = self.backend.keys(args).into_iter().flatten();
        keys.filter_map(Result::ok).take(count).map(StorageKey).collect()
    }

    /// Up to `count` keys that start with `prefix`, in order, with their values.
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

    /// Calls a runtime API function. Its changes to the storage are lost.
    pub(crate) fn call(&self, method: &str, data: &[u8]) -> Result<Vec<u8>, CallError> {
        call(&mut OverlayedChanges::default(), &self.backend, method, data)
    }

    /// What the runtime says of `extrinsic` in the block after `block`, whose state this is.
    pub(crate) fn validate(&self, extrinsic: &[u8], block: Hash) -> Result<TransactionValidity, CallError> {
        // The extrinsic is encoded already, length prefix included.
        let data = [&TransactionSource::External.encode(), extrinsic, &block.encode()].concat();
        self.ask("TaggedTransactionQueue_validate_transaction", &data, "a transaction validity")
    }

    /// The nonce of the account's next transaction, pool apart.
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

/// Decodes the whole of a runtime's answer.
pub(crate) fn answer<T: Decode>(method: &str, bytes: &[u8], expected: &'static str) -> Result<T, CallError> {
    T::decode_all(&mut &*bytes).map_err(|_| CallError::Answer { method: method.into(), expected })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").into()
}

/// The trie lacks a node. The store never drops one and the log checks each root, so there is nobody to tell but the
/// developer; the key reads as absent.
fn broken<T>(error: String) -> Option<T> {
    tracing::error!(target: "devchain::state", %error, "state trie is incomplete");
    None
}
