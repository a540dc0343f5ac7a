use super::*;
use crate::gauntlet::{Field, Standing, Standings, proof::Proof};
use base::BlockHash;
use codec::{
    chunks::Geometry,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn miner(index: u8) -> Hotkey {
    Hotkey([index; 32])
}

/// Returns values between -1 and 1, the same for the same seed.
fn random(seed: u64, count: usize) -> Vec<f64> {
    let mut bytes = vec![0; 2 * count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.chunks(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0).collect()
}

/// Returns the update of a miner: a common direction, and `own` of its own. `quantizer` and top-k are those
/// of a run.
fn update(seed: u64, own: f64) -> Vec<SparseTensor> {
    let spec = SparseSpec {
        chunk: 4096,
        topk: 72,
        codec: Codec::Halving,
        quantizer: Quantizer::Sign,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    };
    let geometry = Geometry::new(&[512, 512], 64).unwrap();
    let (common, noise) = (random(0, geometry.len()), random(seed, geometry.len()));
    let values: Vec<f32> =
        common.iter().zip(&noise).map(|(common, noise)| (common + own * noise) as f32).collect();
    vec![compress(&values, &geometry, &spec).unwrap()]
}

fn sample() -> ChunkSample {
    ChunkSample::draw(BlockHash([5; 32]), &[64])
}

fn fingerprints(updates: &[Vec<SparseTensor>]) -> BTreeMap<Hotkey, Fingerprint> {
    let sample = sample();
    let of = |(index, update): (usize, &Vec<SparseTensor>)| {
        (miner(index as u8 + 1), Fingerprint::of(update, &sample))
    };
    updates.iter().enumerate().map(of).collect()
}

/// Returns standings in which the first miners have passed, and some have failed.
fn standings(passed: u8, failed: &[u8]) -> Standings {
    let with = |index: u8, proof| (miner(index), Standing { proof, ..Standing::default() });
    let passed = (1..=passed).map(|index| with(index, Proof::Passed(Millionths::ZERO)));
    let failed = failed.iter().map(|&index| with(index, Proof::Failed(Millionths::ZERO)));
    Standings::new(Field::default(), passed.chain(failed).collect())
}

const NONE: &BTreeMap<Hotkey, Fingerprint> = &BTreeMap::new();

/// Returns the overlaps of one window's updates alone.
fn alone(current: &BTreeMap<Hotkey, Fingerprint>, standings: &Standings) -> BTreeMap<Hotkey, Overlap> {
    let updates = Updates { current, one_before: NONE, two_before: NONE, outer_step: None };
    overlaps(&updates, standings, 1).0
}

fn uniqueness(overlaps: &BTreeMap<Hotkey, Overlap>, index: u8) -> f64 {
    overlaps[&miner(index)].uniqueness().get()
}

#[test]
fn honest_updates_are_unique_though_they_agree_in_part() {
    let updates: Vec<_> = (1..=12).map(|seed| update(seed, 1.0)).collect();
    let current = fingerprints(&updates);
    let with = Updates { current: &current, one_before: NONE, two_before: NONE, outer_step: None };
    let (overlaps, baselines) = overlaps(&with, &standings(12, &[]), 1);
    assert!(overlaps.values().all(|overlap| *overlap == Overlap::default()), "{overlaps:?}");
    let usual = baselines[0].median.get();
    assert!((0.05..0.5).contains(&usual), "they agree in {usual}");
}

#[test]
fn copies_share_the_pay_of_one() {
    let mut updates: Vec<_> = (1..=8).map(|seed| update(seed, 1.0)).collect();
    updates.extend([update(1, 1.0), update(1, 1.0)]);
    let overlaps = alone(&fingerprints(&updates), &standings(8, &[]));
    for copy in [1, 9, 10] {
        assert_eq!(uniqueness(&overlaps, copy), 0.333_333);
        assert_eq!(overlaps[&miner(copy)].nearest.unwrap().cosine, Millionths::ONE);
    }
    assert_eq!(uniqueness(&overlaps, 2), 1.0);
}

#[test]
fn a_failed_copier_harms_no_other_miner() {
    let mut updates: Vec<_> = (1..=8).map(|seed| update(seed, 1.0)).collect();
    updates.push(update(1, 1.0));
    let overlaps = alone(&fingerprints(&updates), &standings(8, &[9]));
    assert_eq!((uniqueness(&overlaps, 1), uniqueness(&overlaps, 9)), (1.0, 0.5));
}

#[test]
fn copies_in_the_majority_do_not_set_the_baseline() {
    let mut updates: Vec<_> = (1..=4).map(|seed| update(seed, 1.0)).collect();
    updates.extend((0..12).map(|_| update(99, 1.0)));
    let current = fingerprints(&updates);
    for passed in [0, 4] {
        let overlaps = alone(&current, &standings(passed, &[]));
        assert_eq!(uniqueness(&overlaps, 1), 1.0);
        assert_eq!(uniqueness(&overlaps, 5), 0.083_333, "12 copies share the pay of one");
    }
}

#[test]
fn of_two_windows_the_later_update_loses() {
    let (old, new): (Vec<_>, Vec<_>) =
        ((1..=6).map(|seed| update(seed, 1.0)).collect(), (11..=16).map(|seed| update(seed, 1.0)).collect());
    let mut current = new;
    current.push(old[2].clone());
    let (current, before) = (fingerprints(&current), fingerprints(&old));
    for (one_before, two_before, class) in
        [(&before, NONE, Class::OneBefore), (NONE, &before, Class::TwoBefore)]
    {
        let updates = Updates { current: &current, one_before, two_before, outer_step: None };
        let (overlaps, _) = overlaps(&updates, &standings(6, &[]), 1);
        assert_eq!(uniqueness(&overlaps, 7), 0.5);
        let nearest = Nearest { class, partner: miner(3), cosine: Millionths::ONE };
        assert_eq!(overlaps[&miner(7)].nearest, Some(nearest));
        assert!((1..=6).all(|index| uniqueness(&overlaps, index) == 1.0));
    }
}

#[test]
fn the_last_outer_step_sent_again_is_found() {
    let old = fingerprints(&(1..=6).map(|seed| update(seed, 1.0)).collect::<Vec<_>>());
    let step = Fingerprint::sum(old.values());
    let mut current = fingerprints(&(11..=16).map(|seed| update(seed, 1.0)).collect::<Vec<_>>());
    current.insert(miner(7), step.clone());
    let updates = Updates { current: &current, one_before: NONE, two_before: NONE, outer_step: Some(&step) };
    let (overlaps, _) = overlaps(&updates, &standings(6, &[]), 1);
    assert!(uniqueness(&overlaps, 7) <= 0.5);
    assert_eq!(overlaps[&miner(7)].nearest.unwrap().class, Class::OuterStep);
    assert!((1..=6).all(|index| uniqueness(&overlaps, index) == 1.0));
}

#[test]
fn the_result_does_not_depend_on_threads() {
    let current = fingerprints(&(1..=9).map(|seed| update(seed, 0.3)).collect::<Vec<_>>());
    let before = fingerprints(&(11..=19).map(|seed| update(seed, 0.3)).collect::<Vec<_>>());
    let updates = Updates { current: &current, one_before: &before, two_before: &current, outer_step: None };
    let one = overlaps(&updates, &standings(3, &[]), 1);
    for threads in [2, 3, 100] {
        assert_eq!(overlaps(&updates, &standings(3, &[]), threads), one);
    }
}

#[test]
fn few_large_values_hide_no_copy() {
    let updates: Vec<_> = (1..=8).map(|seed| update(seed, 1.0)).collect();
    let mut current = fingerprints(&updates);
    let sample = sample();
    let chunks = sample.chunks().iter().enumerate().map(|(place, &(_, chunk))| {
        let mut values = Vec::new();
        let factor = if place == 3 { 1e6 } else { 1.0 };
        updates[0][0].visit_chunk(chunk, 1.0, |at, value| values.push((at, f64::from(value) * factor)));
        values
    });
    current.insert(miner(9), Fingerprint::from_chunks(chunks.collect::<Vec<_>>()));
    assert_eq!(uniqueness(&alone(&current, &standings(8, &[])), 9), 0.5);
}

#[test]
fn samples_have_the_drawn_share_of_chunks() {
    let draw = |seed: u8, chunks: &[usize]| ChunkSample::draw(BlockHash([seed; 32]), chunks);
    let sample = draw(1, &[100_000, 7, 0, 50_000]);
    assert_eq!(sample.chunks().len(), 150_007_usize.div_ceil(256));
    assert!(sample.chunks().windows(2).all(|pair| pair[0] < pair[1]));
    assert!(sample.chunks().iter().all(|&(tensor, chunk)| chunk < [100_000, 7, 0, 50_000][tensor]));
    assert_ne!(draw(2, &[100_000, 7, 0, 50_000]), sample);
    assert_eq!(
        draw(1, &[3, 0, 2]).chunks(),
        [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)],
        "all of a small model"
    );
    assert_eq!(draw(1, &[100, 200]).chunks().len(), 64);
}

#[test]
fn tensors_are_decoded_once_and_only_where_chunks_are_drawn() {
    let tensors = [update(1, 1.0).remove(0), update(2, 1.0).remove(0), update(3, 1.0).remove(0)];
    let sample = ChunkSample { chunks: vec![(0, 3), (0, 9), (2, 1)] };
    let mut decoded = Vec::new();
    let decode = |number: usize| {
        decoded.push(number);
        tensors.get(number).cloned().ok_or(number)
    };
    assert_eq!(Fingerprint::decoding(&sample, decode), Ok(Fingerprint::of(&tensors, &sample)));
    assert_eq!(decoded, [0, 2]);
    assert_eq!(Fingerprint::decoding(&sample, Err::<SparseTensor, usize>), Err(0));
}

#[test]
fn an_update_without_values_overlaps_with_none() {
    let mut current = fingerprints(&(1..=8).map(|seed| update(seed, 1.0)).collect::<Vec<_>>());
    current.insert(miner(9), Fingerprint::from_chunks(vec![Vec::new(); 64]));
    current.insert(miner(10), Fingerprint::from_chunks(vec![vec![(0, f64::NAN), (1, f64::INFINITY)]; 64]));
    let overlaps = alone(&current, &standings(8, &[]));
    assert_eq!((uniqueness(&overlaps, 9), uniqueness(&overlaps, 10)), (1.0, 1.0));
}

#[test]
fn the_threshold_is_a_fifth_or_six_spreads_above_the_median() {
    let baseline = |median, spread| Baseline { median: Millionths(median), spread: Millionths(spread) };
    assert_eq!(baseline(100_000, 0).threshold(), Millionths(300_000));
    assert_eq!(baseline(100_000, 50_000).threshold(), Millionths(400_000));
    assert_eq!(baseline(500_000, 500_000).threshold(), Millionths(900_000));
    assert_eq!(baseline(100_000, 0).excess(Millionths(650_000)), Millionths(500_000));
    assert_eq!(Baseline::of(&[]), Baseline::default());
    let cosines = [1, 2, 3, 4, 100].map(Millionths);
    assert_eq!(Baseline::of(&cosines), baseline(3, 1));
}

proptest! {
    #[test]
    fn overlaps_survive_their_bytes(
        excess in 0..=65_536_000_000i64, class in 0usize..5, partner: [u8; 32], cosine in -1_000_000..=1_000_000i64,
    ) {
        let class = class.checked_sub(1).map(|index| Class::ALL[index]);
        let nearest = class.map(|class| Nearest { class, partner: Hotkey(partner), cosine: Millionths(cosine) });
        let overlap = Overlap { excess: Millionths(excess), nearest };
        let mut writer = Writer::new();
        overlap.write(&mut writer);
        let bytes = writer.into_bytes();
        prop_assert_eq!(bytes.len(), Overlap::BYTES);
        prop_assert_eq!(Overlap::read(&mut Reader::new(&bytes)), Ok(overlap));
        prop_assert!((0..=1_000_000).contains(&overlap.uniqueness().0));
    }

    #[test]
    fn products_are_those_of_all_pairs(seeds in prop::collection::vec(0u64..6, 1..6), left in 0usize..6) {
        let sample = sample();
        let vectors: Vec<_> = seeds.iter().map(|&seed| Fingerprint::of(&update(seed + 1, 0.5), &sample)).collect();
        let left = left.min(vectors.len());
        let found = products::products(&vectors.iter().collect::<Vec<_>>(), left, 2);
        for (row, a) in vectors[..left].iter().enumerate() {
            for (column, b) in vectors.iter().enumerate() {
                let chunk = |chunk: usize| -> i64 {
                    let of: BTreeMap<_, _> = b.chunk(chunk).iter().copied().collect();
                    let product = |&(at, value): &(u16, i16)| i64::from(value) * i64::from(of.get(&at).copied().unwrap_or(0));
                    a.chunk(chunk).iter().map(product).sum()
                };
                let expected: i64 = (0..a.chunks()).map(chunk).sum();
                prop_assert_eq!(found[row * vectors.len() + column], expected);
            }
        }
    }
}
