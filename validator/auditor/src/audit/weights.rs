//! Compares the weights on chain with the score logs.

use super::{Auditor, logs::ValidatorLogs, seen::Seen, unknown::Unknown};
use crate::{
    AuditError,
    report::{Finding, Item, Subject, Verdict},
};
use base::{Height, NeuronId, Uid, Window};
use chain::Row;
use scoring::{
    score_log::{Difference, ScoreLog, weights_difference},
    weights::Weights,
};
use std::sync::Arc;

/// The number of newest score logs that weights may come from. Weights come from the last closed log or
/// from the one before it, and the log of the last window may not have been closed yet.
const LOGS: usize = 3;

/// Weights that a validator set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) validator: NeuronId,
    uid: Uid,
    height: Height,
    /// The weights on chain, or the reason why they are unknown.
    row: Result<Row, Unknown>,
}

impl Auditor {
    /// Returns the weights that were set after `M_w`, up to the next window's `M_w`: the last ones of each
    /// validator.
    pub(super) async fn weights(&self, seen: &Seen, finalized: Height) -> Result<Vec<Set>, AuditError> {
        let from = seen.heights.votes_close;
        let until = self.until(seen, finalized);
        if until <= from {
            return Ok(Vec::new());
        }
        let Ok(state) = self.read(self.chain_reader.at(until).await)? else { return Ok(Vec::new()) };
        let mut sets = Vec::new();
        for neuron in &state.metagraph.neurons {
            let height = neuron.last_update;
            if height > from && height <= until && height > neuron.registered {
                let validator = NeuronId { hotkey: neuron.hotkey, registered: neuron.registered };
                let row = self.row(neuron.uid, height, &state).await?;
                sets.push(Set { validator, uid: neuron.uid, height, row });
            }
        }
        Ok(sets)
    }

    /// Returns the height at which a window's weights are read: that of the next window's decision, or
    /// the newest one.
    fn until(&self, seen: &Seen, finalized: Height) -> Height {
        let next = Window(seen.heights.window.0 + 1);
        let until = self.run.clock.heights(next).map_or(finalized, |heights| heights.votes_close);
        until.min(finalized)
    }

    /// Returns the weights of a uid after the block that set them. If the node has dropped that state,
    /// the weights in a later state are returned.
    async fn row(
        &self,
        uid: Uid,
        height: Height,
        later: &Arc<exchange::BlockState>,
    ) -> Result<Result<Row, Unknown>, AuditError> {
        let client = self.chain_reader.client();
        let at = self.read(self.chain_reader.hash(height).await)?;
        for block in [at.ok(), Some(later.hash)].into_iter().flatten() {
            let row = client.at(block).weights(self.chain_reader.netuid(), &[uid]).await;
            if let Ok(rows) = self.read(row)? {
                return Ok(rows.into_iter().next().ok_or(Unknown::NoWeights));
            }
        }
        Ok(Err(Unknown::Weights { uid, height }))
    }
}

/// Checks weights that were set after a window.
pub(super) fn check(seen: &Seen, set: &Set, validator_logs: Option<&ValidatorLogs>) -> Finding {
    let verdict = verdict(seen, set, validator_logs);
    Finding { subject: Subject::Validator(set.validator, set.uid), item: Item::Weights, verdict }
}

fn verdict(seen: &Seen, set: &Set, validator_logs: Option<&ValidatorLogs>) -> Verdict {
    let row = match &set.row {
        Ok(row) => row,
        Err(why) => return Verdict::unread(why),
    };
    if seen.chain.as_ref().is_ok_and(|chain| chain.rules.commit_reveal) {
        return Verdict::unknown(
            "the subnet uses commit-reveal: the chain shows weights later than they are set",
        );
    }
    let window = seen.heights.window;
    let Some(validator_logs) = validator_logs else {
        return Verdict::unknown("the validator announces no bucket");
    };
    // Without any score, the last good weights stay.
    let with_weights = |log: &&ScoreLog| !log.stated.weights.is_empty();
    let logs: Vec<&ScoreLog> = validator_logs.until(window).filter(with_weights).take(LOGS).collect();
    let on_chain: Weights = row.iter().copied().collect();
    if logs.iter().any(|log| difference(&on_chain, &log.stated.weights).is_none()) {
        return Verdict::Agree;
    }
    let oldest = logs.last().map_or(Window(0), |log| log.header.window);
    let Some(newest) = logs.first() else {
        return Verdict::unknown("cannot read any score log that these weights may come from");
    };
    if let Some((window, why)) = validator_logs.unreadable(oldest, window) {
        return Verdict::unknown(format!(
            "the weights may come from the score log of window {window}: {why}"
        ));
    }
    let what = format!("the weights set in block {} match no recent score log", set.height);
    let (stated, computed) = match difference(&on_chain, &newest.stated.weights) {
        Some(Difference::Weight { uid, stated, replayed }) => (text(uid, stated), text(uid, replayed)),
        _ => return Verdict::Agree,
    };
    Verdict::differ(what, stated, format!("{computed} in the log of window {}", newest.header.window))
}

/// Returns the first uid with different weights. The chain does not store zeros, so zero weights are ignored.
fn difference(on_chain: &Weights, stated: &Weights) -> Option<Difference> {
    let paid = |weights: &Weights| {
        weights.iter().filter(|(_, weight)| **weight > 0).map(|(&uid, &weight)| (uid, weight)).collect()
    };
    weights_difference(&paid(on_chain), &paid(stated))
}

fn text(uid: Uid, weight: Option<u16>) -> String {
    format!("uid {uid} has {}", weight.unwrap_or(0))
}
