//! Decides when the next block is sealed.
//!
//! Blocks come at the block time while the chain waits for no node. Before a deadline of the protocol
//! the chain is held until all nodes that should act by then have acted, or until a cap has passed.
//! Other transactions in the pool (weights, announcements) are sealed meanwhile, up to the block before
//! the deadline. So no node waits for the chain while the chain waits for this node.

use base::{Height, Window};
use protocol::clock::{Clock, Heights};
use std::time::Duration;

/// The number of blocks before the close of claims from which on the chain is held. Other transactions
/// can still use these blocks.
const RESERVE: u64 = 10;

/// The act that the chain is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaceStage {
    /// The start of the nodes and the announcement of their buckets, before the run.
    Start,
    /// The claims of a window.
    Claims(Window),
    /// The keys of a window's sealed submissions.
    Keys(Window),
    /// The votes on a window.
    Votes(Window),
    /// The score logs of the last window, after this window.
    End,
}

/// An observation of the network at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The newest block.
    pub head: Height,
    /// The time since a fixed moment.
    pub now: Duration,
    /// The number of nodes that have yet to act in the [`PaceStage`] of this head.
    pub missing: usize,
    /// The number of transactions in the pool, without those that the stage waits for.
    pub waiting: usize,
}

/// The decision of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Seal a block now.
    Seal,
    /// Observe again soon.
    Wait,
}

/// The heights between which a stage holds the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// The height below which the chain is not held.
    free: u64,
    /// The block that is sealed only when no node is missing, or after the cap.
    deadline: u64,
}

/// Decides when blocks are sealed.
#[derive(Clone, Debug)]
pub struct Pacer {
    clock: Clock,
    block: Duration,
    cap: Duration,
    /// The time of the last verdict to seal.
    sealed: Option<Duration>,
    /// The stage that the chain is held for, and the start of the hold.
    held: Option<(PaceStage, Duration)>,
}

impl Pacer {
    /// Creates a pacer for a run, with block time `block` and holds of at most `cap`.
    #[must_use]
    pub fn new(clock: Clock, block: Duration, cap: Duration) -> Self {
        Self { clock, block, cap, sealed: None, held: None }
    }

    /// Returns the stage when `head` is the newest block.
    #[must_use]
    pub fn stage(&self, head: Height) -> PaceStage {
        if head.next() < self.clock.start() {
            return PaceStage::Start;
        }
        self.windows()
            .find_map(|heights| match heights {
                _ if head < heights.claims_close => Some(PaceStage::Claims(heights.window)),
                _ if head < heights.keys_close => Some(PaceStage::Keys(heights.window)),
                _ if head < heights.votes_close => Some(PaceStage::Votes(heights.window)),
                _ => None,
            })
            .unwrap_or(PaceStage::End)
    }

    /// Decides whether to seal a block now. After [`Verdict::Seal`], the caller must seal one before
    /// the next step.
    pub fn step(&mut self, observation: &Observation) -> Verdict {
        let stage = self.stage(observation.head);
        let since = match self.held {
            Some((held, since)) if held == stage => since,
            _ => observation.now,
        };
        self.held =
            (observation.missing > 0 && !self.is_free(stage, observation.head)).then_some((stage, since));
        let too_early = self.sealed.is_some_and(|last| observation.now.saturating_sub(last) < self.block);
        if !too_early && self.may_seal(stage, observation, observation.now.saturating_sub(since)) {
            self.sealed = Some(observation.now);
            Verdict::Seal
        } else {
            Verdict::Wait
        }
    }

    /// Returns the stage that the chain is held for now, and the start of the hold.
    #[must_use]
    pub fn held(&self) -> Option<(PaceStage, Duration)> {
        self.held
    }

    fn may_seal(&self, stage: PaceStage, observation: &Observation, held: Duration) -> bool {
        let next = observation.head.0 + 1;
        observation.missing == 0
            || self.is_free(stage, observation.head)
            || held >= self.cap
            || (observation.waiting > 0 && next < self.bounds(stage).deadline)
    }

    fn is_free(&self, stage: PaceStage, head: Height) -> bool {
        head.0 < self.bounds(stage).free
    }

    /// Returns the bounds of a stage. Nodes act when the block that allows it is final, so the chain is
    /// not held before the finality lag of the run has passed.
    fn bounds(&self, stage: PaceStage) -> Bounds {
        let lag = u64::from(self.clock.spec().finality_lag);
        match stage {
            PaceStage::Start => {
                let start = self.clock.start().0;
                Bounds { free: 1, deadline: start - 1 }
            }
            PaceStage::Claims(window) => self.window(window).map_or(Bounds::NONE, |heights| {
                let deadline = heights.claims_close.0;
                Bounds { free: (deadline - RESERVE).max(heights.first.0), deadline }
            }),
            PaceStage::Keys(window) => self.window(window).map_or(Bounds::NONE, |heights| Bounds {
                free: heights.claims_close.0 + lag,
                deadline: heights.keys_close.0,
            }),
            PaceStage::Votes(window) => self.window(window).map_or(Bounds::NONE, |heights| Bounds {
                free: heights.seed.0 + lag,
                deadline: heights.votes_close.0,
            }),
            PaceStage::End => Bounds::NONE,
        }
    }

    fn window(&self, window: Window) -> Option<Heights> {
        self.clock.heights(window).ok()
    }

    fn windows(&self) -> impl Iterator<Item = Heights> {
        (0..=self.clock.last_window().0).filter_map(|window| self.window(Window(window)))
    }
}

impl Bounds {
    /// No deadline: transactions in the pool are always sealed.
    const NONE: Self = Self { free: 0, deadline: u64::MAX };
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::clock::WindowSpec;

    const BLOCK: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(10);
    const START: u64 = 40;

    fn pacer() -> Pacer {
        let spec = WindowSpec {
            blocks: 30,
            count: 2,
            finality_lag: 3,
            publishing: 1,
            screening: 3,
            claims_close: 3,
            keys_close: 8,
            seed: 12,
            votes_close: 19,
        };
        Pacer::new(Clock::new(Height(START), spec).unwrap(), BLOCK, CAP)
    }

    fn observation(head: u64, missing: usize, waiting: usize) -> Observation {
        Observation { head: Height(head), now: Duration::from_secs(100), missing, waiting }
    }

    /// Returns the first verdict of a new pacer.
    fn verdict(head: u64, missing: usize, waiting: usize) -> Verdict {
        pacer().step(&observation(head, missing, waiting))
    }

    #[test]
    fn each_height_has_its_stage() {
        let stage = |head| pacer().stage(Height(head));
        assert_eq!(stage(0), PaceStage::Start);
        assert_eq!(stage(38), PaceStage::Start);
        assert_eq!(stage(39), PaceStage::Claims(Window(0)));
        assert_eq!(stage(72), PaceStage::Claims(Window(0)));
        assert_eq!(stage(73), PaceStage::Keys(Window(0)));
        assert_eq!(stage(78), PaceStage::Votes(Window(0)));
        assert_eq!(stage(88), PaceStage::Votes(Window(0)));
        assert_eq!(stage(89), PaceStage::Claims(Window(1)));
        assert_eq!(stage(103), PaceStage::Keys(Window(1)));
        assert_eq!(stage(108), PaceStage::Votes(Window(1)));
        assert_eq!(stage(119), PaceStage::End);
    }

    #[test]
    fn blocks_come_at_the_block_time_when_no_node_is_missing() {
        let mut pacer = pacer();
        let at = |ms| Observation { now: Duration::from_millis(ms), ..observation(50, 0, 0) };
        assert_eq!(pacer.step(&at(1000)), Verdict::Seal);
        assert_eq!(pacer.step(&at(1099)), Verdict::Wait);
        assert_eq!(pacer.step(&at(1100)), Verdict::Seal);
    }

    #[test]
    fn the_run_does_not_start_before_all_nodes_are_ready() {
        assert_eq!(verdict(0, 6, 0), Verdict::Seal);
        assert_eq!(verdict(1, 6, 0), Verdict::Wait);
        assert_eq!(verdict(1, 6, 2), Verdict::Seal);
        assert_eq!(verdict(38, 1, 2), Verdict::Wait, "block 39 is the last before the run");
        assert_eq!(verdict(38, 0, 0), Verdict::Seal);
    }

    #[test]
    fn claims_are_waited_for_until_their_block_is_due() {
        assert_eq!(verdict(62, 3, 0), Verdict::Seal, "far from the deadline");
        assert_eq!(verdict(63, 3, 0), Verdict::Wait);
        assert_eq!(verdict(63, 3, 1), Verdict::Seal, "other transactions are sealed");
        assert_eq!(verdict(72, 1, 1), Verdict::Wait, "the last block for claims is held");
        assert_eq!(verdict(72, 0, 0), Verdict::Seal);
    }

    #[test]
    fn keys_are_waited_for_before_their_block_is_due() {
        assert_eq!(verdict(75, 1, 0), Verdict::Seal, "the close of claims must be final first");
        assert_eq!(verdict(76, 1, 0), Verdict::Wait);
        assert_eq!(verdict(77, 1, 0), Verdict::Wait);
        assert_eq!(verdict(77, 1, 1), Verdict::Wait, "block 78 is the last one for keys");
        assert_eq!(verdict(77, 0, 0), Verdict::Seal);
    }

    #[test]
    fn votes_are_waited_for_once_they_can_be_cast() {
        assert_eq!(verdict(84, 3, 0), Verdict::Seal, "the seed's block must be final first");
        assert_eq!(verdict(85, 3, 0), Verdict::Wait);
        assert_eq!(verdict(85, 3, 1), Verdict::Seal);
        assert_eq!(verdict(88, 1, 5), Verdict::Wait);
        assert_eq!(verdict(88, 0, 0), Verdict::Seal);
    }

    #[test]
    fn a_hold_ends_at_its_cap_and_the_next_one_begins_anew() {
        let mut pacer = pacer();
        let at = |head, s| Observation { now: Duration::from_secs(s), ..observation(head, 1, 0) };
        assert_eq!(pacer.step(&at(72, 100)), Verdict::Wait);
        assert_eq!(pacer.held(), Some((PaceStage::Claims(Window(0)), Duration::from_secs(100))));
        assert_eq!(pacer.step(&at(72, 109)), Verdict::Wait);
        assert_eq!(pacer.step(&at(72, 110)), Verdict::Seal);
        assert_eq!(pacer.step(&at(85, 120)), Verdict::Wait);
        assert_eq!(pacer.step(&at(85, 129)), Verdict::Wait);
        assert_eq!(pacer.step(&at(85, 130)), Verdict::Seal);
    }

    #[test]
    fn the_end_waits_for_logs_and_still_seals_transactions() {
        assert_eq!(verdict(500, 1, 0), Verdict::Wait);
        assert_eq!(verdict(500, 1, 1), Verdict::Seal);
        assert_eq!(verdict(500, 0, 0), Verdict::Seal);
    }
}
