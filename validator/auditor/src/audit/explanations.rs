//! Explains the pay of miners by the score logs of a window.

use super::{
    Audit, Run,
    logs::{Replays, ValidatorLogs},
};
use crate::pay::LogPay;
use base::{Hotkey, Window};
use exchange::BlockState;
use scoring::{explanation::Explained, score_log::Results};

impl Audit<'_> {
    /// Explains the pay of all miners by a validator's log, if the audit is about one window. For more
    /// windows this would be more than a person reads.
    pub(super) fn explain(&self, logs: &ValidatorLogs, replays: &Replays) -> Option<LogPay> {
        if self.asked.end - self.asked.start != 1 {
            return None;
        }
        let window = Window(self.asked.start);
        let results = replays.get(&window)?.as_ref().ok()?;
        explained(&self.auditor.run, logs, (window, results), self.sources.head(), None)
    }
}

/// Explains a log that replays: all of its miners, or one. Returns `None` if the log does not name this
/// miner. `now` is the newest state of the chain.
pub(super) fn explained(
    run: &Run,
    logs: &ValidatorLogs,
    (window, results): (Window, &Results),
    now: &BlockState,
    only: Option<Hotkey>,
) -> Option<LogPay> {
    let log = logs.log(window)?;
    let earlier = logs.until(window).skip(1);
    let explained = Explained::new(&run.spec.scoring, log, results, earlier);
    let incentive = |miner: &Hotkey| now.metagraph.by_hotkey(miner).map(|neuron| neuron.incentive);
    let asked: Vec<Hotkey> = only.map_or_else(|| explained.miners().collect(), |miner| vec![miner]);
    let miners: Vec<_> = asked.iter().filter_map(|miner| explained.miner(miner, incentive(miner))).collect();
    if only.is_some() && miners.is_empty() {
        return None;
    }
    let validator = logs.validator().hotkey;
    let uid = now.metagraph.by_hotkey(&validator).map(|neuron| neuron.uid);
    Some(LogPay { validator, uid, head: log.head(), miners })
}
