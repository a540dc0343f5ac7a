//! The identity of a runtime, and the pinned runtime.

use std::fmt;
use std::sync::LazyLock;

use parity_scale_codec::Decode;
use subxt::Metadata;

use crate::{decode, items::VERSION_CONSTANT};

/// The bytes of the pinned metadata, V15 with its `meta` prefix.
pub const PINNED_BYTES: &[u8] = include_bytes!("../metadata/subtensor.scale");

static PINNED: LazyLock<Metadata> =
    LazyLock::new(|| decode::decode(PINNED_BYTES).expect("a test decodes the pinned file"));

/// Returns the pinned metadata. It is decoded once.
pub fn pinned() -> &'static Metadata {
    &PINNED
}

/// The name and the spec version of a runtime, from its constant `System.Version`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RuntimeId {
    /// The chain's own name for its runtime, for example `node-subtensor`.
    pub name: String,
    /// The spec version. It rises with each upgrade of the runtime.
    pub spec_version: u32,
}

impl RuntimeId {
    /// Returns the runtime that `metadata` describes, or `None` if the metadata does not name it.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let version = metadata.pallet_by_name("System")?.constant_by_name(VERSION_CONSTANT)?;
        // sp_version::RuntimeVersion begins with spec_name, impl_name, authoring_version, spec_version.
        let (name, _, _, spec_version) = <(String, String, u32, u32)>::decode(&mut version.value()).ok()?;
        Some(Self { name, spec_version })
    }

    /// Returns the pinned runtime.
    pub fn pinned() -> Self {
        Self::of(pinned()).expect("a test reads the pinned file's version")
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.spec_version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_file_decodes_and_says_which_runtime_it_is() {
        assert!(decode::decode(PINNED_BYTES).is_ok());
        assert_eq!(RuntimeId::pinned(), RuntimeId { name: "node-subtensor".into(), spec_version: 461 });
    }
}
