//! The JSON-RPC errors, in the words of a Substrate node.

use base::ErrorChain;
use jsonrpsee::types::ErrorObjectOwned;

use crate::{
    handle::{ControlError, SubmitError},
    pool::Refusal,
    state::CallError,
    store::Hash,
};

/// The code of Substrate for all `state_*` errors except an invalid block range and an invalid count.
const STATE: i32 = 4003;

/// The code of Substrate for an invalid block range.
const BLOCK_RANGE: i32 = 4001;

/// The code of Substrate for a count above the limit.
const COUNT: i32 = 4002;

/// The code of Substrate for errors in `chain_*`.
const CHAIN: i32 = 3000;

/// The code of JSON-RPC for invalid parameters.
pub(super) const PARAMS: i32 = -32602;

/// The code of a failed `dev_*` call.
const DEV: i32 = 9000;

/// The code that reports that the chain is shutting down.
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
            ControlError::BlockCount(_)
            | ControlError::DropCount(_)
            | ControlError::KeyLength(_)
            | ControlError::Fault(_)
            | ControlError::Upgrade(_) => PARAMS,
            ControlError::Block(_) | ControlError::Snapshot(_) | ControlError::Call(_) => DEV,
        };
        error(code, ErrorChain(&failed).to_string())
    }
}
