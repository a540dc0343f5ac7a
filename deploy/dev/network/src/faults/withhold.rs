//! The bucket of a miner that serves each submission three times and then withholds it.
//!
//! The miner hopes that the validators get its submission and other miners do not. They would then fall
//! behind, and it would be paid more than they are. The others must get the submission from its custodians:
//! they claim in time in each window, and one of them is paid as much.

use super::{Change, Setting, blamed, lost, not_applied};
use crate::{assertions::Assertion, roster::Role, run_record::RunRecord};
use base::Window;
use bucket_server::{Fault, Rule};
use protocol::bucket_layout;

/// The number of reads of each submission that are served.
const SERVED: u64 = 3;
/// The share of the largest pay of another honest miner that is not more than theirs. Miners that work alike
/// differ by as much through their random data.
const FAIR: f64 = 1.1;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq)]
pub struct Withhold {
    miner: String,
    rules: Vec<Rule>,
}

impl Withhold {
    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let miner = setting.last_miner();
        // A miner has one submission in a window, so a rule of a window counts the reads of one object.
        let rule = |window| {
            let path = format!("/{miner}/{}", bucket_layout::submissions_of(setting.run, Window(window)));
            Rule { skip: SERVED, ..Rule::always("GET", &path, Fault::Status { code: 404 }) }
        };
        let rules = (0..=setting.clock.last_window().0).map(rule).collect();
        Self { miner, rules }
    }

    /// Returns the name of the miner.
    pub(super) fn miner(&self) -> &str {
        &self.miner
    }

    pub(super) fn after_block(&mut self) -> Vec<Change> {
        match std::mem::take(&mut self.rules) {
            rules if rules.is_empty() => Vec::new(),
            rules => vec![Change::Rules(rules)],
        }
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = not_applied(record, Window(0), &self.miner);
        complaints.extend(blamed(record, &self.miner));
        complaints.extend(lost(record, |_, _| false));
        if record.struck_reads == 0 {
            complaints.push(format!("no read from the bucket of {} was refused", self.miner));
        }
        let share = |name: &str| record.end.incentives.get(name).copied().unwrap_or(0.0);
        let others: Vec<&str> = record
            .names(|participant| participant.role == Role::Miner)
            .filter(|name| *name != self.miner)
            .collect();
        let most = others.iter().map(|name| share(name)).fold(0.0, f64::max);
        let pay = format!(
            "{} gets {:.1} % of the incentive, another honest miner up to {:.1} %",
            self.miner,
            100.0 * share(&self.miner),
            100.0 * most
        );
        // A miner whose work is not proven yet is paid by chance: nothing, or half.
        if share(&self.miner) > FAIR * most && others.iter().any(|name| record.has_score(name)) {
            complaints.push(pay.clone());
        }
        let applied = super::times_applied(record, Window(0), &self.miner);
        let good = format!(
            "{} reads from the bucket of {} were refused; it was applied in {applied} windows, all others in each; {pay}",
            record.struck_reads, self.miner
        );
        Assertion::of("withhold", good, &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, with_setting};
    use super::*;

    fn fault() -> Withhold {
        with_setting(&participants(&[50, 40, 30]), Withhold::new)
    }

    #[test]
    fn each_submission_has_its_rule() {
        let mut fault = fault();
        let changes = fault.after_block();
        let [Change::Rules(rules)] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(rules.len(), 8);
        assert_eq!(rules[7].path, "/miner-2/0101010101010101/submission/0000000007/");
        assert!(rules.iter().all(|rule| rule.skip == 3 && rule.fault == Fault::Status { code: 404 }));
        assert_eq!(fault.after_block(), [], "the rules are set once");
    }

    #[test]
    fn the_withholder_may_not_gain() {
        let mut record = good_record(&participants(&[50, 40, 30]));
        record.struck_reads = 2;
        for window in record.run() {
            let outcome = record.window(window);
            outcome.claimed = ["miner-0", "miner-1", "miner-2"].map(String::from).into();
            outcome.votes =
                [0, 1, 2].map(|n| (format!("validator-{n}"), base::digest::State([0; 32]))).into();
        }
        assert!(fault().assertion(&record).ok, "{}", fault().assertion(&record).detail);
        let gains = [("miner-0", 0.24), ("miner-1", 0.24), ("miner-2", 0.28)];
        record.end.incentives = gains.map(|(name, share)| (name.to_owned(), share)).into();
        let detail = fault().assertion(&record).detail;
        assert!(
            detail.starts_with("miner-2 gets 28.0 % of the incentive, another honest miner up to 24.0 %"),
            "{detail}"
        );
        record.window(Window(3)).claimed.remove("miner-1");
        let detail = fault().assertion(&record).detail;
        assert!(detail.starts_with("window 3: the claim of miner-1 is missing"), "{detail}");
    }
}
