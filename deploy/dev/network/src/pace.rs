//! Decides when the next block is sealed.
//!
//! Blocks come at the block time while the chain waits for no node. Before a deadline of the protocol
//! the chain is held until all nodes that should act by then have acted, or until a cap has passed.
//! Nodes act when the block that allows it is final, so the chain is not held before that. Other
//! transactions in the pool (weights, announcements) are sealed meanwhile, up to the block before the
//! deadline, and so are the blocks that make them final: a node goes on when its transaction is final.
//! So no node waits for the chain while the chain waits for this node.
//!
//! In real time nothing is held: a node that is late misses the deadline, as on a real chain.

use base::{Height, Window};
use protocol::{
    clock::{Clock, Heights},
    machine::validator::VOTE_BLOCKS,
};
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
    /// The downloads of a window's submissions by validators. They ask for the last keys before the seed can
    /// be known.
    Collected(Window),
    /// The votes on a window.
    Votes(Window),
    /// The score logs of the last window, after this window.
    End,
}

impl PaceStage {
    /// Returns the window that the nodes act for, if the stage is of one.
    #[must_use]
    pub fn window(self) -> Option<Window> {
        match self {
            Self::Claims(window) | Self::Keys(window) | Self::Collected(window) | Self::Votes(window) => {
                Some(window)
            }
            Self::Start | Self::End => None,
        }
    }
}

/// An observation of the network at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The newest block.
    pub head: Height,
    /// The newest final block.
    pub finalized: Height,
    /// The time since a fixed moment.
    pub now: Duration,
    /// The number of nodes that have yet to act in the [`PaceStage`] of this head.
    pub missing: usize,
    /// The number of transactions in the pool, without those that the stage waits for.
    pub waiting: usize,
    /// Whether a transaction is in a block that is not final yet.
    pub settling: bool,
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
    /// The newest block below which the chain is not held.
    free: u64,
    /// The block that must be final before the chain is held: the nodes can act then.
    ready: u64,
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

    /// Creates a pacer that holds nothing: a block comes at each block time.
    #[must_use]
    pub fn real_time(clock: Clock, block: Duration) -> Self {
        Self::new(clock, block, Duration::ZERO)
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
                _ if head < heights.seed => Some(PaceStage::Collected(heights.window)),
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
        self.held = (observation.missing > 0 && !self.is_free(stage, observation)).then_some((stage, since));
        if observation.now < self.due(observation.now) {
            return Verdict::Wait;
        }
        if !self.may_seal(stage, observation, observation.now.saturating_sub(since)) {
            return Verdict::Wait;
        }
        self.sealed = Some(self.due(observation.now));
        Verdict::Seal
    }

    /// Returns the time at which the next block is due. A block that was late by less than a block time
    /// does not shift those after it.
    fn due(&self, now: Duration) -> Duration {
        let due = self.sealed.map_or(now, |last| last + self.block);
        if now.saturating_sub(due) < self.block { due } else { now }
    }

    /// Returns the stage that the chain is held for now, and the start of the hold.
    #[must_use]
    pub fn held(&self) -> Option<(PaceStage, Duration)> {
        self.held
    }

    fn may_seal(&self, stage: PaceStage, observation: &Observation, held: Duration) -> bool {
        let next = observation.head.0 + 1;
        let has_transaction = observation.waiting > 0 || observation.settling;
        observation.missing == 0
            || self.is_free(stage, observation)
            || held >= self.cap
            || (has_transaction && next < self.bounds(stage).deadline)
    }

    fn is_free(&self, stage: PaceStage, observation: &Observation) -> bool {
        let bounds = self.bounds(stage);
        observation.head.0 < bounds.free || observation.finalized.0 < bounds.ready
    }

    /// Returns the bounds of a stage.
    fn bounds(&self, stage: PaceStage) -> Bounds {
        let of = |window, bounds: fn(&Self, &Heights) -> Bounds| {
            self.window(window).map_or(Bounds::NONE, |heights| bounds(self, &heights))
        };
        match stage {
            PaceStage::Start => Bounds { free: 1, ready: 0, deadline: self.clock.start().0 - 1 },
            PaceStage::Claims(window) => of(window, |pacer, heights| {
                let deadline = heights.claims_close.0;
                let free = (deadline - RESERVE).max(heights.first.0);
                Bounds { free, ready: opens(&pacer.clock, heights).0, deadline }
            }),
            PaceStage::Keys(window) => of(window, |_, heights| Bounds {
                free: 0,
                ready: heights.claims_close.0,
                deadline: heights.keys_close.0,
            }),
            PaceStage::Collected(window) => of(window, |_, heights| Bounds {
                free: 0,
                ready: heights.keys_close.0,
                deadline: heights.seed.0,
            }),
            // Validators end their screen when a block before that is final: other transactions must not take
            // its time.
            PaceStage::Votes(window) => of(window, |_, heights| Bounds {
                free: 0,
                ready: heights.seed.0,
                deadline: heights.votes_close.0 - VOTE_BLOCKS,
            }),
            PaceStage::End => of(self.clock.last_window(), |_, heights| Bounds {
                ready: heights.votes_close.0,
                ..Bounds::NONE
            }),
        }
    }

    /// Returns whether a later block can still become final before the seed of the window can be known. A
    /// validator that began late goes on with its downloads until then.
    #[must_use]
    pub fn goes_on_collecting(&self, window: Window, finalized: Height) -> bool {
        let lag = u64::from(self.clock.spec().finality_lag);
        self.window(window).is_some_and(|heights| finalized.0 + lag + 1 < heights.seed.0)
    }

    fn window(&self, window: Window) -> Option<Heights> {
        self.clock.heights(window).ok()
    }

    fn windows(&self) -> impl Iterator<Item = Heights> {
        (0..=self.clock.last_window().0).filter_map(|window| self.window(Window(window)))
    }
}

/// Returns the block that must be final before miners can train in a window: the last one for votes on
/// the window before, or the first one of the run.
pub(crate) fn opens(clock: &Clock, heights: &Heights) -> Height {
    let before = heights.window.0.checked_sub(1).and_then(|before| clock.heights(Window(before)).ok());
    before.map_or(heights.first, |before| before.votes_close)
}

impl Bounds {
    /// No deadline: transactions in the pool are always sealed.
    const NONE: Self = Self { free: 0, ready: 0, deadline: u64::MAX };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::tiny_window;
    use protocol::clock::WindowSpec;

    const BLOCK: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(10);
    const START: u64 = 40;

    fn pacer() -> Pacer {
        let spec = WindowSpec { count: 2, ..tiny_window() };
        Pacer::new(Clock::new(Height(START), spec).unwrap(), BLOCK, CAP)
    }

    /// Returns an observation with finality at the lag of the run.
    fn observation(head: u64, missing: usize, waiting: usize) -> Observation {
        let (finalized, now) = (Height(head.saturating_sub(3)), Duration::from_secs(100));
        Observation { head: Height(head), finalized, now, missing, waiting, settling: false }
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
        assert_eq!(stage(78), PaceStage::Collected(Window(0)));
        assert_eq!(stage(81), PaceStage::Collected(Window(0)));
        assert_eq!(stage(82), PaceStage::Votes(Window(0)));
        assert_eq!(stage(88), PaceStage::Votes(Window(0)));
        assert_eq!(stage(89), PaceStage::Claims(Window(1)));
        assert_eq!(stage(103), PaceStage::Keys(Window(1)));
        assert_eq!(stage(112), PaceStage::Votes(Window(1)));
        assert_eq!(stage(119), PaceStage::End);
    }

    #[test]
    fn blocks_come_at_the_block_time_when_no_node_is_missing() {
        let mut pacer = pacer();
        let at = |ms| Observation { now: Duration::from_millis(ms), ..observation(50, 0, 0) };
        assert_eq!(pacer.step(&at(1000)), Verdict::Seal);
        assert_eq!(pacer.step(&at(1099)), Verdict::Wait);
        assert_eq!(pacer.step(&at(1100)), Verdict::Seal);
        assert_eq!(pacer.step(&at(1240)), Verdict::Seal);
        assert_eq!(pacer.step(&at(1299)), Verdict::Wait);
        assert_eq!(pacer.step(&at(1300)), Verdict::Seal, "a late block does not shift the next");
        assert_eq!(pacer.step(&at(5000)), Verdict::Seal);
        assert_eq!(pacer.step(&at(5099)), Verdict::Wait, "blocks do not catch up after a long pause");
    }

    #[test]
    fn nothing_is_held_in_real_time() {
        let clock = pacer().clock;
        for head in [1, 39, 63, 72, 77, 88, 500] {
            let mut pacer = Pacer::real_time(clock, BLOCK);
            assert_eq!(pacer.step(&observation(head, 6, 0)), Verdict::Seal, "{head}");
            assert_eq!(pacer.step(&observation(head, 6, 9)), Verdict::Wait, "the block time holds");
        }
    }

    #[test]
    fn the_chain_is_held_only_when_nodes_can_act() {
        // Finality stands still or lags by more than the run expects.
        let at = |head, finalized| Observation { finalized: Height(finalized), ..observation(head, 1, 0) };
        for (head, last_useless) in [(72, 39), (77, 72), (81, 77), (88, 81), (500, 118), (102, 88)] {
            assert_eq!(pacer().step(&at(head, last_useless)), Verdict::Seal, "{head}");
            assert_eq!(pacer().step(&at(head, last_useless + 1)), Verdict::Wait, "{head}");
        }
    }

    #[test]
    fn transactions_become_final_while_the_chain_is_held() {
        for head in [1, 63, 76, 85, 500] {
            let settling = Observation { settling: true, ..observation(head, 1, 0) };
            assert_eq!(pacer().step(&settling), Verdict::Seal, "{head}");
            let held = Observation { settling: false, ..settling };
            assert_eq!(pacer().step(&held), Verdict::Wait, "{head}");
        }
        let settling = Observation { settling: true, ..observation(72, 1, 0) };
        assert_eq!(pacer().step(&settling), Verdict::Wait, "the last block for claims is held");
    }

    #[test]
    fn a_long_lag_delays_the_hold_for_claims() {
        let spec = WindowSpec { finality_lag: 10, ..*pacer().clock.spec() }.proposed().unwrap();
        let clock = Clock::new(Height(START), spec).unwrap();
        let (first, second) = (clock.heights(Window(0)).unwrap(), clock.heights(Window(1)).unwrap());
        let lagging = |head: u64| {
            let finalized = Height(head - 10);
            Pacer::new(clock, BLOCK, CAP).step(&Observation { finalized, ..observation(head, 1, 0) })
        };
        let reserve = second.claims_close.0 - RESERVE;
        assert!(reserve < first.votes_close.0 + 10);
        assert_eq!(lagging(reserve), Verdict::Seal, "the parameters are not known yet");
        assert_eq!(lagging(first.votes_close.0 + 9), Verdict::Seal);
        assert_eq!(lagging(first.votes_close.0 + 10), Verdict::Wait);
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
    fn the_seed_does_not_come_before_the_last_keys_are_asked_for() {
        assert_eq!(verdict(80, 3, 0), Verdict::Seal, "the close of keys must be final first");
        assert_eq!(verdict(81, 3, 0), Verdict::Wait);
        assert_eq!(verdict(81, 1, 1), Verdict::Wait, "block 82 is the seed");
        assert_eq!(verdict(81, 0, 0), Verdict::Seal);
        // The last block before the seed can be known is the close of keys, 78, here.
        assert!(pacer().goes_on_collecting(Window(0), Height(77)));
        assert!(!pacer().goes_on_collecting(Window(0), Height(78)));
    }

    #[test]
    fn votes_are_waited_for_once_they_can_be_cast() {
        assert_eq!(verdict(84, 3, 0), Verdict::Seal, "the seed's block must be final first");
        assert_eq!(verdict(85, 3, 0), Verdict::Wait);
        assert_eq!(verdict(85, 3, 1), Verdict::Seal);
        assert_eq!(verdict(86, 3, 1), Verdict::Wait, "block 84 would be final, and the screen would end");
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
