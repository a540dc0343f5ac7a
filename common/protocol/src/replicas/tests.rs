//! Tests the draw of custodians: its bytes, its frequencies, and its limits for attackers.

use super::*;
use base::{Height, Hotkey};
use std::collections::{BTreeMap, BTreeSet};

fn id(name: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([name; 32]), registered: Height(7) }
}

/// Creates an electorate of members named 0, 1, 2 and so on.
fn electorate(weights: &[u64]) -> Electorate {
    let names = (0..=u8::MAX).map(id);
    Electorate::of_weights(names.zip(weights.iter().copied()))
}

fn draw(seed: u8, object: u32, electorate: &Electorate) -> Vec<u8> {
    let object = ObjectHash(*blake3::hash(&object.to_le_bytes()).as_bytes());
    let drawn = custodians(BlockHash([seed; 32]), &object, electorate);
    drawn.iter().map(|voter| voter.hotkey.0[0]).collect()
}

/// Returns how often each member is the custodian at each place, in this number of draws.
fn frequencies(electorate: &Electorate, draws: u32) -> BTreeMap<u8, [u32; CUSTODIANS]> {
    let mut counts = BTreeMap::<u8, [u32; CUSTODIANS]>::new();
    for object in 0..draws {
        for (place, name) in draw(1, object, electorate).into_iter().enumerate() {
            counts.entry(name).or_default()[place] += 1;
        }
    }
    counts
}

#[test]
fn the_draw_is_known() {
    let even = electorate(&[1000; 10]);
    let drawn = [draw(1, 1, &even), draw(1, 2, &even), draw(2, 1, &even)];
    assert_eq!(drawn, [[0, 3, 2], [8, 7, 5], [4, 2, 0]]);
    let uneven = electorate(&[5, 1_000_000, 70_000, 65_535 * 50_400, 1]);
    assert_eq!([draw(1, 1, &uneven), draw(1, 2, &uneven)], [[3, 2, 1], [3, 1, 2]]);
}

/// Returns the keepers of the object of `draw(seed, object, electorate)` if these voted for it.
fn keep(seed: u8, object: u32, electorate: &Electorate, voters: &[u8]) -> Vec<u8> {
    let object = ObjectHash(*blake3::hash(&object.to_le_bytes()).as_bytes());
    let voters = voters.iter().copied().map(id).collect();
    let keepers = keepers(BlockHash([seed; 32]), &object, electorate, &voters);
    keepers.iter().map(|keeper| keeper.hotkey.0[0]).collect()
}

#[test]
fn the_keepers_are_known() {
    let even = electorate(&[1000; 10]);
    assert_eq!(draw(1, 1, &even), [0, 3, 2]);
    assert_eq!(keep(1, 1, &even, &[0, 1, 2, 3, 4, 5]), [0, 3, 2], "all custodians voted for it");
    assert_eq!(keep(1, 1, &even, &[1, 2, 4, 5, 6]), [2, 5, 1], "one did");
    assert_eq!(keep(1, 1, &even, &[1, 4, 5, 6, 7, 8, 9]), [9, 6, 5], "none did");
    assert_eq!(keep(1, 1, &even, &[3, 200]), [3, 200], "hotkey 200 is no member");
    assert_eq!(keep(1, 1, &even, &[]), [0; 0]);
    assert_eq!(keep(1, 1, &electorate(&[]), &[9, 8]), [8, 9]);
}

#[test]
fn keepers_are_three_voters_if_three_voted_custodians_first() {
    let weights: Vec<u64> = (1..=12).map(|name| name * name * 500).collect();
    let electorate = electorate(&weights);
    for object in 0..2000_u32 {
        // Each bit is a hotkey: 12 members, and 4 others.
        let bits = object.wrapping_mul(2_654_435_761) >> 16;
        let voters: Vec<u8> = (0..16).filter(|name| bits >> name & 1 == 1).collect();
        let keepers = keep(3, object, &electorate, &voters);
        assert_eq!(keepers.len(), voters.len().min(CUSTODIANS), "{voters:?}");
        assert!(keepers.iter().all(|name| voters.contains(name)), "{keepers:?} of {voters:?}");
        assert_eq!(keepers.iter().collect::<BTreeSet<_>>().len(), keepers.len(), "{keepers:?}");
        let mut first = draw(3, object, &electorate);
        first.retain(|name| voters.contains(name));
        assert!(keepers.starts_with(&first), "{keepers:?} after {first:?}");
    }
}

#[test]
fn the_missing_places_are_drawn_by_weight() {
    // The custodians did not vote for it. Hotkeys 3 to 6 did; the mean is 30, so the cap 60 limits nothing.
    let electorate = electorate(&[30, 30, 30, 12, 24, 36, 48]);
    let mut counts = [0_u32; 7];
    for object in 0..40_000 {
        let drawn = draw(1, object, &electorate);
        let voters: Vec<u8> = (0..7).filter(|name| !drawn.contains(name)).collect();
        if voters == [3, 4, 5, 6] {
            counts[usize::from(keep(1, object, &electorate, &voters)[0])] += 1;
        }
    }
    let all: u32 = counts.iter().sum();
    assert!(all > 500, "{all} of the draws");
    for (name, share) in [(3, 0.1), (4, 0.2), (5, 0.3), (6, 0.4)] {
        let found = f64::from(counts[name]) / f64::from(all);
        // The standard deviation of a share is at most 0.022.
        assert!((found - share).abs() < 0.08, "{name}: {found} of {all}");
    }
}

#[test]
fn few_members_are_all_custodians() {
    for count in 0..=3 {
        let mut drawn = draw(1, 1, &electorate(&[1, 1_000_000, 3][..count]));
        drawn.sort_unstable();
        assert_eq!(drawn, (0..count as u8).collect::<Vec<_>>());
    }
}

#[test]
fn members_are_drawn_by_weight() {
    // The mean is 25, so the cap is 50 and limits nothing.
    let counts = frequencies(&electorate(&[10, 20, 30, 40]), 10_000);
    let first: Vec<u32> = counts.values().map(|places| places[0]).collect();
    // The standard deviations are 30, 40, 46 and 49.
    for (found, expected) in first.iter().zip([1000_u32, 2000, 3000, 4000]) {
        assert!(found.abs_diff(expected) < 200, "{first:?}");
    }
    // The second is drawn from those that are left: for the first member, 0.1 of the draws times the sum
    // of p / (1 - p) over the other three, which is 0.25 + 0.428571 + 0.666667.
    assert!(counts[&0][1].abs_diff(1345) < 200, "{counts:?}");
}

#[test]
fn a_custodian_is_drawn_once_and_only_members_with_weight_are() {
    let even = electorate(&[7; 64]);
    for object in 0..500 {
        let mut drawn = draw(1, object, &even);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), CUSTODIANS);
    }
}

/// Computes the probability that all three custodians are hostile, for hostile members of one weight
/// and honest members of another, neither above the cap.
fn all_hostile(hostile: (u32, f64), honest: (u32, f64)) -> f64 {
    let held = |drawn: u32| f64::from(hostile.0 - drawn) * hostile.1;
    let others = f64::from(honest.0) * honest.1;
    (0..3).map(|drawn| held(drawn) / (held(drawn) + others)).product()
}

/// Shows the attack A4 at its end: 40 of 64 members are hostile, with a tenth of the stake. When hotkeys
/// were drawn without regard to stake, all custodians of an object were hostile in 24 % of the draws.
#[test]
fn a4_many_hotkeys_with_little_stake_hold_few_objects_alone() {
    assert!((all_hostile((40, 1.0), (24, 1.0)) - 0.237).abs() < 0.001, "without regard to stake");
    // 40 x 100 and 24 x 1500: a tenth of the weight. The cap is a quarter of it, and limits nothing.
    let weights: Vec<u64> = [100; 40].into_iter().chain([1500; 24]).collect();
    let expected = all_hostile((40, 100.0), (24, 1500.0));
    assert!((0.0009..0.001).contains(&expected), "{expected}");
    let electorate = electorate(&weights);
    let draws = 20_000;
    let hostile = (0..draws).filter(|&object| draw(1, object, &electorate).iter().all(|&name| name < 40));
    let hostile = hostile.count();
    // 19 are expected, give or take 4.3.
    assert!((4..=36).contains(&hostile), "{hostile} of {draws}, expected {}", expected * 20_000.0);
}

#[test]
fn a_whale_is_capped() {
    // Nine tenths of the weight, but the cap is a quarter of it: 249,999 of 249,999 + 9 x 11,111.
    let mut weights = vec![900_000];
    weights.extend([11_111; 9]);
    let counts = frequencies(&electorate(&weights), 4000);
    let total = 999_999_u64;
    let cap = total / 4;
    let share = cap as f64 / (cap + 99_999) as f64;
    let first = f64::from(counts[&0][0]) / 4000.0;
    assert!((first - share).abs() < 0.04, "{first}, expected {share}");
    assert!((0.71..0.72).contains(&share), "without the cap it is 0.9");
    // An electorate of equals is not limited.
    let even = frequencies(&electorate(&[65_535 * 50_400; 10]), 2000);
    assert!(even.values().all(|places| places[0].abs_diff(200) < 80), "{even:?}");
}

/// Checks 6 hostile members with 14 % of the weight beside an honest one with 60 % and 40 others. With a cap
/// of twice the mean, all custodians were hostile in 2 % of the draws.
#[test]
fn a4_a_whale_keeps_its_places_from_hostile_members() {
    let weights = [60_000].into_iter().chain([2_333; 6]).chain([650; 40]).collect::<Vec<_>>();
    let before = all_hostile((6, 2333.0), (1, 4255.0 + 26_000.0));
    let expected = all_hostile((6, 2333.0), (1, 25_000.0 + 26_000.0));
    assert!(before > 0.02 && expected < 0.0065, "{before} {expected}");
    let electorate = electorate(&weights);
    let is_hostile = |name: &u8| (1..=6).contains(name);
    let hostile = (0..10_000).filter(|&object| draw(1, object, &electorate).iter().all(is_hostile)).count();
    // 62 are expected, give or take 8.
    assert!((30..=94).contains(&hostile), "{hostile}");
}

#[test]
fn numbers_are_below_their_bound_and_equally_likely() {
    let mut lots = Lots::new(BlockHash([1; 32]), &ObjectHash([2; 32]));
    assert_eq!((lots.below(0), lots.below(1)), (0, 0));
    // Two thirds of the range: without rejection, the lower half of the numbers is twice as likely.
    let bound = u128::MAX / 3 * 2;
    let low = (0..3000).filter(|_| lots.below(bound) < bound / 2).count();
    assert!((1350..1650).contains(&low), "{low}");
    let mut counts = [0_u32; 7];
    (0..7000).for_each(|_| counts[lots.below(7) as usize] += 1);
    assert!(counts.iter().all(|count| count.abs_diff(1000) < 150), "{counts:?}");
}
