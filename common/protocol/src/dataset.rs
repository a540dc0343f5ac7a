//! Datasets: what the tokens of a run are, and how a node knows that it has them.
//!
//! A dataset is a [`Manifest`] and its shards. A shard is a file of tokens, little endian, nothing else in it; 64
//! sequences of it are a *block*, the unit of assignment and of verification. A shard's [`BlockTable`] lists the hashes
//! of its blocks, so that any block can be fetched and checked alone; the manifest names the tables, and the run spec
//! names the manifest. Making one is the miner's command `data prepare`.

mod blocks;
mod manifest;

pub use blocks::{BlockTable, block_hash};
pub use manifest::{Manifest, ManifestError, Role, Shard, TokenType};

/// Sequences of a block.
pub const BLOCK: u64 = 64;
/// Most shards of a dataset; a bound for what parsers allocate. Covenant-72B had 14 of 430 GB.
pub const MOST_SHARDS: u32 = 1 << 16;
/// Most blocks of a shard; a bound for what parsers allocate: 128 MiB of hashes, for shards of up to 2 TB at 8 KiB a
/// sequence.
pub const MOST_BLOCKS: u64 = 1 << 22;
