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
