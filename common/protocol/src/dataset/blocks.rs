//! The hashes of a shard's blocks.

use super::MOST_BLOCKS;
use base::{
    digest::{BlockTableHash, DataBlockHash},
    object::{self, kind},
    wire::{Reader, WireError, Writer},
};

/// The version that this code writes and reads.
const VERSION: u8 = 1;

/// The hashes of all blocks of a shard, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTable(Vec<DataBlockHash>);

/// Hashes the tokens of a block, as they lie in the shard. The last block of a held-out shard may be short.
#[must_use]
pub fn block_hash(tokens: &[u8]) -> DataBlockHash {
    DataBlockHash::of(&[tokens])
}

impl BlockTable {
    /// Creates a table of these hashes.
    #[must_use]
    pub fn new(blocks: Vec<DataBlockHash>) -> Self {
        Self(blocks)
    }

    /// Returns the hashes.
    #[must_use]
    pub fn blocks(&self) -> &[DataBlockHash] {
        &self.0
    }

    /// Checks whether these are the tokens of a block.
    #[must_use]
    pub fn verify(&self, block: usize, tokens: &[u8]) -> bool {
        self.0.get(block) == Some(&block_hash(tokens))
    }

    /// Returns the hash by which the manifest names the table.
    #[must_use]
    pub fn hash(&self) -> BlockTableHash {
        BlockTableHash::of(&[&self.to_bytes()])
    }

    /// Encodes the canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(kind::BLOCK_TABLE).u8(VERSION).u64(self.0.len() as u64);
        self.0.iter().for_each(|hash| {
            to.raw(&hash.0);
        });
        to.into_bytes()
    }

    /// Decodes canonical bytes, all of them.
    ///
    /// # Errors
    /// The bytes are not a table of this version, or do not end with its last hash.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        object::open(&mut from, "the block table", kind::BLOCK_TABLE, VERSION)?;
        let offset = from.offset();
        let count = from.u64("the number of blocks")?;
        if count > MOST_BLOCKS || count * 32 > from.left() as u64 {
            let expected = "a table has at most 2^22 blocks, and holds them all";
            return Err(WireError::Value { what: "the number of blocks", offset, found: count, expected });
        }
        let blocks = (0..count).map(|_| Ok(DataBlockHash(from.array("a block's hash")?)));
        let blocks = blocks.collect::<Result<_, WireError>>()?;
        from.finish("the block table")?;
        Ok(Self(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn a_block_is_known_by_its_tokens() {
        let table = BlockTable::new(vec![block_hash(&[1, 0, 2, 0]), block_hash(&[3, 0])]);
        assert!(table.verify(0, &[1, 0, 2, 0]) && table.verify(1, &[3, 0]));
        assert!(!table.verify(1, &[3, 1]) && !table.verify(2, &[3, 0]) && !table.verify(0, &[1, 0]));
    }

    #[test]
    fn a_table_that_promises_too_much_is_refused_before_it_is_read() {
        let mut bytes = Writer::new();
        bytes.u8(kind::BLOCK_TABLE).u8(VERSION).u64(u64::MAX);
        let error = BlockTable::read(&bytes.into_bytes()).unwrap_err().to_string();
        assert!(error.contains("the number of blocks at offset 2 is 18446744073709551615"), "{error}");
    }

    proptest! {
        #[test]
        fn tables_round_trip_and_every_flipped_bit_is_another(hashes in vec(any::<[u8; 32]>(), 0..8), bit: usize) {
            let table = BlockTable::new(hashes.into_iter().map(DataBlockHash).collect());
            let mut bytes = table.to_bytes();
            prop_assert_eq!(BlockTable::read(&bytes), Ok(table.clone()));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BlockTable::read(&bytes).map_or(true, |other| other.hash() != table.hash()));
        }
    }
}
