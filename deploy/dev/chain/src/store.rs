//! The sealed chain in memory: blocks by height, and every state trie node ever written.
//!
//! Nothing is deleted. The state of each block stays readable (an archive). A node is found by the hash
//! of its bytes alone: it is never removed, so it needs no reference count.

use std::collections::HashMap;

use sp_core::H256;
use sp_runtime::{generic, traits::BlakeTwo256};
use sp_state_machine::TrieBackendStorage;

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

/// A sealed, and therefore final, block.
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

/// All blocks from genesis on, and their states.
pub(crate) struct Store {
    nodes: Nodes,
    blocks: Vec<Block>,
    heights: HashMap<Hash, u32>,
}

impl Store {
    /// Creates a store with the genesis block and `nodes`.
    pub(crate) fn new(genesis: Header, nodes: Vec<Vec<u8>>) -> Self {
        let mut store = Self { nodes: Nodes::new(), blocks: Vec::new(), heights: HashMap::new() };
        store.push(Block::new(genesis, Vec::new()), nodes);
        store
    }

    /// Adds the next block and the trie nodes that its execution created.
    pub(crate) fn push(&mut self, block: Block, nodes: Vec<Vec<u8>>) {
        self.add_nodes(nodes);
        self.heights.insert(block.hash, block.header.number);
        self.blocks.push(block);
    }

    /// Adds nodes of blocks that are pushed later.
    pub(crate) fn add_nodes(&mut self, nodes: Vec<Vec<u8>>) {
        for node in nodes {
            self.nodes.insert(node.into_boxed_slice());
        }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Returns all blocks, genesis first.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn genesis(&self) -> &Block {
        &self.blocks[0]
    }

    /// Returns the newest block. It is both best and finalized.
    pub(crate) fn best(&self) -> &Block {
        self.blocks.last().unwrap_or(&self.blocks[0])
    }

    pub(crate) fn by_hash(&self, hash: &Hash) -> Option<&Block> {
        self.by_height(*self.heights.get(hash)?)
    }

    pub(crate) fn by_height(&self, height: u32) -> Option<&Block> {
        self.blocks.get(height as usize)
    }
}
