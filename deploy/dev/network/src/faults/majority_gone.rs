//! Validators with more than half of the stake that end for good.
//!
//! They end when claims of window 3 are closed, so window 2 is the last one that they voted on. Their weight
//! in the electorate falls with each window. The windows until the remaining validators have most of the
//! weight are null, and no window is null after that. The states of all others stay the same.

use super::{Change, Seen, Setting, lost};
use crate::{assertions::Assertion, roster::Role, run_record::RunRecord};
use base::{Height, Window};
use protocol::clock::ClockError;

/// The last window on which the validators vote that end.
const LAST_VOTE: Window = Window(2);
/// The part of the electorate's blocks in which a voter is a recent one: two must vote if two are recent.
const RECENT: u64 = 7;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MajorityGone {
    /// The names of the validators that end.
    gone: Vec<String>,
    /// The block after which they end.
    at: Height,
    has_struck: bool,
    /// The windows without the votes of the validators that ended.
    struck: Vec<Window>,
    /// The windows of them that are null.
    null: Vec<Window>,
}

impl MajorityGone {
    /// The smallest number of windows of a run: the validators that remain must decide at least one.
    pub(crate) const LEAST_WINDOWS: u32 = 8;
    /// The smallest number of validators. With two, the one with less stake would have to be the majority.
    pub(crate) const LEAST_VALIDATORS: u16 = 3;
    /// The number of windows in which a vote loses its weight. It is so small that the return
    /// falls into a run of [`Self::LEAST_WINDOWS`].
    pub(crate) const ELECTORATE_WINDOWS: u32 = 9;

    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Result<Self, ClockError> {
        let validators = setting.participants.iter().filter(|(p, _)| p.role == Role::Validator);
        let stakes: Vec<(&str, u128)> =
            validators.map(|(p, _)| (p.name.as_str(), u128::from(p.stake))).collect();
        let all: u128 = stakes.iter().map(|(_, stake)| stake).sum();
        let (mut lost, mut gone) = (0, Vec::new());
        for (name, stake) in stakes.iter().rev() {
            if 2 * lost <= all {
                lost += stake;
                gone.push((*name).to_owned());
            }
        }
        let heights = setting.clock.heights(Window(LAST_VOTE.0 + 1))?;
        let struck: Vec<Window> = (heights.window.0..=setting.clock.last_window().0).map(Window).collect();
        let weights = Weights {
            here: all - lost,
            gone: lost,
            voters: stakes.len() - gone.len(),
            period: setting.electorate_blocks.into(),
        };
        let blocks = heights.blocks();
        let age = |window: &Window| (window.0 - LAST_VOTE.0) * blocks;
        let null = struck.iter().copied().filter(|window| !weights.decide(age(window), gone.len())).collect();
        Ok(Self { gone, at: heights.claims_close, has_struck: false, struck, null })
    }

    /// Returns the names of the validators that end.
    pub(super) fn gone(&self) -> &[String] {
        &self.gone
    }

    /// Returns the windows without the votes of the validators that ended.
    pub(super) fn struck(&self) -> &[Window] {
        &self.struck
    }

    pub(super) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        if self.has_struck || seen.head < self.at {
            return Vec::new();
        }
        self.has_struck = true;
        self.gone.iter().cloned().map(Change::End).collect()
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = Vec::new();
        if !self.has_struck {
            complaints.push("no validator was ended".to_owned());
        }
        let is_excused =
            |name: &str, window| self.struck.contains(&window) && self.gone.iter().any(|gone| gone == name);
        complaints.extend(lost(record, is_excused));
        for window in record.run() {
            let accepted = record.windows.get(&window).and_then(|outcome| outcome.accepted.as_ref());
            match (accepted, self.null.contains(&window)) {
                (Some(None), true) | (Some(Some(_)), false) => {}
                (Some(None), false) => {
                    complaints.push(format!("window {window}: it is null, against the rule"))
                }
                (Some(Some(_)), true) => {
                    complaints.push(format!("window {window}: it is decided, against the rule"));
                }
                (None, _) => complaints.push(format!("window {window}: its decision is not known")),
            }
        }
        let null: Vec<String> = self.null.iter().map(Window::to_string).collect();
        let good = format!(
            "{} ended; the windows {} are null by the rule of the electorate, and all others are decided",
            self.gone.join(" and "),
            null.join(", ")
        );
        Assertion::of("majority-gone", good, &complaints)
    }
}

/// The stakes of the validators that remain and of those that ended.
struct Weights {
    here: u128,
    gone: u128,
    /// The number of validators that remain.
    voters: usize,
    /// The age at which a vote has no weight any more, in blocks.
    period: u64,
}

impl Weights {
    /// Returns whether the validators that remain decide a window alone, when the last votes of the `gone`
    /// others are `age` blocks old.
    fn decide(&self, age: u64, gone: usize) -> bool {
        let left = self.period.saturating_sub(age);
        let weight = |stake: u128, blocks: u64| stake * u128::from(blocks);
        let all = weight(self.here, self.period) + weight(self.gone, left);
        let recent = if age <= self.period / RECENT { self.voters + gone } else { self.voters };
        2 * weight(self.here, self.period) > all && self.voters >= recent.min(2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, seen, with_setting};
    use super::*;
    use base::digest::State;

    fn fault(stakes: &[u64]) -> MajorityGone {
        with_setting(&participants(stakes), |setting| MajorityGone::new(setting).unwrap())
    }

    #[test]
    fn the_windows_until_most_of_the_weight_is_there_are_null() {
        let three = fault(&[50, 40, 30]);
        assert_eq!(three.gone, ["validator-2", "validator-1"]);
        // After n windows of silence the weight is 70 (9 - n) / 9: below 50 for n = 3.
        assert_eq!((three.struck.len(), &three.null[..]), (5, &[Window(3), Window(4)][..]));
        let four = fault(&[60, 50, 40, 30]);
        assert_eq!(four.gone, ["validator-3", "validator-2", "validator-1"]);
        assert_eq!(four.null, [3, 4, 5, 6].map(Window));
        let long = with_setting(&participants(&[50, 40, 30]), |setting| {
            MajorityGone::new(&Setting { electorate_blocks: 840, ..*setting }).unwrap()
        });
        assert_eq!(long.null, long.struck, "they come back after the run");
    }

    #[test]
    fn the_validators_end_once() {
        let mut fault = fault(&[50, 40, 30]);
        assert_eq!(fault.after_block(&seen(162)), []);
        let end = |name: &str| Change::End(name.into());
        assert_eq!(fault.after_block(&seen(163)), [end("validator-2"), end("validator-1")]);
        assert_eq!(fault.after_block(&seen(164)), []);
    }

    #[test]
    fn each_window_must_be_decided_or_null_as_the_rule_says() {
        let mut record = good_record(&participants(&[50, 40, 30]));
        for window in record.run() {
            let outcome = record.window(window);
            outcome.claimed = ["miner-0", "miner-1", "miner-2"].map(String::from).into();
            let voters = if window.0 < 3 { 0..3 } else { 0..1 };
            outcome.votes = voters.map(|n| (format!("validator-{n}"), State([0; 32]))).collect();
        }
        let mut fault = fault(&[50, 40, 30]);
        fault.after_block(&seen(163));
        let detail = fault.assertion(&record).detail;
        assert_eq!(
            detail,
            "window 3: it is decided, against the rule; window 4: it is decided, against the rule"
        );
        for window in [3, 4] {
            record.window(Window(window)).accepted = Some(None);
        }
        assert!(fault.assertion(&record).ok);
        record.window(Window(6)).accepted = Some(None);
        assert_eq!(fault.assertion(&record).detail, "window 6: it is null, against the rule");
        record.window(Window(6)).votes.clear();
        assert!(fault.assertion(&record).detail.contains("the vote of validator-0 is missing"));
    }
}
