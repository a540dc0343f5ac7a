//! The sealed blocks in memory, dropped ones too, and every state trie node ever written.
//!
//! Nothing is deleted. The state of each block stays readable (an archive). A node is found by the hash
//! of its bytes alone: it is never removed, so it needs no reference count.
//!
//! The best chain is a list of blocks by height. The blocks above the finalized one may be dropped for
//! another branch; they are then found by their hash only.

use std::collections::{BTreeMap, HashMap};

use sp_core::H256;
use sp_runtime::{generic, traits::BlakeTwo256};
use sp_state_machine::TrieBackendStorage;

use crate::log::StorageWrite;

/// A block or node hash: BLAKE2b-256.
pub type Hash = H256;

/// A block header of Subtensor: `u32` height, BLAKE2b-256.
pub type Header = generic::Header<u32, BlakeTwo256>;

/// An extrinsic, SCALE-encoded with its length prefix, as sent over the network.
pub type Extrinsic = Vec<u8>;

/// The encoded node of an empty trie. `sp-trie` reads it but never writes it.
const EMPTY_TRIE: &[u8] = &[0];

/// The state trie nodes by the hash of their bytes.
pub(crate) struct Nodes(HashMap<Hash, Box<[u8]>>);

impl Nodes {
    fn new() -> Self {
        let mut nodes = Self(HashMap::new());
        nodes.insert(EMPTY_TRIE.into());
        nodes
    }

    /// Checks whether the node with this hash is stored.
    pub(crate) fn contains(&self, hash: &Hash) -> bool {
        self.0.contains_key(hash)
    }

    /// Returns the bytes of all nodes, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().map(|node| &node[..])
    }

    fn insert(&mut self, node: Box<[u8]>) {
        self.0.insert(sp_crypto_hashing::blake2_256(&node).into(), node);
    }
}

impl TrieBackendStorage<BlakeTwo256> for Nodes {
    fn get(&self, hash: &Hash, _prefix: (&[u8], Option<u8>)) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(hash).map(|node| node.to_vec()))
    }
}

/// A sealed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The hash of `header`.
    pub hash: Hash,
    /// The header.
    pub header: Header,
    /// The extrinsics in their order, the timestamp first. Empty in the genesis block.
    pub body: Vec<Extrinsic>,
}

impl Block {
    pub(crate) fn new(header: Header, body: Vec<Extrinsic>) -> Self {
        Self { hash: header.hash(), header, body }
    }
}

/// The arrival of a block.
#[derive(Clone, Copy)]
struct Import {
    hash: Hash,
    is_best: bool,
}

/// All blocks from genesis on, and their states.
pub(crate) struct Store {
    nodes: Nodes,
    /// The best chain, genesis first.
    blocks: Vec<Block>,
    /// The heights of the blocks of the best chain.
    heights: HashMap<Hash, u32>,
    dropped: HashMap<Hash, Block>,
    imports: Vec<Import>,
    /// The raw storage writes before blocks that are not final, by height.
    writes: BTreeMap<u32, Vec<StorageWrite>>,
    finalized: u32,
}

impl Store {
    /// Creates a store with the genesis block and `nodes`.
    pub(crate) fn new(genesis: Header, nodes: Vec<Vec<u8>>) -> Self {
        let mut store = Self {
            nodes: Nodes::new(),
            blocks: Vec::new(),
            heights: HashMap::new(),
            dropped: HashMap::new(),
            imports: Vec::new(),
            writes: BTreeMap::new(),
            finalized: 0,
        };
        store.add_nodes(nodes);
        store.push(Block::new(genesis, Vec::new()), true);
        store
    }

    /// Replaces the blocks above the height `fork` by `branch`, each with the raw storage writes before
    /// it. Then makes all blocks up to `finalized` final. Returns the hashes of the dropped blocks.
    ///
    /// `fork` is at least the finalized height, and the trie nodes of the branch are already added.
    pub(crate) fn extend(
        &mut self,
        fork: u32,
        branch: Vec<(Block, Vec<StorageWrite>)>,
        finalized: u32,
    ) -> Vec<Hash> {
        let dropped = self.blocks.split_off(fork as usize + 1);
        let hashes = dropped.iter().map(|block| block.hash).collect();
        for block in dropped {
            self.heights.remove(&block.hash);
            self.writes.remove(&block.header.number);
            self.dropped.insert(block.hash, block);
        }
        let last = branch.len().saturating_sub(1);
        for (index, (block, writes)) in branch.into_iter().enumerate() {
            if !writes.is_empty() {
                self.writes.insert(block.header.number, writes);
            }
            self.push(block, index == last);
        }
        self.finalized = finalized;
        self.writes = self.writes.split_off(&finalized.saturating_add(1));
        hashes
    }

    fn push(&mut self, block: Block, is_best: bool) {
        self.imports.push(Import { hash: block.hash, is_best });
        self.heights.insert(block.hash, block.header.number);
        self.blocks.push(block);
    }

    /// Adds the trie nodes that a block's execution created.
    pub(crate) fn add_nodes(&mut self, nodes: Vec<Vec<u8>>) {
        for node in nodes {
            self.nodes.insert(node.into_boxed_slice());
        }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Returns the blocks of the best chain, genesis first.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn genesis(&self) -> &Block {
        &self.blocks[0]
    }

    /// Returns the newest block of the best chain.
    pub(crate) fn best(&self) -> &Block {
        self.blocks.last().unwrap_or(&self.blocks[0])
    }

    /// Returns the newest final block.
    pub(crate) fn finalized(&self) -> &Block {
        &self.blocks[self.finalized as usize]
    }

    /// Returns the block with this hash. It may be a dropped one.
    pub(crate) fn by_hash(&self, hash: &Hash) -> Option<&Block> {
        let height = self.heights.get(hash);
        height.and_then(|height| self.by_height(*height)).or_else(|| self.dropped.get(hash))
    }

    /// Returns the block of the best chain at this height.
    pub(crate) fn by_height(&self, height: u32) -> Option<&Block> {
        self.blocks.get(height as usize)
    }

    /// Returns the raw storage writes before the block at a height that is not final.
    pub(crate) fn writes(&self, height: u32) -> &[StorageWrite] {
        self.writes.get(&height).map_or(&[], |writes| writes)
    }

    /// Returns the number of the newest import. Genesis is import 0.
    pub(crate) fn last_import(&self) -> u32 {
        (self.imports.len() - 1) as u32
    }

    /// Returns the block of an import, and whether it became the best block.
    pub(crate) fn imported(&self, number: u32) -> Option<(&Block, bool)> {
        let Import { hash, is_best } = self.imports.get(number as usize)?;
        Some((self.by_hash(hash)?, *is_best))
    }

    /// Returns the blocks from `from` to its descendant `to`, or `None` if `to` does not descend from
    /// `from`.
    pub(crate) fn line<'a>(&'a self, from: &Block, to: &'a Block) -> Option<Vec<&'a Block>> {
        let mut line = vec![to];
        let mut oldest = to;
        while oldest.header.number > from.header.number {
            oldest = self.by_hash(&oldest.header.parent_hash)?;
            line.push(oldest);
        }
        line.reverse();
        (oldest.hash == from.hash).then_some(line)
    }
}
