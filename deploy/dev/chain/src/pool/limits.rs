//! How much the pool holds.

use serde::{Deserialize, Serialize};

/// Bounds of the pool, so that no client can make the process grow without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most transactions, ready and future together. Substrate's default: 8192.
    pub count: usize,
    /// Most bytes of all transactions. Substrate's default: 20 MiB.
    pub bytes: usize,
    /// Most transactions of one account, and how far ahead of the account's nonce one may be.
    pub per_account: usize,
    /// For how many blocks a transaction that left the pool (included, invalid, expired) is refused. Substrate bans
    /// for 30 minutes, which is 150 of Subtensor's blocks.
    pub ban_blocks: u32,
    /// Most hashes that are remembered as banned.
    pub banned: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count: 8192, bytes: 20 << 20, per_account: 1024, ban_blocks: 150, banned: 16_384 }
    }
}

impl Limits {
    /// Whether a pool of `count` transactions with `bytes` in all is within the limits.
    pub(crate) fn admit(&self, count: usize, bytes: usize) -> bool {
        count <= self.count && bytes <= self.bytes
    }
}
