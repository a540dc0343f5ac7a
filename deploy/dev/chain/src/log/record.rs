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
    /// A sealed block and the trie nodes that it created. With these nodes a restart does not execute
    /// the block again.
    #[codec(index = 1)]
    Block {
        /// The block's header.
        header: Header,
        /// The block's extrinsics.
        body: Vec<Extrinsic>,
        /// The raw storage writes made before the block. No extrinsic of it explains them.
        writes: Vec<StorageWrite>,
        /// The new trie nodes; empty in a snapshot.
        nodes: Vec<Vec<u8>>,
    },
    /// The trie nodes of any blocks. A snapshot writes them in parts, before the blocks.
    #[codec(index = 2)]
    Nodes(Vec<Vec<u8>>),
}

impl Record {
    /// Returns the height of the record's block, if it holds one.
    pub(crate) fn height(&self) -> Option<u32> {
        match self {
            Self::Genesis { header, .. } | Self::Block { header, .. } => Some(header.number),
            Self::Nodes(_) => None,
        }
    }
}
