//! How every object begins: its kind, then the version of its kind.

use crate::wire::{Reader, WireError};

/// The kinds of objects that lie in buckets and beside models; `submission::KIND` and
/// `score_log::KIND` are the others. Fields of commitments have kinds of their own
/// (`announcement::kind`).
pub mod kind {
    /// `RunSpec`.
    pub const RUN_SPEC: u8 = 0xe1;
    /// `Manifest` of a dataset.
    pub const DATASET: u8 = 0xe2;
    /// `BlockTable` of a shard.
    pub const BLOCK_TABLE: u8 = 0xe3;
    /// `Amendment`.
    pub const AMENDMENT: u8 = 0xe6;
    /// `Progress`.
    pub const PROGRESS: u8 = 0xe7;
    /// `Pointer` to a checkpoint.
    pub const POINTER: u8 = 0xe8;
    /// `WindowRecord`.
    pub const RECORD: u8 = 0xe9;
    /// `KeyObject` of a sealed submission.
    pub const KEY: u8 = 0xea;
}

/// Reads kind and version.
///
/// # Errors
/// It is another kind of object, or of another version.
pub fn open(from: &mut Reader<'_>, what: &'static str, kind: u8, version: u8) -> Result<(), WireError> {
    for (due, expected) in [(kind, "another kind of object"), (version, "a version that is not known")] {
        let offset = from.offset();
        let found = from.u8(what)?;
        if found != due {
            return Err(WireError::Value { what, offset, found: found.into(), expected });
        }
    }
    Ok(())
}
