//! Compares each implementation of selection with a full sort.

use super::*;
use crate::chunks::Geometry;
use proptest::prelude::*;

/// Selects by a full sort.
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

/// Asserts that all implementations select as a full sort does.
fn check(values: &[f32], k: usize) {
    let expected = by_sorting(values, k);
    for simd in Simd::available() {
        let mut positions = vec![0; k];
        Selector::new(simd).top_k(values, &mut positions);
        assert_eq!(positions, expected, "{} of {} values with {}", k, values.len(), simd.name());
    }
}

/// Returns a generator of pseudo-random 32-bit integers.
fn stream(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    }
}

/// Generates values of which many are equal, zero, denormal, infinite or NaN.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -2.0f32..2.0,
        2 => (-3i8..3).prop_map(f32::from),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        1 => (0u32..40).prop_map(f32::from_bits),
        1 => any::<u32>().prop_map(f32::from_bits),
    ]
}

/// A generator of a hard chunk: a value from a position and a random number.
type Make = fn(usize, u32) -> f32;

const HARD: [Make; 13] = [
    // Zeros.
    |_, _| 0.0,
    // One value everywhere.
    |_, _| -1.5,
    // Any bits.
    |_, random| f32::from_bits(random),
    // Whole numbers.
    |_, random| random as f32 - 2_147_483_648.0,
    // Few magnitudes.
    |_, random| (random % 7) as f32 - 3.0,
    // Ties at the threshold.
    |_, random| if random % 100 == 0 { 2.0 } else { 1.0 },
    // Denormals.
    |_, random| f32::from_bits(random % 300),
    // Infinities.
    |_, random| if random % 40 == 0 { f32::INFINITY } else { 1.0 },
    // NaN.
    |_, random| if random % 3 == 0 { f32::NAN } else { random as f32 },
    // Rising.
    |at, _| at as f32,
    // Falling.
    |at, _| -(70_000.0 - at as f32),
    // A large column.
    |at, random| if at % 64 == 5 { random as f32 } else { (random % 9) as f32 },
    // A large row.
    |at, random| if at / 64 == 3 { random as f32 } else { (random % 9) as f32 },
];

#[test]
fn hard_chunks_of_every_length_are_chosen_from_as_by_a_full_sort() {
    let mut next = stream(7);
    for make in HARD {
        for length in (0..=300).chain([1023, 1024, 1025, 1087, 1088, 4095, 4096, 4097, 5000]) {
            let values: Vec<f32> = (0..length).map(|at| make(at, next())).collect();
            for k in [0, 1, 2, 63, 64, 65, 127, 128, 129, length / 2, length.saturating_sub(1), length] {
                if k <= length {
                    check(&values, k);
                }
            }
        }
    }
}

#[test]
fn the_largest_chunk_is_chosen_from_too() {
    let mut next = stream(8);
    for make in HARD {
        let values: Vec<f32> = (0..65_536).map(|at| make(at, next())).collect();
        [64, 128, 1024].into_iter().for_each(|k| check(&values, k));
    }
}

#[test]
fn each_position_of_a_full_chunk_can_be_chosen_alone_and_in_a_tie() {
    for at in 0..4096 {
        let mut values = vec![0.5f32; 4096];
        values[at] = -0.75;
        check(&values, 1);
        values[4095 - at] = 0.75;
        check(&values, 2);
    }
}

/// Checks that chunks of tensors are read correctly in place: with or without a sum, several at a
/// time, and while values are selected from the chunks before. The bits are those of the plain sum.
#[test]
fn chunks_of_tensors_are_read_and_summed_alike() {
    let shapes: [&[usize]; 6] = [&[64, 64], &[128, 1280], &[192, 576], &[100, 130], &[64 * 5], &[7, 64]];
    let mut next = stream(9);
    for shape in shapes {
        let geometry = Geometry::new(shape, 64).unwrap();
        let mut draw =
            || (0..geometry.len()).map(|_| f32::from_bits(next() % 0x7f00_0000)).collect::<Vec<_>>();
        let (start, delta) = (draw(), draw());
        let mut sum = start.clone();
        portable::accumulate(&mut sum, &delta, 0.9);
        let k = geometry.sent(64);
        for (simd, most) in Simd::available().into_iter().flat_map(|simd| [(simd, 1), (simd, 3)]) {
            let mut runs = Vec::new();
            let mut first = 0;
            while first < geometry.chunks() {
                let count = most.min(geometry.across() - first % geometry.across());
                runs.push((geometry.origin(first), geometry.run(count)));
                first += count;
            }
            let (mut adding, mut reading) = (Selector::new(simd), Selector::new(simd));
            let mut error = start.clone();
            let values = |run: usize| {
                let &(origin, run) = runs.get(run)?;
                Some((Source::Values(&sum[origin..]), run))
            };
            let (source, run) = values(0).unwrap();
            assert!(reading.read(source, run));
            let origin = runs[0].0;
            let source = Source::Feedback {
                error: &mut error[origin..],
                pseudo_gradient: &delta[origin..],
                beta: 0.9,
            };
            assert!(adding.read(source, run));
            for number in 0..runs.len() {
                let count = runs[number].1.count;
                for chunk in 0..count {
                    assert_eq!(adding.read.values(chunk), reading.read.values(chunk));
                }
                let expected: Vec<_> =
                    (0..count).map(|chunk| by_sorting(reading.read.values(chunk), k)).collect();
                let held: Vec<_> = (0..count).map(|chunk| reading.read.values(chunk).to_vec()).collect();
                let (mut positions, mut chosen) = (vec![0; count * k], vec![0.0; count * k]);
                let slots = positions.chunks_mut(k).zip(chosen.chunks_mut(k));
                assert!(reading.choose(slots, values(number + 1)));
                let positions: Vec<_> = positions.chunks(k).map(<[u16]>::to_vec).collect();
                assert_eq!(positions, expected);
                let mut positions_added = vec![0; count * k];
                let slots = positions_added.chunks_mut(k).zip(chosen.chunks_mut(k));
                let source = runs.get(number + 1).map(|&(origin, run)| {
                    let error = &mut error[origin..];
                    let pseudo_gradient = &delta[origin..];
                    (Source::Feedback { error, pseudo_gradient, beta: 0.9 }, run)
                });
                assert!(adding.choose(slots, source));
                assert_eq!(positions_added, positions.concat());
                for (chunk, (positions, chosen)) in positions.iter().zip(chosen.chunks(k)).enumerate() {
                    let values = positions.iter().map(|&position| held[chunk][usize::from(position)]);
                    assert!(values.eq(chosen.iter().copied()));
                }
            }
            assert!(error.iter().zip(&sum).all(|(error, sum)| error.to_bits() == sum.to_bits()));
        }
    }
}

#[test]
fn what_is_not_finite_is_noticed() {
    for simd in Simd::available() {
        for (at, value) in [(0, f32::NAN), (4095, f32::INFINITY), (2000, f32::NEG_INFINITY), (63, -f32::NAN)]
        {
            let mut values = vec![1.0; 2 * 4096];
            let geometry = Geometry::new(&[128, 64], 64).unwrap();
            let run = geometry.run(1);
            let mut selector = Selector::new(simd);
            let read = |values: &[f32], from: usize, selector: &mut Selector| {
                selector.read(Source::Values(&values[from..]), run)
            };
            assert!(read(&values, 0, &mut selector));
            values[4096 + at] = value;
            assert!(!read(&values, 4096, &mut selector));
            assert!(read(&values, 0, &mut selector));
            let (mut positions, mut chosen) = ([0; 64], [0.0; 64]);
            let slots = || std::iter::empty();
            assert!(!selector.choose(slots(), Some((Source::Values(&values[4096..]), run))));
            assert!(selector.choose(slots(), Some((Source::Values(&values), run))));
            let slots = std::iter::once((&mut positions[..], &mut chosen[..]));
            assert!(selector.choose(slots, None));
            assert_eq!(chosen, [1.0; 64]);
        }
    }
}

proptest! {
    #[test]
    fn the_choice_is_that_of_a_full_sort(values in proptest::collection::vec(value(), 0..300), k in 0usize..80) {
        check(&values, k.min(values.len()));
    }

    #[test]
    fn full_chunks_too(values in proptest::collection::vec(value(), 4096), k in 1usize..200) {
        check(&values, k);
    }
}

#[test]
fn ties_go_to_the_lower_position_and_no_number_comes_last() {
    let select = |values: &[f32], k| {
        let mut positions = vec![0; k];
        Selector::default().top_k(values, &mut positions);
        positions
    };
    assert_eq!(select(&[1.0, -1.0, 1.0, -1.0], 2), [0, 1]);
    assert_eq!(select(&[f32::NAN, 0.0, 5e-45, f32::NAN], 2), [0, 2]);
    assert_eq!(select(&[f32::NAN, 1.0, f32::NEG_INFINITY, 2.0], 2), [2, 3]);
    assert_eq!(select(&[0.0; 4096], 64), (0..64).collect::<Vec<u16>>());
}

#[test]
#[should_panic(expected = "do not hold")]
fn a_chunk_that_is_not_there_is_not_read() {
    let chunk = Chunks { count: 1, height: 64, width: 64, stride: 65 };
    Selector::default().read(Source::Values(&[0.0; 4096]), chunk);
}
