//! Datasets: the tokens of a run, and the hashes that verify them.
//!
//! A dataset is a [`Manifest`] and its shards. A shard is a file of tokens, little endian, and
//! nothing else. A *block* is 64 sequences of a shard, the unit of assignment and of verification.
//! The [`BlockTable`] of a shard lists the hashes of its blocks, so any block can be downloaded and
//! verified alone. The manifest names the tables, and the run spec names the manifest. The miner's
//! command `data prepare` makes a dataset.

mod blocks;
mod manifest;

pub use blocks::{BlockTable, block_hash};
pub use manifest::{Manifest, ManifestError, Shard, ShardRole, TokenType};

/// The number of sequences in a block.
pub const BLOCK: u64 = 64;
/// Most shards of a dataset: a limit for the allocations of parsers. Covenant-72B had 14 of 430 GB.
pub const MOST_SHARDS: u32 = 1 << 16;
/// Most blocks of a shard: a limit for the allocations of parsers.
///
/// This is 128 MiB of hashes, for shards of up to 2 TB at 8 KiB a sequence.
pub const MOST_BLOCKS: u64 = 1 << 22;
