use super::*;
use crate::{
    gauntlet::{Field, Standing},
    ratings::Rating,
};
use base::Hotkey;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn miner(index: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([index; 32]), registered: Height(if index < 3 { 900 } else { 10 }) }
}

fn draw(seed: u8) -> Draw {
    Draw { seed: BlockHash([seed; 32]), height: Height(1000), immunity_period: 200 }
}

fn claimants(count: u8) -> BTreeSet<NeuronId> {
    (0..count).map(miner).collect()
}

/// Returns the next miner, where all submissions are ready.
fn next(queue: &mut EvaluationQueue, elapsed: Duration) -> Option<NeuronId> {
    match queue.next(elapsed, |_| true) {
        Turn::Of(miner) => Some(miner),
        Turn::Over => None,
        Turn::NotReady => panic!("all are ready"),
    }
}

/// Runs evaluations of one second each for `budget` seconds.
fn run(
    priority: &EvaluationPriority,
    seed: u8,
    count: u8,
    budget: u32,
) -> (Vec<NeuronId>, EvaluationPriority) {
    let mut queue = priority.begin(&draw(seed), &Standings::default(), &claimants(count), SECOND * budget);
    let mut done = Vec::new();
    while let Some(miner) = next(&mut queue, SECOND * done.len() as u32) {
        done.push(miner);
    }
    (done, queue.end().1)
}

#[test]
fn newcomers_come_first_and_each_seed_draws_anew() {
    let order = EvaluationPriority::default().order(&draw(1), &Standings::default(), &claimants(40));
    assert!(order[..3].iter().all(|&miner| draw(1).is_immune(miner)), "{order:?}");
    assert!(!order[3..].iter().any(|&miner| draw(1).is_immune(miner)));
    assert_eq!(order, EvaluationPriority::default().order(&draw(1), &Standings::default(), &claimants(40)));
    assert_ne!(order, EvaluationPriority::default().order(&draw(2), &Standings::default(), &claimants(40)));
}

#[test]
fn the_better_rated_come_first_among_established_miners() {
    let rating = |index: i64| Rating::new(Millionths(index * 1_000_000), Millionths(1_000_000));
    let standing =
        |index: u8| (miner(index).hotkey, Standing { rating: rating(index.into()), ..Standing::default() });
    let standings = Standings::new(Field::default(), (0..10).map(standing).collect());
    let order = EvaluationPriority::default().order(&draw(1), &standings, &claimants(10));
    let expected: Vec<_> = (3..10).rev().map(miner).collect();
    assert_eq!(order[3..], expected, "the first three are newcomers");
    let cut = EvaluationPriority::default().after(&[miner(4).hotkey].into());
    assert_eq!(cut.order(&draw(1), &standings, &claimants(10))[0], miner(4));
}

#[test]
fn who_was_cut_comes_first_next_time() {
    let (first, priority) = run(&EvaluationPriority::default(), 1, 10, 4);
    let (second, priority) = run(&priority, 2, 10, 4);
    let (third, _) = run(&priority, 3, 10, 4);
    assert_eq!((first.len(), second.len(), third.len()), (4, 4, 4));
    assert!(second.iter().all(|miner| !first.contains(miner)));
    let twice_cut: Vec<_> =
        claimants(10).into_iter().filter(|m| !first.contains(m) && !second.contains(m)).collect();
    assert_eq!(twice_cut.len(), 2);
    assert!(
        twice_cut.iter().all(|miner| third[..2].contains(miner)),
        "those cut for the longest time come first"
    );
}

#[test]
fn no_evaluation_begins_that_would_not_end() {
    let mut queue =
        EvaluationPriority::default().begin(&draw(1), &Standings::default(), &claimants(5), SECOND * 10);
    assert!(next(&mut queue, Duration::ZERO).is_some());
    assert!(next(&mut queue, SECOND * 4).is_some());
    assert_eq!(next(&mut queue, SECOND * 7), None, "one took 4 seconds, 3 seconds remain");
    let (cut, _) = queue.end();
    assert_eq!(cut.len(), 3);
}

#[test]
fn who_was_put_off_is_cut() {
    let mut queue =
        EvaluationPriority::default().begin(&draw(1), &Standings::default(), &claimants(1), SECOND);
    let miner = next(&mut queue, Duration::ZERO).unwrap();
    queue.put_off(miner);
    assert_eq!(next(&mut queue, Duration::ZERO), None, "not twice in one window");
    assert_eq!(queue.end().0, BTreeSet::from([miner.hotkey]));
}

#[test]
fn a1_a_miner_that_is_not_ready_delays_no_other() {
    let mut queue =
        EvaluationPriority::default().begin(&draw(1), &Standings::default(), &claimants(3), SECOND * 100);
    let order: Vec<_> = queue.upcoming().copied().collect();
    assert_eq!(queue.next(SECOND, |miner| *miner != order[0]), Turn::Of(order[1]));
    assert_eq!(queue.next(SECOND * 2, |miner| *miner != order[0]), Turn::Of(order[2]));
    assert_eq!(queue.next(SECOND * 3, |_| false), Turn::NotReady);
    // The wait for it counts as no evaluation.
    assert_eq!(queue.next(SECOND * 98, |_| true), Turn::Of(order[0]));
    assert_eq!(queue.next(SECOND * 99, |_| true), Turn::Over);
}

proptest! {
    #[test]
    fn each_miner_has_a_turn_within_enough_windows(count in 1u8..60, budget in 1u32..20) {
        let mut priority = EvaluationPriority::default();
        let mut seen = BTreeSet::new();
        for seed in 0..u32::from(count).div_ceil(budget) {
            let (done, next) = run(&priority, seed as u8, count, budget);
            prop_assert_eq!(done.len() as u32, budget.min(count.into()));
            seen.extend(done);
            priority = next;
        }
        prop_assert_eq!(seen, claimants(count));
    }
}
