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
mod tests {
    use super::*;
    use crate::tensor::TensorRole;

    fn tensor(name: &str, shape: &[usize]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), shape: shape.to_vec(), role: TensorRole::Matrix }
    }

    /// Returns values for a little more than two leaves.
    fn values() -> Vec<f32> {
        (0..2 * LEAF_VALUES + 3).map(|at| at as f32).collect()
    }

    #[test]
    fn threads_do_not_matter() {
        let values = values();
        let hash = TensorHash::of(&values);
        assert_eq!(hash.leaves.len(), 3);
        for threads in [0, 1, 2, 3, 8] {
            assert_eq!(TensorHash::of_with_threads(&values, threads), hash);
        }
        assert_eq!(TensorHash::of_with_threads(&[], 2), TensorHash::of(&[]));
    }

    #[test]
    fn a_leaf_is_the_hash_of_its_bytes() {
        let bytes: Vec<u8> = [1.0f32, -2.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(leaf(&[1.0, -2.5]), blake3::derive_key(LEAF_CONTEXT, &bytes));
        assert_ne!(leaf(&[0.0]), leaf(&[-0.0]), "bits count, not values");
    }

    #[test]
    fn each_leaf_has_its_own_hash() {
        let (mut values, hash) = (values(), TensorHash::of(&values()));
        assert_eq!(hash, TensorHash::of(&values));
        values[LEAF_VALUES] += 1.0;
        let changed = TensorHash::of(&values);
        assert_eq!((hash.leaves[0], hash.leaves[2]), (changed.leaves[0], changed.leaves[2]));
        assert_ne!(hash.leaves[1], changed.leaves[1]);
        assert_ne!(hash, TensorHash::of(&values[..LEAF_VALUES]));
    }

    #[test]
    fn names_shapes_and_values_all_count() {
        let hash = TensorHash::of(&[1.0; 6]);
        let of = |name, shape: &[usize], hash: &TensorHash| root([(&tensor(name, shape), hash)]);
        let one = of("a", &[2, 3], &hash);
        assert_eq!(one, of("a", &[2, 3], &hash));
        assert_ne!(one, of("b", &[2, 3], &hash));
        assert_ne!(one, of("a", &[3, 2], &hash));
        assert_ne!(one, of("a", &[6], &hash));
        assert_ne!(one, of("a", &[2, 3], &TensorHash::of(&[2.0; 6])));
        assert_ne!(root([]), one);
    }
}
