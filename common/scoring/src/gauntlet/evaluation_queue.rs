//! The order of evaluations: all claimants in turn, until the time budget is spent.
//!
//! [`EvaluationPriority`] is a validator's memory between windows, [`EvaluationQueue`] is the
//! evaluation queue of one window. Time is an input: the caller passes the elapsed time to
//! [`EvaluationQueue::next`] and gets the next miner to evaluate, among those whose submissions are there.

use super::{Standings, drawn};
use base::{BlockHash, Height, Hotkey, Millionths, NeuronId};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// The miners that were cut from past windows, and come first in the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationPriority {
    /// Number of windows in a row from which each miner was cut.
    priority: BTreeMap<Hotkey, u32>,
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
    priority: EvaluationPriority,
    queue: VecDeque<NeuronId>,
    put_off: BTreeSet<NeuronId>,
    budget: Duration,
    /// The time at which the evaluation in progress began.
    begun: Option<Duration>,
    longest: Duration,
}

/// The next step of an evaluation queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Evaluate this miner.
    Of(NeuronId),
    /// No submission is ready yet.
    NotReady,
    /// No more evaluation in this window.
    Over,
}

impl EvaluationPriority {
    /// Returns the claimants in the order of their turns.
    ///
    /// First come miners that were cut, those cut for the longest time first. Then come immune
    /// newcomers, since they have little time to be evaluated. Then come all others, the best rated first.
    /// The chain seeds a permutation of equals.
    #[must_use]
    pub fn order(&self, draw: &Draw, standings: &Standings, claimants: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
        let key = |&miner: &NeuronId| {
            let hotkey = miner.hotkey;
            let priority = self.priority.get(&hotkey).copied().unwrap_or(0);
            let rating = standings.get(&hotkey).map(|standing| standing.rating).unwrap_or_default();
            let immune = draw.is_immune(miner);
            // Newcomers have no rating of meaning yet.
            let rank = if immune { Millionths::ZERO } else { rating.ordinal() };
            (Reverse(priority), !immune, Reverse(rank), drawn("muster v1 turns", draw.seed, hotkey))
        };
        let mut order: Vec<_> = claimants.iter().copied().collect();
        order.sort_by_cached_key(key);
        order
    }

    /// Returns the memory after a window from which the miners `cut` were cut. A validator that
    /// restarts reads them from its score logs.
    #[must_use]
    pub fn after(&self, cut: &BTreeSet<Hotkey>) -> Self {
        let times = |miner| self.priority.get(miner).copied().unwrap_or(0).saturating_add(1);
        Self { priority: cut.iter().map(|miner| (*miner, times(miner))).collect() }
    }

    /// Creates the evaluation queue of a window in which evaluations may take `budget`.
    #[must_use]
    pub fn begin(
        &self,
        draw: &Draw,
        standings: &Standings,
        claimants: &BTreeSet<NeuronId>,
        budget: Duration,
    ) -> EvaluationQueue {
        let queue = self.order(draw, standings, claimants).into();
        let put_off = BTreeSet::new();
        let priority = self.clone();
        EvaluationQueue { priority, queue, put_off, budget, begun: None, longest: Duration::ZERO }
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
    /// Returns the turn, `elapsed` after the beginning: that of the first miner whose submission is ready. No
    /// miner waits for another one's download.
    ///
    /// The turns are over when all miners had theirs, or when one more evaluation, as long as the longest so
    /// far, would not end in time.
    pub fn next(&mut self, elapsed: Duration, is_ready: impl Fn(&NeuronId) -> bool) -> Turn {
        if let Some(begun) = self.begun.take() {
            self.longest = self.longest.max(elapsed.saturating_sub(begun));
        }
        if self.queue.is_empty() || elapsed + self.longest > self.budget {
            return Turn::Over;
        }
        let ready = self.queue.iter().position(is_ready).and_then(|place| self.queue.remove(place));
        self.begun = ready.map(|_| elapsed);
        ready.map_or(Turn::NotReady, Turn::Of)
    }

    /// Returns the miners that come next, in order, to have their submissions ready.
    pub fn upcoming(&self) -> impl Iterator<Item = &NeuronId> {
        self.queue.iter()
    }

    /// Records a miner that the validator, by its own fault, could not evaluate. The miner counts as cut.
    pub fn put_off(&mut self, miner: NeuronId) {
        self.put_off.insert(miner);
    }

    /// Ends the window. Returns the miners that were cut, and the memory for the next window.
    #[must_use]
    pub fn end(self) -> (BTreeSet<Hotkey>, EvaluationPriority) {
        let cut = self.queue.into_iter().chain(self.put_off).map(|miner| miner.hotkey).collect();
        let priority = self.priority.after(&cut);
        (cut, priority)
    }
}

#[cfg(test)]
mod tests;
