//! The bucket of an honest miner that answers each read very late.
//!
//! From window 1 on, the head of each answer is late, and the body is late again by as much. Each of the
//! two is longer than the time that validators have for a submission. Only this miner may suffer: the
//! submissions of all others are applied in each window, and no validator finds a fault with them.

use super::{Change, Seen, Setting, blamed, not_applied};
use crate::{assertions::Assertion, run_record::RunRecord};
use base::{Height, Window};
use bucket_server::{Fault, Rule};
use protocol::clock::ClockError;
use std::time::Duration;

/// The first window whose reads are slow.
const FIRST: Window = Window(1);
/// The shortest time by which the head of an answer, and then its body, is late. It is below the patience of
/// clients with one answer, so that they wait for it.
const LATE: Duration = Duration::from_secs(9);
/// The size of a piece of a body, in bytes. It is large, so that a body is late once.
const PIECE: usize = 1 << 30;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowBucket {
    miner: String,
    /// The first block of [`FIRST`].
    from: Height,
    rules: Vec<Rule>,
}

impl SlowBucket {
    /// The smallest number of windows of a run.
    pub(crate) const LEAST_WINDOWS: u32 = 3;

    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Result<Self, ClockError> {
        let heights = setting.clock.heights(FIRST)?;
        let miner = setting.last_miner();
        let blocks = heights.keys_close.0 - heights.claims_close.0 + 1;
        let late = LATE.max(setting.block * u32::try_from(blocks).unwrap_or(u32::MAX));
        let ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let faults = [Fault::Delay { ms }, Fault::Trickle { bytes: PIECE, ms }];
        let rules = faults.map(|fault| Rule::always("GET", &format!("/{miner}/"), fault)).into();
        Ok(Self { miner, from: heights.first, rules })
    }

    /// Returns the name of the miner.
    pub(super) fn miner(&self) -> &str {
        &self.miner
    }

    pub(super) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        if seen.head < self.from || self.rules.is_empty() {
            return Vec::new();
        }
        vec![Change::Rules(std::mem::take(&mut self.rules))]
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = not_applied(record, Window(0), &self.miner);
        complaints.extend(blamed(record, &self.miner));
        if record.struck_reads == 0 {
            complaints.push(format!("no read from the bucket of {} was late", self.miner));
        }
        let applied = super::times_applied(record, FIRST, &self.miner);
        let good = format!(
            "{} answers from the bucket of {} were late; it was applied in {applied} windows since, all others in each",
            record.struck_reads, self.miner
        );
        Assertion::of("slow-bucket", good, &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, seen, with_setting};
    use super::*;
    use crate::run_record::FoundFault;

    fn fault() -> SlowBucket {
        with_setting(&participants(&[50, 40, 30]), |setting| SlowBucket::new(setting).unwrap())
    }

    #[test]
    fn reads_are_late_from_window_1_on() {
        let mut fault = fault();
        assert_eq!(fault.after_block(&seen(69)), []);
        let expected = [Fault::Delay { ms: 9000 }, Fault::Trickle { bytes: PIECE, ms: 9000 }]
            .map(|fault| Rule::always("GET", "/miner-2/", fault));
        assert_eq!(fault.after_block(&seen(70)), [Change::Rules(expected.to_vec())]);
        assert_eq!(fault.after_block(&seen(71)), [], "the rules are set once");
    }

    #[test]
    fn long_blocks_make_the_reads_later() {
        let participants = participants(&[50, 40, 30]);
        let fault = with_setting(&participants, |setting| {
            SlowBucket::new(&Setting { block: Duration::from_secs(12), ..*setting }).unwrap()
        });
        assert_eq!(fault.rules[0].fault, Fault::Delay { ms: 72_000 });
    }

    #[test]
    fn only_the_slow_miner_may_suffer() {
        let good = good_record(&participants(&[50, 40, 30]));
        let complaints = |change: fn(&mut RunRecord)| {
            let mut record = RunRecord { struck_reads: 5, ..good.clone() };
            change(&mut record);
            let found = fault().assertion(&record);
            if found.ok { String::new() } else { found.detail }
        };
        let found = |miner: &str| FoundFault {
            validator: "validator-0".into(),
            miner: miner.into(),
            what: "late".into(),
        };
        assert_eq!(complaints(|_| {}), "");
        assert_eq!(
            complaints(|record| record.struck_reads = 0),
            "no read from the bucket of miner-2 was late"
        );
        let without = |record: &mut RunRecord, name: &str| {
            record.window(Window(2)).accepted.as_mut().unwrap().as_mut().unwrap().remove(name);
        };
        let mut record = RunRecord { struck_reads: 5, ..good.clone() };
        without(&mut record, "miner-2");
        record.window(Window(2)).faults.push(found("miner-2"));
        assert!(fault().assertion(&record).ok);
        without(&mut record, "miner-0");
        record.window(Window(3)).faults.push(found("miner-1"));
        let detail = fault().assertion(&record).detail;
        assert_eq!(
            detail,
            "window 2: the submission of miner-0 was not applied; window 3: validator-0 found a fault with miner-1: late"
        );
        let null = complaints(|record| record.window(Window(4)).accepted = Some(None));
        assert_eq!(null, "window 4: no submission was applied");
    }
}
