//! The largest values of a chunk, exactly: what a full sort would choose, without the sort.

/// Memory for [`top_k`], reused from chunk to chunk.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// The magnitude of each value as an integer.
    keys: Vec<u32>,
    /// The magnitudes that may be among the largest.
    candidates: Vec<u32>,
}

/// Appends the positions of the `k` values of largest magnitude, ascending; all positions if there are no more than `k`.
///
/// Among equal magnitudes the lower position is taken. A value that is not a number counts as 0, so it is taken last;
/// an infinite one is taken first. A chunk has at most 65,536 values.
pub fn top_k(values: &[f32], k: usize, scratch: &mut Scratch, positions: &mut Vec<u16>) {
    debug_assert!(values.len() <= 1 << 16, "positions have 16 bits");
    if k >= values.len() {
        positions.extend((0..values.len()).map(|position| position as u16));
        return;
    }
    if k == 0 {
        return;
    }
    let Scratch { keys, candidates } = scratch;
    keys.clear();
    keys.extend(values.iter().map(|&value| magnitude(value)));
    let (threshold, mut ties) = threshold(keys, k, candidates);
    for (position, &key) in keys.iter().enumerate() {
        let tie = key == threshold && ties > 0;
        ties -= usize::from(tie);
        if key > threshold || tie {
            positions.push(position as u16);
        }
    }
}

/// A value's magnitude as an integer of the same order: positive floats are ordered like their bits.
fn magnitude(value: f32) -> u32 {
    if value.is_nan() { 0 } else { value.to_bits() & 0x7fff_ffff }
}

/// The `k`-th largest key, and how many keys equal to it are among the `k` largest; `0 < k < keys.len()`.
fn threshold(keys: &[u32], k: usize, candidates: &mut Vec<u32>) -> (u32, usize) {
    // k groups have k maxima, so the k-th largest key is at least the smallest of these. It leaves few candidates.
    let groups = keys.chunks_exact(keys.len() / k).take(k);
    let bound = groups.map(|group| group.iter().fold(0, |most, &key| most.max(key))).min().unwrap_or(0);
    candidates.clear();
    candidates.extend(keys.iter().filter(|&&key| key >= bound));
    let kth = candidates.len() - k;
    let (_, &mut threshold, larger) = candidates.select_nth_unstable(kth);
    (threshold, k - larger.iter().filter(|&&key| key > threshold).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same choice by a full sort.
    fn by_sorting(values: &[f32], k: usize) -> Vec<u16> {
        let mut order: Vec<u16> = (0..values.len()).map(|position| position as u16).collect();
        let size = |position: u16| {
            let value = values[usize::from(position)].abs();
            if value.is_nan() { 0.0 } else { value }
        };
        order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
        order.truncate(k);
        order.sort_unstable();
        order
    }

    fn select(values: &[f32], k: usize) -> Vec<u16> {
        let mut positions = Vec::new();
        top_k(values, k, &mut Scratch::default(), &mut positions);
        positions
    }

    /// Values of which many are equal, zero, denormal, infinite or no number.
    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -2.0f32..2.0,
            2 => (-3i8..3).prop_map(f32::from),
            1 => prop_oneof![Just(0.0), Just(-0.0), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
            1 => (0u32..40).prop_map(f32::from_bits),
            1 => any::<u32>().prop_map(f32::from_bits),
        ]
    }

    proptest! {
        #[test]
        fn the_choice_is_that_of_a_full_sort(values in proptest::collection::vec(value(), 0..300), k in 0usize..80) {
            prop_assert_eq!(select(&values, k), by_sorting(&values, k));
        }

        #[test]
        fn full_chunks_too(seed: u64) {
            let mut state = seed | 1;
            let values: Vec<f32> = (0..4096)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    f32::from_bits((state >> 32) as u32)
                })
                .collect();
            prop_assert_eq!(select(&values, 64), by_sorting(&values, 64));
        }
    }

    #[test]
    fn ties_go_to_the_lower_position_and_no_number_comes_last() {
        assert_eq!(select(&[1.0, -1.0, 1.0, -1.0], 2), [0, 1]);
        assert_eq!(select(&[f32::NAN, 0.0, 5e-45, f32::NAN], 2), [0, 2]);
        assert_eq!(select(&[f32::NAN, 1.0, f32::NEG_INFINITY, 2.0], 2), [2, 3]);
        assert_eq!(select(&[0.0; 4096], 64), (0..64).collect::<Vec<u16>>());
    }
}
