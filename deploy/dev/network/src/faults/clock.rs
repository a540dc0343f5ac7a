//! The clocks of a miner's and of a validator's bucket, which are off by an hour for two windows.
//!
//! To both nodes it seems that their own clocks are wrong: their buckets refuse their signatures. Both must
//! say so, and no other node. Their claims and votes may be lost in the windows that overlap. No other node
//! may be blamed, and all submissions of the others are applied.

use super::{Change, Seen, Setting, blamed, lost, not_applied};
use crate::{assertions::Assertion, run_record::RunRecord};
use base::{Height, Window};
use protocol::clock::ClockError;
use std::ops::RangeInclusive;

/// The windows during whose blocks the clocks are wrong.
const WRONG: RangeInclusive<Window> = Window(2)..=Window(3);
/// The seconds by which the clocks of the buckets are ahead.
const AHEAD: i64 = 3600;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongClock {
    miner: String,
    validator: String,
    /// The first block with wrong clocks.
    from: Height,
    /// The first block with right clocks again.
    to: Height,
    is_wrong: bool,
    has_struck: bool,
}

impl WrongClock {
    /// The smallest number of windows of a run: at least one must follow those that may be lost.
    pub(crate) const LEAST_WINDOWS: u32 = 6;

    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Result<Self, ClockError> {
        Ok(Self {
            miner: setting.last_miner(),
            validator: setting.last_validator(),
            from: setting.clock.heights(*WRONG.start())?.first,
            to: setting.clock.heights(Window(WRONG.end().0 + 1))?.first,
            is_wrong: false,
            has_struck: false,
        })
    }

    /// Returns the name of the miner.
    pub(super) fn miner(&self) -> &str {
        &self.miner
    }

    /// Returns whether the fault may cost a node its claim or vote in a window. Those on the window before
    /// the wrong ones are due when the clocks are wrong.
    pub(super) fn excuses(&self, name: &str, window: Window) -> bool {
        let is_near = (WRONG.start().0 - 1..=WRONG.end().0).contains(&window.0);
        is_near && [&self.miner, &self.validator].iter().any(|struck| *struck == name)
    }

    pub(super) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        let is_wrong = (self.from..self.to).contains(&seen.head);
        if is_wrong == self.is_wrong {
            return Vec::new();
        }
        (self.is_wrong, self.has_struck) = (is_wrong, true);
        let ahead = if is_wrong { AHEAD } else { 0 };
        [&self.miner, &self.validator].map(|name| Change::Shift(name.clone(), ahead)).into()
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = not_applied(record, Window(0), &self.miner);
        complaints.extend(blamed(record, &self.miner));
        complaints.extend(lost(record, |name, window| self.excuses(name, window)));
        if !self.has_struck {
            complaints.push("no clock was wrong".to_owned());
        }
        let struck = [&self.miner, &self.validator];
        let silent = struck.iter().filter(|name| !record.warned_of_clock.contains(**name));
        complaints.extend(silent.map(|name| format!("{name} did not say that its clock is off")));
        let wrong = record.warned_of_clock.iter().filter(|name| !struck.contains(name));
        complaints.extend(wrong.map(|name| format!("{name} said that its clock is off, which it was not")));
        let good = format!(
            "{} and {} said that their clocks were off, and no other node did; the others lost no claim and no vote",
            self.miner, self.validator
        );
        Assertion::of("clock", good, &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, seen, with_setting};
    use super::*;

    fn fault() -> WrongClock {
        with_setting(&participants(&[50, 40, 30]), |setting| WrongClock::new(setting).unwrap())
    }

    #[test]
    fn the_clocks_are_wrong_for_two_windows() {
        let mut fault = fault();
        let changes: Vec<(u64, Change)> = (1..300)
            .flat_map(|head| fault.after_block(&seen(head)).into_iter().map(move |change| (head, change)))
            .collect();
        let shift = |name: &str, seconds| Change::Shift(name.into(), seconds);
        let expected = [
            (100, shift("miner-2", 3600)),
            (100, shift("validator-2", 3600)),
            (160, shift("miner-2", 0)),
            (160, shift("validator-2", 0)),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn the_two_nodes_must_say_it_and_no_other_may() {
        let mut record = good_record(&participants(&[50, 40, 30]));
        for window in record.run() {
            let outcome = record.window(window);
            outcome.claimed = ["miner-0", "miner-1", "miner-2"].map(String::from).into();
            outcome.votes =
                [0, 1, 2].map(|n| (format!("validator-{n}"), base::digest::State([0; 32]))).into();
        }
        record.warned_of_clock = ["miner-2", "validator-2"].map(String::from).into();
        assert!(!fault().assertion(&record).ok, "no clock was wrong yet");
        let mut fault = fault();
        fault.after_block(&seen(100));
        record.window(Window(2)).claimed.remove("miner-2");
        record.window(Window(3)).votes.remove("validator-2");
        assert!(fault.assertion(&record).ok, "{}", fault.assertion(&record).detail);
        record.warned_of_clock = ["miner-2", "miner-0"].map(String::from).into();
        record.window(Window(4)).claimed.remove("miner-2");
        assert_eq!(
            fault.assertion(&record).detail,
            "window 4: the claim of miner-2 is missing: the deadline did not come; validator-2 did not say that its \
             clock is off; miner-0 said that its clock is off, which it was not"
        );
    }
}
