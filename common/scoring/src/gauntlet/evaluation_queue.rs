//! The order of evaluations: all claimants in turn, in the same order on every validator, until the
//! time budget is spent.
//!
//! [`EvaluationPriority`] is a validator's memory between windows, [`EvaluationQueue`] is the
//! evaluation queue of one window. Time is an input: the caller passes the elapsed time to
//! [`EvaluationQueue::next`] and gets the next miner to evaluate.

use super::drawn;
use base::{BlockHash, Height, NeuronId};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// The miners that were cut from past windows and are still priority a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationPriority {
    /// Number of windows in a row from which each miner was cut.
    priority: BTreeMap<NeuronId, u32>,
}

/// The chain state that determines the order of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Hash of the finalized block that seeds the order.
    pub seed: BlockHash,
    /// The block at which immunity is checked.
    pub height: Height,
    /// Number of blocks for which a new registration is immune (`ImmunityPeriod`).
    pub immunity_period: u64,
}

/// The evaluation queue of one window.
#[derive(Clone, Debug)]
pub struct EvaluationQueue {
    priority: BTreeMap<NeuronId, u32>,
    queue: VecDeque<NeuronId>,
    put_off: BTreeSet<NeuronId>,
    budget: Duration,
    last: Duration,
    longest: Duration,
}

impl EvaluationPriority {
    /// Returns the claimants in the order of their turns.
    ///
    /// First come miners that were cut, those cut for the longest time first. Then come immune
    /// newcomers, since they have little time to be evaluated. Then come all others. Within each group
    /// the chain seeds a permutation.
    #[must_use]
    pub fn order(&self, draw: &Draw, claimants: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
        let key = |&miner: &NeuronId| {
            let priority = self.priority.get(&miner).copied().unwrap_or(0);
            let established = !draw.is_immune(miner);
            (u32::MAX - priority, established, drawn("muster v1 turns", draw.seed, miner))
        };
        let mut order: Vec<_> = claimants.iter().copied().collect();
        order.sort_by_cached_key(key);
        order
    }

    /// Returns the memory after a window from which the miners `cut` were cut. A validator that
    /// restarts reads them from its score logs.
    #[must_use]
    pub fn after(&self, cut: &BTreeSet<NeuronId>) -> Self {
        let times = |miner| self.priority.get(miner).copied().unwrap_or(0).saturating_add(1);
        Self { priority: cut.iter().map(|miner| (*miner, times(miner))).collect() }
    }

    /// Creates the evaluation queue of a window in which evaluations may take `budget`.
    #[must_use]
    pub fn begin(&self, draw: &Draw, claimants: &BTreeSet<NeuronId>, budget: Duration) -> EvaluationQueue {
        let queue = self.order(draw, claimants).into();
        let put_off = BTreeSet::new();
        let zero = Duration::ZERO;
        EvaluationQueue { priority: self.priority.clone(), queue, put_off, budget, last: zero, longest: zero }
    }
}

impl Draw {
    /// Returns whether the chain still protects the miner as a new registration.
    #[must_use]
    pub fn is_immune(&self, miner: NeuronId) -> bool {
        self.height.0.saturating_sub(miner.registered.0) < self.immunity_period
    }
}

impl EvaluationQueue {
    /// Returns the next miner to evaluate, `elapsed` after the beginning.
    ///
    /// Returns `None` when all miners had their turn, or when one more evaluation, as long as the
    /// longest so far, would not end in time.
    pub fn next(&mut self, elapsed: Duration) -> Option<NeuronId> {
        self.longest = self.longest.max(elapsed.saturating_sub(self.last));
        self.last = elapsed;
        if elapsed + self.longest > self.budget {
            return None;
        }
        self.queue.pop_front()
    }

    /// Records a miner that the validator, by its own fault, could not evaluate. The miner counts as cut.
    pub fn put_off(&mut self, miner: NeuronId) {
        self.put_off.insert(miner);
    }

    /// Ends the window. Returns the miners that were cut, and the memory for the next window.
    #[must_use]
    pub fn end(self) -> (BTreeSet<NeuronId>, EvaluationPriority) {
        let cut: BTreeSet<_> = self.queue.into_iter().chain(self.put_off).collect();
        let turns = EvaluationPriority { priority: self.priority }.after(&cut);
        (cut, turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// Runs evaluations of one second each for `budget` seconds.
    fn run(
        turns: &EvaluationPriority,
        seed: u8,
        count: u8,
        budget: u32,
    ) -> (Vec<NeuronId>, EvaluationPriority) {
        let mut round = turns.begin(&draw(seed), &claimants(count), SECOND * budget);
        let mut done = Vec::new();
        while let Some(miner) = round.next(SECOND * done.len() as u32) {
            done.push(miner);
        }
        (done, round.end().1)
    }

    #[test]
    fn newcomers_come_first_and_each_seed_draws_anew() {
        let order = EvaluationPriority::default().order(&draw(1), &claimants(40));
        assert!(order[..3].iter().all(|&miner| draw(1).is_immune(miner)), "{order:?}");
        assert!(!order[3..].iter().any(|&miner| draw(1).is_immune(miner)));
        assert_eq!(order, EvaluationPriority::default().order(&draw(1), &claimants(40)));
        assert_ne!(order, EvaluationPriority::default().order(&draw(2), &claimants(40)));
    }

    #[test]
    fn who_was_cut_comes_first_next_time() {
        let (first, turns) = run(&EvaluationPriority::default(), 1, 10, 4);
        let (second, turns) = run(&turns, 2, 10, 4);
        let (third, _) = run(&turns, 3, 10, 4);
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
        let mut round = EvaluationPriority::default().begin(&draw(1), &claimants(5), SECOND * 10);
        assert!(round.next(Duration::ZERO).is_some());
        assert!(round.next(SECOND * 4).is_some());
        assert_eq!(round.next(SECOND * 7), None, "one took 4 seconds, 3 seconds remain");
        let (cut, _) = round.end();
        assert_eq!(cut.len(), 3);
    }

    #[test]
    fn who_was_put_off_is_cut() {
        let mut round = EvaluationPriority::default().begin(&draw(1), &claimants(1), SECOND);
        let miner = round.next(Duration::ZERO).unwrap();
        round.put_off(miner);
        assert_eq!(round.next(Duration::ZERO), None, "not twice in one window");
        assert_eq!(round.end().0, BTreeSet::from([miner]));
    }

    proptest! {
        #[test]
        fn each_miner_has_a_turn_within_enough_windows(count in 1u8..60, budget in 1u32..20) {
            let mut turns = EvaluationPriority::default();
            let mut seen = BTreeSet::new();
            for seed in 0..u32::from(count).div_ceil(budget) {
                let (done, next) = run(&turns, seed as u8, count, budget);
                prop_assert_eq!(done.len() as u32, budget.min(count.into()));
                seen.extend(done);
                turns = next;
            }
            prop_assert_eq!(seen, claimants(count));
        }
    }
}
