//! JSON-RPC errors as a Substrate node words them.

use jsonrpsee::types::ErrorObjectOwned;

use crate::{
    handle::{ControlError, SubmitError},
    pool::Refusal,
    state::CallError,
    store::Hash,
};

/// Substrate's code for all that goes wrong in `state_*`, but for a bad range and a bad count.
const STATE: i32 = 4003;

/// Substrate's code for a range of blocks that cannot be.
const BLOCK_RANGE: i32 = 4001;

/// Substrate's code for a count above the limit.
const COUNT: i32 = 4002;

/// Substrate's code for what goes wrong in `chain_*`.
const CHAIN: i32 = 3000;

/// Invalid params, of JSON-RPC itself.
pub(super) const PARAMS: i32 = -32602;

/// A `dev_*` call that failed.
const DEV: i32 = 9000;

/// The chain is being shut down.
const STOPPED: i32 = -32000;

pub(super) type Result<T> = std::result::Result<T, ErrorObjectOwned>;

pub(super) fn error(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}

pub(super) fn unknown_block(hash: Hash) -> ErrorObjectOwned {
    let message = format!("Client error: UnknownBlock: Header was not found in the database: {hash:?}");
    error(STATE, message)
}

pub(super) fn block_range(from: Hash, to: Hash, details: &str) -> ErrorObjectOwned {
    error(BLOCK_RANGE, format!("Cannot resolve a block range ['{from:?}' ... '{to:?}]. {details}"))
}

pub(super) fn count(value: u32, max: u32) -> ErrorObjectOwned {
    error(COUNT, format!("count exceeds maximum value. value: {value}, max: {max}"))
}

pub(super) fn height(text: &str) -> ErrorObjectOwned {
    error(CHAIN, format!("`{text}` is not a block height"))
}

pub(super) fn call(failed: CallError) -> ErrorObjectOwned {
    error(STATE, format!("Client error: {failed}"))
}

pub(super) fn refusal(refusal: Refusal) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(refusal.code(), refusal.to_string(), refusal.data())
}

impl From<SubmitError> for ErrorObjectOwned {
    fn from(failed: SubmitError) -> Self {
        match failed {
            SubmitError::Stopped => error(STOPPED, failed.to_string()),
            SubmitError::Refused(refused) => refusal(refused),
        }
    }
}

impl From<ControlError> for ErrorObjectOwned {
    fn from(failed: ControlError) -> Self {
        let code = match failed {
            ControlError::Stopped => STOPPED,
            ControlError::BlockCount(_) | ControlError::KeyLength(_) | ControlError::Fault(_) => PARAMS,
            ControlError::Block(_) | ControlError::Snapshot(_) => DEV,
        };
        error(code, failed.to_string())
    }
}
