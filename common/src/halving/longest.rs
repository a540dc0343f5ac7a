//! The most bits that the positions of a chunk can take.

use super::{Kind, Part, Tables};
use crate::bits::bits_below;
use std::collections::BTreeMap;

/// For parts of a size, by their number of positions: the most bits that these can take.
type Longest = BTreeMap<u32, Vec<u32>>;

/// The most bits that a part can take.
pub(super) fn bits(part: Part, tables: &Tables) -> usize {
    let mut longest = Longest::new();
    if let Kind::Halved = part.kind(tables) {
        fill(part.left_size(), part.count, tables, &mut longest);
        fill(part.right_size(), part.count, tables, &mut longest);
    }
    of_part(part, tables, &longest) as usize
}

/// Adds parts of a size with up to so many positions, and the smaller ones that they consist of.
fn fill(size: u32, count: u32, tables: &Tables, longest: &mut Longest) {
    if longest.contains_key(&size) {
        return;
    }
    let count = count.min(size);
    let part = |count| Part { start: 0, size, count };
    if (0..=count).any(|count| matches!(part(count).kind(tables), Kind::Halved)) {
        fill(size.div_ceil(2), count, tables, longest);
        fill(size / 2, count, tables, longest);
    }
    let bits = (0..=count).map(|count| of_part(part(count), tables, longest)).collect();
    longest.insert(size, bits);
}

/// The most bits that a part can take, those of its halves being known.
fn of_part(part: Part, tables: &Tables, longest: &Longest) -> u32 {
    match part.kind(tables) {
        Kind::Known => 0,
        // The last number has as many bits as any.
        Kind::Ranked(sets) => bits_below(sets, sets - 1),
        Kind::Halved => {
            let (least, most) = part.range();
            let bits = (least..=most).map(|left| {
                let halves = part.halves(left);
                let each = halves.map(|half| longest[&half.size][half.count as usize]);
                part.left_bits(left, tables) + each[0] + each[1]
            });
            bits.max().unwrap_or_default()
        }
    }
}
