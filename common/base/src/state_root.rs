//! Computes the state root: one hash of all shared parameters, made of parts that can be checked
//! and compared separately.
//!
//! A tensor's f32 bytes (little endian) are cut into leaves of 4 MiB. Each leaf is hashed. A
//! tensor's hash is the hash of its leaves' hashes. The root is the hash of each tensor's name,
//! type, shape and hash, in the order of names. Two nodes that differ can find the leaf in which
//! they differ. A checkpoint is verified part by part. The root and the history of accepted sets
//! make up the [`State`](crate::digest::State) that votes name.

use crate::{digest::StateRoot, tensor::TensorSpec, wire::Writer};

/// Bytes per leaf.
pub const LEAF_BYTES: usize = 4 << 20;
/// Values per leaf.
pub const LEAF_VALUES: usize = LEAF_BYTES / 4;

/// The BLAKE3 `derive_key` context of leaves.
pub const LEAF_CONTEXT: &str = "muster v1 state leaf";
/// The BLAKE3 `derive_key` context of tensors.
pub const TENSOR_CONTEXT: &str = "muster v1 state tensor";

/// The number of f32 among tensor types.
const F32: u8 = 1;

/// The hash of one leaf of a tensor.
pub type LeafHash = [u8; 32];

/// The hashes of a tensor's leaves, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorHash {
    /// One hash per 4 MiB; empty for a tensor without values.
    pub leaves: Vec<LeafHash>,
}

impl TensorHash {
    /// Hashes a tensor.
    #[must_use]
    pub fn of(values: &[f32]) -> Self {
        Self { leaves: values.chunks(LEAF_VALUES).map(leaf).collect() }
    }

    /// Hashes a tensor on `threads` threads (0 counts as 1). The result is the same for any number.
    #[must_use]
    pub fn of_with_threads(values: &[f32], threads: usize) -> Self {
        let mut leaves = vec![[0; 32]; values.len().div_ceil(LEAF_VALUES)];
        let share = leaves.len().div_ceil(threads.max(1)).max(1);
        if share >= leaves.len() {
            return Self::of(values);
        }
        std::thread::scope(|scope| {
            let parts = values.chunks(share * LEAF_VALUES).zip(leaves.chunks_mut(share));
            parts.for_each(|(values, leaves)| {
                let hash =
                    || leaves.iter_mut().zip(values.chunks(LEAF_VALUES)).for_each(|(to, v)| *to = leaf(v));
                scope.spawn(hash);
            });
        });
        Self { leaves }
    }

    /// Returns the tensor's hash.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(TENSOR_CONTEXT);
        self.leaves.iter().for_each(|leaf| {
            hasher.update(leaf);
        });
        *hasher.finalize().as_bytes()
    }
}

/// Hashes a leaf: at most [`LEAF_VALUES`] values.
#[must_use]
pub fn leaf(values: &[f32]) -> LeafHash {
    /// Values converted to bytes at a time: 16 KiB, which stays in the first-level cache.
    const PIECE: usize = 4096;
    let mut bytes = [0u8; PIECE * 4];
    let mut hasher = blake3::Hasher::new_derive_key(LEAF_CONTEXT);
    for piece in values.chunks(PIECE) {
        let bytes = &mut bytes[..piece.len() * 4];
        for (to, value) in bytes.chunks_exact_mut(4).zip(piece) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Computes the root of a state from its tensors in the byte order of their names, each with its hash.
///
/// # Panics
/// Panics if a name has more than 65,535 bytes, or a tensor more than 255 dimensions.
#[must_use]
pub fn root<'a>(tensors: impl IntoIterator<Item = (&'a TensorSpec, &'a TensorHash)>) -> StateRoot {
    let mut writer = Writer::new();
    for (tensor, hash) in tensors {
        writer.text(&tensor.name).u8(F32);
        writer.u8(tensor.shape.len().try_into().expect("a tensor has few dimensions"));
        tensor.shape.iter().for_each(|&size| {
            writer.u64(size as u64);
        });
        writer.raw(&hash.hash());
    }
    StateRoot::of(&[&writer.into_bytes()])
}

#[cfg(test)]
mod tests;
