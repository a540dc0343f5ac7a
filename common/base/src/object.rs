//! The first two bytes of every object: its kind, then the version of this kind.

use crate::wire::{Reader, WireError};

/// The kinds of objects in buckets and of files beside models.
///
/// Two more kinds are `submission::KIND` and
/// `score_log::KIND`. The fields of commitments have kinds of their own
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

/// Reads kind and version, and checks both.
///
/// # Errors
/// The input ends, or the object has another kind or version.
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
