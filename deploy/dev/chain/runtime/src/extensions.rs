//! The transaction extensions, in the order and with the names of the real chain.

mod nonce;
mod passive;
mod pool;

pub use nonce::CheckNonce;
pub use passive::{
    CheckMetadataHash, CheckShieldedTxValidity, DrandPriority, MetadataHashMode, SudoTransactionExtension,
};
pub use pool::SubtensorTransactionExtension;
