//! Finality that lags and stalls, and best blocks with claims that are dropped.
//!
//! In window 0 a block with claims is dropped. During window 2 finality lags by 7 blocks more than the run
//! is made for, which is too late for the votes on window 1. When votes on window 4 are due, finality
//! stands still for 10 blocks. All other windows must not notice: their claims and votes count, and they
//! are applied.

use super::{Change, Seen};
use crate::{
    assertions::{self, Assertion},
    run_record::RunRecord,
};
use base::{Height, Window};
use protocol::clock::{Clock, ClockError, Heights};

/// The window in which a block with claims is dropped.
const DROP: Window = Window(0);
/// The window during whose blocks finality lags more.
const LAG: Window = Window(2);
/// The blocks by which finality lags more.
const MORE: u32 = 7;
/// The window whose votes fall into the stall.
const STALL: Window = Window(4);
/// The blocks of the stall.
const STALL_BLOCKS: u32 = 10;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaggingFinality {
    /// The lag of the run.
    lag: u32,
    drop: Heights,
    slow: Heights,
    stall: Heights,
    /// The block with claims that was dropped.
    dropped: Option<Height>,
    is_slow: bool,
    has_stalled: bool,
    /// The largest distance of the final from the best block.
    farthest: u64,
}

impl LaggingFinality {
    /// The smallest number of windows of a run: at least one must follow the stall.
    pub(crate) const LEAST_WINDOWS: u32 = 6;
    /// The windows that may lose claims and votes.
    pub(crate) const STRUCK: [Window; 3] = [Window(1), LAG, STALL];

    /// Creates the fault for a run.
    pub(super) fn new(clock: &Clock) -> Result<Self, ClockError> {
        Ok(Self {
            lag: clock.spec().finality_lag,
            drop: clock.heights(DROP)?,
            slow: clock.heights(LAG)?,
            stall: clock.heights(STALL)?,
            dropped: None,
            is_slow: false,
            has_stalled: false,
            farthest: 0,
        })
    }

    pub(super) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        let next = seen.head.next();
        self.farthest = self.farthest.max(seen.head.0 - seen.finalized.0);
        let mut changes = Vec::new();
        let is_slow = (self.slow.first..=self.slow.last).contains(&next);
        if is_slow != self.is_slow {
            self.is_slow = is_slow;
            changes.push(Change::Lag(self.lag + if is_slow { MORE } else { 0 }));
        }
        if !self.has_stalled && next.next() >= self.stall.seed {
            self.has_stalled = true;
            changes.push(Change::Stall(STALL_BLOCKS));
        }
        // A dropped block is replaced, and one more follows. The claims need another block after them.
        let is_early = seen.head.0 + 2 <= self.drop.claims_close.0;
        if self.dropped.is_none() && seen.claims == Some(DROP) && is_early && seen.finalized < seen.head {
            self.dropped = Some(seen.head);
            changes.push(Change::Drop(1));
        }
        changes
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = Vec::new();
        if self.dropped.is_none() {
            complaints.push(format!("no block with claims for window {DROP} was dropped"));
        }
        let expected = u64::from(self.lag + MORE);
        if self.farthest < expected {
            complaints
                .push(format!("finality lagged by at most {} blocks, not by {expected}", self.farthest));
        }
        for window in record.run().filter(|window| !Self::STRUCK.contains(window)) {
            let lost = assertions::lost(record, window);
            complaints.extend(lost.iter().map(|lost| format!("window {window}: {lost}")));
            let accepted = record.windows.get(&window).and_then(|outcome| outcome.accepted.as_ref());
            if accepted.is_none_or(Option::is_none) {
                complaints.push(format!("window {window}: no submission was applied"));
            }
        }
        let struck = Self::STRUCK.map(|window| window.to_string()).join(", ");
        let dropped = self.dropped.map_or_else(String::new, |height| format!(" block {height} was dropped,"));
        let good = format!(
            "{dropped} finality lagged by up to {} blocks; all claims and votes count, except in the windows {struck}",
            self.farthest
        );
        Assertion::of("lagging-finality", good.trim_start().to_owned(), &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::tiny_window;
    use protocol::clock::WindowSpec;

    fn clock(count: u32) -> Clock {
        Clock::new(Height(40), WindowSpec { count, ..tiny_window() }).unwrap()
    }

    fn fault() -> LaggingFinality {
        LaggingFinality::new(&clock(6)).unwrap()
    }

    /// Plays all blocks of a run in which claims come in block 65. Returns each change with its block.
    fn play(fault: &mut LaggingFinality) -> Vec<(u64, Change)> {
        let mut changes = Vec::new();
        for head in 1..260 {
            let claims = (head == 65).then_some(Window(0));
            let seen = Seen { head: Height(head), finalized: Height(head.saturating_sub(3)), claims };
            changes.extend(fault.after_block(&seen).into_iter().map(|change| (head, change)));
        }
        changes
    }

    #[test]
    fn each_change_comes_once() {
        let expected =
            [(65, Change::Drop(1)), (99, Change::Lag(10)), (129, Change::Lag(3)), (200, Change::Stall(10))];
        assert_eq!(play(&mut fault()), expected);
    }

    #[test]
    fn claims_that_would_come_too_late_on_the_other_branch_are_not_dropped() {
        let with = |head, finalized, window| {
            let claims = Some(Window(window));
            fault().after_block(&Seen { head: Height(head), finalized: Height(finalized), claims })
        };
        assert_eq!(with(71, 68, 0), [Change::Drop(1)]);
        assert_eq!(with(72, 69, 0), [], "claims close with block 73");
        assert_eq!(with(71, 71, 0), [], "a final block is never dropped");
        assert_eq!(with(71, 68, 1), []);
    }

    #[test]
    fn a_run_that_is_too_short_is_refused() {
        let count = LaggingFinality::LEAST_WINDOWS;
        assert!(LaggingFinality::STRUCK.iter().all(|window| window.0 + 1 < u64::from(count)));
        assert!(LaggingFinality::new(&clock(4)).is_err());
    }

    #[test]
    fn a_fault_that_did_not_come_to_pass_is_reported() {
        let record = RunRecord { count: 0, ..RunRecord::default() };
        let mut fault = fault();
        let before = fault.assertion(&record);
        assert!(!before.ok && before.detail.contains("no block with claims for window 0 was dropped"));
        play(&mut fault);
        let short = fault.assertion(&record);
        assert!(short.detail.contains("finality lagged by at most 3 blocks, not by 10"), "{}", short.detail);
        fault.farthest = 10;
        assert!(fault.assertion(&record).ok);
        let lost = fault.assertion(&RunRecord { count: 1, ..RunRecord::default() });
        assert!(lost.detail.contains("window 0: no submission was applied"), "{}", lost.detail);
    }
}
