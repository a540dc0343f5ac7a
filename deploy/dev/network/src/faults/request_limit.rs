//! A limit of requests: the last miner and the last validator each have one endpoint of the chain, which
//! answers 12 requests in the time of a block, with equal distances. With Bittensor's blocks of 12 s, that is
//! one request a second. It refuses all others, as public endpoints do.
//!
//! It must cost nothing: both nodes start, claim and vote in all windows.

use super::{Setting, blamed, lost, not_applied};
use crate::{assertions::Assertion, run_record::RunRecord};
use base::Window;
use std::time::Duration;

/// Requests that are answered in the time of a block.
pub(crate) const REQUESTS: u32 = 12;

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimit {
    nodes: [String; 2],
    /// The time between two answers.
    pause: Duration,
}

impl RequestLimit {
    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self { nodes: [setting.last_miner(), setting.last_validator()], pause: setting.block / REQUESTS }
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = not_applied(record, Window(0), "");
        complaints.extend(blamed(record, ""));
        complaints.extend(lost(record, |_, _| false));
        let mut requests = Vec::new();
        for node in &self.nodes {
            match record.limited.get(node) {
                Some(limited) if limited.refused > 0 => {
                    let (sent, refused) = (limited.sent, limited.refused);
                    requests.push(format!("{refused} of {sent} requests of {node}"));
                }
                _ => complaints.push(format!("no request of {node} was refused")),
            }
        }
        let good = format!(
            "one request in {} ms was answered; refused were {}; no claim or vote was lost",
            self.pause.as_millis(),
            requests.join(" and ")
        );
        Assertion::of("request-limit", good, &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, with_setting};
    use super::*;
    use crate::run_record::Limited;

    #[test]
    fn the_limit_must_bite_and_cost_nothing() {
        let participants = participants(&[50, 40, 30]);
        let fault = with_setting(&participants, RequestLimit::new);
        let mut record = good_record(&participants);
        for window in record.run() {
            let outcome = record.window(window);
            outcome.claimed = ["miner-0", "miner-1", "miner-2"].map(String::from).into();
            outcome.votes =
                [0, 1, 2].map(|n| (format!("validator-{n}"), base::digest::State([0; 32]))).into();
        }
        record.limited.insert("miner-2".into(), Limited { sent: 90, refused: 7 });
        assert_eq!(fault.assertion(&record).detail, "no request of validator-2 was refused");
        record.limited.insert("validator-2".into(), Limited { sent: 100, refused: 8 });
        let good = fault.assertion(&record);
        assert!(good.ok && good.detail.contains("7 of 90 requests of miner-2"), "{}", good.detail);
        record.window(Window(3)).votes.remove("validator-2");
        assert!(fault.assertion(&record).detail.starts_with("window 3: the vote of validator-2 is missing"));
    }
}
