//! Upgrades of the runtime, as clients see them: another spec version, and other metadata.
//!
//! The runtime stays the same code. But from the block of the upgrade on, the version that clients ask for,
//! and that signatures must cover, is the new one. The node then serves the given metadata, in which items
//! may be changed or missing. Both are raw storage, so the log keeps them, and each block has its own
//! runtime.

use devchain_runtime::runtime::last_upgrade_key;
use parity_scale_codec::{Compact, Decode, Encode};

use crate::{log::StorageWrite, state::State};

/// The largest metadata that an upgrade may bring, in bytes.
pub const MAX_METADATA: usize = 8 << 20;

/// The first bytes of any metadata. The byte after them is its version.
const PREFIX: &[u8] = b"meta";

/// An upgrade that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The spec version does not rise.
    #[error("cannot upgrade to spec version {wanted}: the runtime has {present}; give a larger one")]
    Version {
        /// The spec version of the upgrade.
        wanted: u32,
        /// The present spec version.
        present: u32,
    },
    /// The bytes are not metadata.
    #[error("these {0} bytes are not metadata: give at most {MAX_METADATA} bytes that begin with `meta`")]
    Metadata(usize),
}

/// Checks an upgrade, and returns its storage writes. Without metadata, the runtime's own is served.
pub(crate) fn writes(
    present: u32,
    wanted: u32,
    metadata: Option<Vec<u8>>,
) -> Result<Vec<StorageWrite>, UpgradeError> {
    if wanted <= present {
        return Err(UpgradeError::Version { wanted, present });
    }
    if let Some(bytes) = &metadata
        && (!bytes.starts_with(PREFIX) || bytes.len() <= PREFIX.len() || bytes.len() > MAX_METADATA)
    {
        return Err(UpgradeError::Metadata(bytes.len()));
    }
    let version = (Compact(wanted), devchain_runtime::VERSION.spec_name).encode();
    Ok(vec![
        StorageWrite { key: last_upgrade_key(), value: Some(version) },
        StorageWrite { key: metadata_key(), value: metadata },
    ])
}

/// Answers a function of the metadata API from the metadata of an upgrade. Returns `None` if the state has no
/// such metadata, or the function is unknown.
pub(crate) fn answer(state: &State<'_>, method: &str, data: &[u8]) -> Option<Vec<u8>> {
    let metadata = state.storage(&metadata_key())?;
    let version = u32::from(*metadata.get(PREFIX.len())?);
    match method {
        "Metadata_metadata" => Some(metadata.encode()),
        "Metadata_metadata_versions" => Some(vec![version].encode()),
        "Metadata_metadata_at_version" => {
            let wanted = u32::decode(&mut &data[..]).ok()?;
            Some((wanted == version).then_some(metadata).encode())
        }
        _ => None,
    }
}

/// Returns the storage key of the metadata that the node serves instead of the runtime's own.
fn metadata_key() -> Vec<u8> {
    b":devchain:metadata".to_vec()
}
