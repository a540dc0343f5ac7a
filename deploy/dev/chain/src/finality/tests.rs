use proptest::{collection::vec, prelude::*};

use super::*;

/// Returns the finalized height at each height from 0 to `end`.
fn finalized(settings: Finality, end: u32) -> Vec<u32> {
    let tracker = Tracker::new(settings);
    let mut finalized = 0;
    let advance = |best| {
        finalized = tracker.advance(finalized, best);
        finalized
    };
    (0..=end).map(advance).collect()
}

#[test]
fn each_block_is_final_at_once_by_default() {
    assert_eq!(finalized(Finality::default(), 5), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn finality_stays_behind_by_the_lag() {
    for lag in [2, 3, 10] {
        let expected: Vec<u32> = (0..=40_u32).map(|best| best.saturating_sub(lag)).collect();
        assert_eq!(finalized(Finality { lag, ..Finality::default() }, 40), expected, "lag {lag}");
    }
}

#[test]
fn jitter_adds_to_the_lag_and_depends_on_the_seed() {
    let lags = |seed| {
        let settings = Finality { lag: 3, jitter: 4, seed, ..Finality::default() };
        let finalized = finalized(settings, 500);
        (10..=500).map(|best| best - finalized[best as usize]).collect::<Vec<u32>>()
    };
    let first = lags(1);
    for lag in 3..=7 {
        assert!(first.contains(&lag), "lag {lag}");
    }
    assert!(first.iter().all(|lag| (3..=7).contains(lag)));
    assert_eq!(first, lags(1));
    assert_ne!(first, lags(2));
}

#[test]
fn a_stall_ends_with_a_jump() {
    let mut tracker = Tracker::new(Finality { lag: 2, ..Finality::default() });
    assert_eq!(tracker.advance(7, 10), 8);
    tracker.stall(10, 5);
    for best in 11..=15 {
        assert_eq!(tracker.advance(8, best), 8);
    }
    assert_eq!(tracker.advance(8, 16), 14);
    tracker.stall(16, 100);
    tracker.stall(17, 0);
    assert_eq!(tracker.advance(14, 18), 16, "0 ends a stall");
}

#[test]
fn periodic_stalls_have_their_length_and_one_place_a_period() {
    let settings = Finality { lag: 1, stall_every: 20, stall_blocks: 6, seed: 5, ..Finality::default() };
    let finalized = finalized(settings, 2000);
    let mut places = std::collections::BTreeSet::new();
    for period in 1..100 {
        let stands = |best: &usize| finalized[*best] == finalized[best - 1];
        let stalled: Vec<usize> = (period * 20..period * 20 + 20).filter(stands).collect();
        assert_eq!(stalled.len(), 6, "period {period}");
        assert_eq!(stalled[5] - stalled[0], 5, "in one piece, period {period}");
        assert_eq!(finalized[stalled[5] + 1], stalled[5] as u32, "caught up, period {period}");
        places.insert(stalled[0] % 20);
    }
    assert!(places.len() > 5, "{places:?}");
}

#[test]
fn drops_come_at_their_rate_and_depth() {
    let settings = Finality { drop_every: 10, drop_depth: 3, ..Finality::default() };
    let tracker = Tracker::new(settings);
    let depths: Vec<u32> = (0..10_000).map(|best| tracker.drops(0, best)).collect();
    let drops = depths.iter().filter(|depth| **depth > 0).count();
    assert!((800..1200).contains(&drops), "{drops} of 10000 blocks, 1000 expected");
    for depth in 1..=3 {
        assert!(depths.contains(&depth), "depth {depth}");
    }
    assert!(depths.iter().all(|depth| *depth <= 3));
    assert!((0..10_000).all(|best| tracker.drops(best, best) == 0), "final blocks are not dropped");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let good = Finality { lag: 3, stall_every: 8, stall_blocks: 7, drop_every: 2, ..Finality::default() };
    assert_eq!(good.check(), Ok(()));
    let cases = [
        (Finality { stall_every: 7, ..good.clone() }, FinalityError::Stall { blocks: 7, every: 7 }),
        (Finality { stall_every: 0, ..good.clone() }, FinalityError::Stall { blocks: 7, every: 0 }),
        (Finality { drop_every: 1, ..good.clone() }, FinalityError::DropEvery),
        (Finality { drop_depth: 0, ..good.clone() }, FinalityError::DropDepth(0)),
        (Finality { drop_depth: MAX_DROP + 1, ..good }, FinalityError::DropDepth(MAX_DROP + 1)),
    ];
    for (settings, expected) in cases {
        assert_eq!(settings.check(), Err(expected));
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Seal,
    Drop(u32),
    Stall(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Seal),
        1 => (1..20_u32).prop_map(Event::Drop),
        1 => (0..30_u32).prop_map(Event::Stall),
    ]
}

fn settings() -> impl Strategy<Value = Finality> {
    let stalls = prop_oneof![Just((0, 0)), (2..40_u32).prop_flat_map(|every| (Just(every), 0..every))];
    let drops = (prop_oneof![Just(0), 2..20_u32], 1..10_u32);
    (0..15_u32, 0..10_u32, stalls, drops, any::<u64>()).prop_map(|(lag, jitter, stall, drop, seed)| {
        Finality {
            lag,
            jitter,
            stall_every: stall.0,
            stall_blocks: stall.1,
            drop_every: drop.0,
            drop_depth: drop.1,
            seed,
        }
    })
}

proptest! {
    /// Plays a chain: each block is a number that no other block has.
    #[test]
    fn the_finalized_chain_only_grows(settings in settings(), events in vec(event(), 1..300)) {
        prop_assert_eq!(settings.check(), Ok(()));
        let (lag, jitter) = (settings.lag, settings.jitter);
        let mut tracker = Tracker::new(settings);
        let (mut blocks, mut next) = (vec![0_u32], 1..);
        let mut finalized = 0;
        for event in events {
            let best = blocks.len() as u32 - 1;
            let depth = match event {
                Event::Seal => tracker.drops(finalized, best),
                Event::Drop(count) => count.min(best - finalized),
                Event::Stall(count) => {
                    tracker.stall(best, count);
                    continue;
                }
            };
            let before = blocks.clone();
            blocks.truncate((best - depth) as usize + 1);
            blocks.extend(next.by_ref().take(depth as usize + 1));
            let best = best + 1;
            let now = tracker.advance(finalized, best);

            prop_assert!(now >= finalized, "finality goes backwards");
            prop_assert!(now <= best, "a block that does not exist is final");
            let was_final = ..=finalized as usize;
            prop_assert_eq!(&blocks[was_final], &before[was_final], "a final block was dropped");
            prop_assert!(now == finalized || best - now >= lag, "finality is too early");
            let late = lag + jitter;
            prop_assert!(tracker.is_stalled(best) || best - now <= late, "finality is too late");
            finalized = now;
        }
    }
}
