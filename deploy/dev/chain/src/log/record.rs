//! The contents of the log's frames.

use parity_scale_codec::{Decode, Encode};

use crate::store::{Extrinsic, Hash, Header};

/// The identity of the runtime that wrote a log. Another runtime must not continue it, since it might
/// read the state differently.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RuntimeId {
    /// `RuntimeVersion::spec_name`.
    pub spec_name: String,
    /// `RuntimeVersion::spec_version`.
    pub spec_version: u32,
    /// BLAKE2b-256 of the encoded runtime version and metadata.
    pub fingerprint: Hash,
}

/// A raw storage write of `dev_setStorage`; `None` deletes the key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StorageWrite {
    /// The full storage key.
    pub key: Vec<u8>,
    /// The new SCALE-encoded value, or `None` to delete the key.
    pub value: Option<Vec<u8>>,
}

/// A sealed block and the trie nodes that it created. With these nodes a restart does not execute the
/// block again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Sealed {
    /// The block's header.
    pub(crate) header: Header,
    /// The block's extrinsics.
    pub(crate) body: Vec<Extrinsic>,
    /// The raw storage writes made before the block. No extrinsic of it explains them.
    pub(crate) writes: Vec<StorageWrite>,
    /// The new trie nodes; empty in a snapshot.
    pub(crate) nodes: Vec<Vec<u8>>,
}

/// One record of the log. The first one of a log is `Genesis`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Record {
    /// Block 0: its header and the nodes of its state.
    #[codec(index = 0)]
    Genesis {
        /// The runtime that wrote this log.
        runtime: RuntimeId,
        /// The header of block 0.
        header: Header,
        /// The nodes of its state. In a snapshot they follow as `Nodes` instead.
        nodes: Vec<Vec<u8>>,
    },
    /// The block after the best one, which is final at once.
    #[codec(index = 1)]
    Block(Sealed),
    /// The trie nodes of any blocks. A snapshot writes them in parts, before the blocks.
    #[codec(index = 2)]
    Nodes(Vec<Vec<u8>>),
    /// Blocks that are not all final at once. They replace the blocks above the first one's parent, if
    /// there are any. The last of them is the new best block.
    #[codec(index = 3)]
    Branch {
        /// The blocks, one after the other; at least one.
        blocks: Vec<Sealed>,
        /// The finalized height afterwards. It may be below the branch.
        finalized: u32,
    },
}

impl Record {
    /// Creates the record of new blocks, the last of which is the best one. All blocks up to `finalized`
    /// are final.
    pub(crate) fn of(mut blocks: Vec<Sealed>, finalized: u32) -> Self {
        let is_final_at_once = |block: &mut Sealed| block.header.number == finalized;
        match (blocks.len(), blocks.pop_if(is_final_at_once)) {
            (1, Some(only)) => Self::Block(only),
            (_, last) => {
                blocks.extend(last);
                Self::Branch { blocks, finalized }
            }
        }
    }

    /// Returns the new blocks of the record.
    pub(crate) fn into_blocks(self) -> Vec<Sealed> {
        match self {
            Self::Block(block) => vec![block],
            Self::Branch { blocks, .. } => blocks,
            Self::Genesis { .. } | Self::Nodes(_) => Vec::new(),
        }
    }

    /// Returns the height of the record's last block, if it holds one.
    pub(crate) fn height(&self) -> Option<u32> {
        match self {
            Self::Genesis { header, .. } | Self::Block(Sealed { header, .. }) => Some(header.number),
            Self::Branch { blocks, .. } => blocks.last().map(|block| block.header.number),
            Self::Nodes(_) => None,
        }
    }
}
