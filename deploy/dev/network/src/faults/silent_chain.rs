//! The first of a miner's two endpoints of the chain, which goes silent in window 2 and stays so.
//!
//! The miner must change over to the second one. Only its claim of this window may be lost.

use super::{Change, Seen, Setting, blamed, lost, not_applied};
use crate::{assertions::Assertion, run_record::RunRecord};
use base::{Height, Window};
use protocol::clock::ClockError;

/// The window in which the endpoint goes silent.
const SILENT: Window = Window(2);

/// The fault. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentChain {
    miner: String,
    /// The block after which the endpoint is silent.
    at: Height,
    has_struck: bool,
}

impl SilentChain {
    /// The smallest number of windows of a run: at least one must follow.
    pub(crate) const LEAST_WINDOWS: u32 = 4;

    /// Creates the fault for a run.
    pub(super) fn new(setting: &Setting<'_>) -> Result<Self, ClockError> {
        let at = setting.clock.heights(SILENT)?.first;
        Ok(Self { miner: setting.last_miner(), at, has_struck: false })
    }

    /// Returns the name of the miner.
    pub(super) fn miner(&self) -> &str {
        &self.miner
    }

    /// Returns whether the fault may cost a node its claim or vote in a window.
    pub(super) fn excuses(&self, name: &str, window: Window) -> bool {
        name == self.miner && window == SILENT
    }

    pub(super) fn after_block(&mut self, seen: &Seen) -> Vec<Change> {
        if self.has_struck || seen.head < self.at {
            return Vec::new();
        }
        self.has_struck = true;
        vec![Change::Silence]
    }

    pub(super) fn assertion(&self, record: &RunRecord) -> Assertion {
        let mut complaints = not_applied(record, Window(0), &self.miner);
        complaints.extend(blamed(record, &self.miner));
        complaints.extend(lost(record, |name, window| self.excuses(name, window)));
        if record.before_silence == 0 {
            complaints.push(format!("{} did not use the endpoint that went silent", self.miner));
        }
        let good = format!(
            "an endpoint went silent after {} requests of {}; it changed over, and no claim or vote was lost except in \
             window {SILENT}",
            record.before_silence, self.miner
        );
        Assertion::of("silent-chain", good, &complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good_record, participants, seen, with_setting};
    use super::*;

    #[test]
    fn the_miner_may_miss_one_window() {
        let participants = participants(&[50, 40, 30]);
        let mut fault = with_setting(&participants, |setting| SilentChain::new(setting).unwrap());
        assert_eq!(fault.after_block(&seen(99)), []);
        assert_eq!(fault.after_block(&seen(100)), [Change::Silence]);
        assert_eq!(fault.after_block(&seen(101)), []);
        let mut record = good_record(&participants);
        for window in record.run() {
            let outcome = record.window(window);
            outcome.claimed = ["miner-0", "miner-1", "miner-2"].map(String::from).into();
            outcome.votes =
                [0, 1, 2].map(|n| (format!("validator-{n}"), base::digest::State([0; 32]))).into();
        }
        assert_eq!(fault.assertion(&record).detail, "miner-2 did not use the endpoint that went silent");
        record.before_silence = 9;
        record.window(Window(2)).claimed.remove("miner-2");
        assert!(fault.assertion(&record).ok);
        record.window(Window(3)).claimed.remove("miner-2");
        assert!(fault.assertion(&record).detail.starts_with("window 3: the claim of miner-2 is missing"));
    }
}
