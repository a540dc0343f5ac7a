//! Proves that a validator holds the parameters that it votes on.

use crate::{model::ParameterLayout, permutation::Permutation};
use base::{BlockHash, Hotkey, state_root::LEAF_VALUES};
use std::{fmt, ops::Range};

/// The number of leaves of the parameters that a possession is computed from: all, if there are fewer. A
/// holder of nine tenths of the leaves passes in one of five votes.
pub const POSSESSION_LEAVES: u64 = 16;

/// The BLAKE3 `derive_key` context of the leaves' choice.
const LEAVES_CONTEXT: &str = "muster v1 possession leaves";
/// The BLAKE3 `derive_key` context of the key.
const KEY_CONTEXT: &str = "muster v2 possession";

/// A hash of parts of the parameters that a vote is about, keyed by the voter's hotkey.
///
/// The vote on a window is about the parameters at its start. The parts are leaves of the state root's
/// tree ([`base::state_root`]), drawn by the hash of block [`Heights::possession_seed`]. A validator that
/// copies another's vote without the parameters cannot compute it, and another validator's hash is useless
/// because of the key. Auditors recompute it. It decides nothing: no other node needs it.
///
/// [`Heights::possession_seed`]: crate::clock::Heights::possession_seed
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Possession(pub [u8; 32]);

impl Possession {
    /// Hashes the drawn leaves: each with its tensor's name, its place in the tensor, and its values.
    /// `read` returns the values of a range of the layout.
    ///
    /// # Errors
    /// A leaf cannot be read.
    ///
    /// # Panics
    /// The name of a tensor has more than 65,535 bytes.
    pub fn of<E>(
        holder: Hotkey,
        seed: BlockHash,
        layout: &ParameterLayout,
        mut read: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let key = [holder.as_bytes().as_slice(), &seed.0].concat();
        let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key(KEY_CONTEXT, &key));
        for leaf in drawn(seed, layout) {
            let name = leaf.tensor.as_bytes();
            let length = u16::try_from(name.len()).expect("the name of a tensor is short");
            hasher.update(&length.to_le_bytes()).update(name).update(&leaf.place.to_le_bytes());
            hasher.update(&(leaf.values.len() as u64).to_le_bytes());
            for value in read(leaf.values)? {
                hasher.update(&value.to_le_bytes());
            }
        }
        Ok(Self(*hasher.finalize().as_bytes()))
    }
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Possession({})", hex::encode(self.0))
    }
}

/// A leaf of the state root's tree.
#[derive(Debug, PartialEq, Eq)]
struct Leaf<'a> {
    tensor: &'a str,
    /// Its place among the leaves of the tensor.
    place: u64,
    /// The range of its values among all parameters.
    values: Range<usize>,
}

/// Returns the drawn leaves, in the order of the draw.
fn drawn(seed: BlockHash, layout: &ParameterLayout) -> Vec<Leaf<'_>> {
    let count: usize = layout.iter().map(|(_, values)| leaves(&values)).sum();
    let permutation = Permutation::new(blake3::derive_key(LEAVES_CONTEXT, &seed.0), count as u64);
    (0..POSSESSION_LEAVES)
        .map_while(|draw| permutation.at(draw))
        .filter_map(|number| leaf(layout, usize::try_from(number).ok()?))
        .collect()
}

/// Returns the number of leaves of a tensor with these values.
fn leaves(values: &Range<usize>) -> usize {
    values.len().div_ceil(LEAF_VALUES)
}

/// Returns a leaf by its number among the leaves of all tensors.
fn leaf(layout: &ParameterLayout, mut number: usize) -> Option<Leaf<'_>> {
    for (tensor, values) in layout.iter() {
        let here = leaves(&values);
        if number < here {
            let start = values.start + number * LEAF_VALUES;
            let end = values.end.min(start + LEAF_VALUES);
            return Some(Leaf { tensor: &tensor.name, place: number as u64, values: start..end });
        }
        number -= here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_spec::RunFile;
    use std::{collections::BTreeSet, convert::Infallible};

    fn tiny() -> ParameterLayout {
        let file = RunFile::parse(include_str!("../../../../deploy/runs/tiny.toml")).unwrap();
        ParameterLayout::new(&file.model)
    }

    fn of(holder: u8, seed: u8, layout: &ParameterLayout, values: &[f32]) -> Possession {
        let read = |range: Range<usize>| Ok::<_, Infallible>(values[range].to_vec());
        Possession::of(Hotkey([holder; 32]), BlockHash([seed; 32]), layout, read).unwrap()
    }

    #[test]
    fn it_has_known_bytes_and_depends_on_holder_block_and_values() {
        let layout = tiny();
        let mut values: Vec<f32> = (0..layout.len()).map(|at| at as f32 / 8.0).collect();
        let known = of(1, 2, &layout, &values);
        assert_eq!(hex::encode(known.0), "642936d7698eb48c849223692379e8697b69618e4faf562a43d785c1c2abd396");
        assert_ne!(of(2, 2, &layout, &values), known);
        assert_ne!(of(1, 3, &layout, &values), known);
        // Every drawn value counts, to the last bit.
        for leaf in drawn(BlockHash([2; 32]), &layout) {
            let at = leaf.values.end - 1;
            let before = values[at];
            values[at] = f32::from_bits(before.to_bits() ^ 1);
            assert_ne!(of(1, 2, &layout, &values), known, "{leaf:?}");
            values[at] = before;
        }
        assert_eq!(of(1, 2, &layout, &values), known);
    }

    #[test]
    fn leaves_are_those_of_the_state_root() {
        let file = RunFile::parse(include_str!("../../../../deploy/runs/1b.toml")).unwrap();
        let layout = ParameterLayout::new(&file.model);
        let all: Vec<_> = (0..).map_while(|number| leaf(&layout, number)).collect();
        let mut next = 0;
        for leaf in &all {
            assert_eq!(leaf.values.start, next);
            next = leaf.values.end;
        }
        assert_eq!(next, layout.len());
        let embeddings = all.iter().filter(|leaf| leaf.tensor == "model.embed_tokens.weight");
        let places: Vec<_> = embeddings.map(|leaf| leaf.place).collect();
        assert!(places.len() > 1 && places.iter().enumerate().all(|(at, place)| *place == at as u64));
        // Other blocks draw other leaves. Each draw has 16 different ones.
        let draw = |seed| drawn(BlockHash([seed; 32]), &layout);
        let starts = |seed| draw(seed).iter().map(|leaf| leaf.values.start).collect::<BTreeSet<_>>();
        assert_eq!(starts(1).len() as u64, POSSESSION_LEAVES);
        assert_ne!(starts(1), starts(2));
    }

    #[test]
    fn a_leaf_that_cannot_be_read_is_an_error() {
        let read = |_: Range<usize>| Err("no parameters");
        let failed = Possession::of(Hotkey([1; 32]), BlockHash([1; 32]), &tiny(), read);
        assert_eq!(failed, Err("no parameters"));
    }
}
