//! What the log's frames hold.

use parity_scale_codec::{Decode, Encode};

use crate::store::{Extrinsic, Hash, Header};

/// Which runtime wrote a log. Another one must not go on with it: the state might mean something else to it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RuntimeId {
    /// `RuntimeVersion::spec_name`.
    pub spec_name: String,
    /// `RuntimeVersion::spec_version`.
    pub spec_version: u32,
    /// BLAKE2b-256 of the encoded runtime version and metadata.
    pub fingerprint: Hash,
}

/// A raw storage write of `dev_setStorage`: `None` deletes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StorageWrite {
    /// The full storage key.
    pub key: Vec<u8>,
    /// The new SCALE-encoded value, or none to delete the key.
    pub value: Option<Vec<u8>>,
}

/// One record of the log. The first one of a log is `Genesis`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Record {
    /// Block 0: its header, and the nodes of its state.
    #[codec(index = 0)]
    Genesis {
        /// Who wrote this log.
        runtime: RuntimeId,
        /// The header of block 0.
        header: Header,
        /// The nodes of its state; in a snapshot they follow as `Nodes` instead.
        nodes: Vec<Vec<u8>>,
    },
    /// A sealed block and the trie nodes that it made, so that a restart does not execute it again.
    #[codec(index = 1)]
    Block {
        /// Its header.
        header: Header,
        /// Its extrinsics.
        body: Vec<Extrinsic>,
        /// Raw storage writes made before it, which no extrinsic of it explains.
        writes: Vec<StorageWrite>,
        /// The new nodes; empty in a snapshot.
        nodes: Vec<Vec<u8>>,
    },
    /// Nodes of any block (snapshots write them in parts, before the blocks).
    #[codec(index = 2)]
    Nodes(Vec<Vec<u8>>),
}

impl Record {
    /// The height of the block in it.
    pub(crate) fn height(&self) -> Option<u32> {
        match self {
            Self::Genesis { header, .. } | Self::Block { header, .. } => Some(header.number),
            Self::Nodes(_) => None,
        }
    }
}
