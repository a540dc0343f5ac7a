//! Computes the largest number of bits that the positions of a chunk can take.

use super::{Kind, Part, Tables};
use crate::bits::bits_below;
use std::collections::BTreeMap;

/// For each size of a part and each number of positions: the largest number of bits.
type Longest = BTreeMap<u32, Vec<u32>>;

/// Returns the largest number of bits that a part can take.
pub(super) fn bits(part: Part, tables: &Tables) -> usize {
    let mut longest = Longest::new();
    fill_halves(part.size, part.count, tables, &mut longest);
    of_part(part, tables, halves(part.size, &longest)) as usize
}

/// Adds the parts of a size with up to `count` positions, and the smaller parts that they consist of.
fn fill(size: u32, count: u32, tables: &Tables, longest: &mut Longest) {
    if longest.contains_key(&size) {
        return;
    }
    let count = count.min(size);
    fill_halves(size, count, tables, longest);
    let halves = halves(size, longest);
    let part = |count| Part { start: 0, size, count };
    let bits = (0..=count).map(|count| of_part(part(count), tables, halves)).collect();
    longest.insert(size, bits);
}

/// Adds the halves of parts of a size with up to `count` positions, if any of these parts is halved.
fn fill_halves(size: u32, count: u32, tables: &Tables, longest: &mut Longest) {
    let part = |count| Part { start: 0, size, count };
    if (0..=count).any(|count| matches!(part(count).kind(tables), Kind::Halved)) {
        fill(size.div_ceil(2), count, tables, longest);
        fill(size / 2, count, tables, longest);
    }
}

/// Returns the entries for the left and right halves of parts of a size.
fn halves(size: u32, longest: &Longest) -> [&[u32]; 2] {
    [size.div_ceil(2), size / 2].map(|half| longest.get(&half).map_or(&[][..], Vec::as_slice))
}

/// Returns the largest number of bits that a part can take, given those of its halves.
fn of_part(part: Part, tables: &Tables, [lefts, rights]: [&[u32]; 2]) -> u32 {
    match part.kind(tables) {
        Kind::Known => 0,
        // No number has more bits than the last one.
        Kind::Ranked(sets) => bits_below(sets, sets - 1),
        Kind::Halved => {
            let (least, most) = part.range();
            let halves = |left: u32| lefts[left as usize] + rights[(part.count - left) as usize];
            let bits = (least..=most).map(|left| part.left_bits(left, tables) + halves(left));
            bits.max().unwrap_or_default()
        }
    }
}
