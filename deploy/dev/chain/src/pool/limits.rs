//! The limits of the pool.

use serde::{Deserialize, Serialize};

/// The limits of the pool. They keep clients from making the process grow without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The maximum number of transactions, ready and future together. Substrate's default: 8192.
    pub count: usize,
    /// The maximum number of bytes of all transactions. Substrate's default: 20 MiB.
    pub bytes: usize,
    /// The maximum number of transactions of one account, and the largest distance of a nonce from the
    /// account's current one.
    pub per_account: usize,
    /// The number of blocks for which a transaction that left the pool (included, invalid, expired) is
    /// refused. Substrate bans for 30 minutes, which is 150 of Subtensor's blocks.
    pub ban_blocks: u32,
    /// The maximum number of banned hashes that are remembered.
    pub banned: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count: 8192, bytes: 20 << 20, per_account: 1024, ban_blocks: 150, banned: 16_384 }
    }
}

impl Limits {
    /// Checks whether a pool of `count` transactions with `bytes` in total is within the limits.
    pub(crate) fn admit(&self, count: usize, bytes: usize) -> bool {
        count <= self.count && bytes <= self.bytes
    }
}
