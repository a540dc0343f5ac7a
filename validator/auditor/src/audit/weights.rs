//! Whether the weights on chain are those that the score logs state.

use super::{Auditor, logs::ValidatorLogs, seen::Seen};
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

/// How many of the newest score logs may have given the weights: they are those of the last log that was closed, or of
/// the one before it; and the log of the last window may not have been closed yet.
const LOGS: usize = 3;

/// Weights that a validator set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) validator: NeuronId,
    uid: Uid,
    height: Height,
    /// What the chain holds; or why that is not known.
    row: Result<Row, String>,
}

impl Auditor {
    /// The weights that were set after `M_w` and before the next window's: the last of each validator.
    pub(super) async fn weights(&self, seen: &Seen, finalized: Height) -> Result<Vec<Set>, AuditError> {
        let (from, until) = (seen.heights.votes_close, self.until(seen, finalized));
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

    /// The block at which a window's weights are looked for: the next window's decision, or the newest there is.
    fn until(&self, seen: &Seen, finalized: Height) -> Height {
        let next = Window(seen.heights.window.0 + 1);
        let until = self.run.clock.heights(next).map_or(finalized, |heights| heights.votes_close);
        until.min(finalized)
    }

    /// The weights of a uid as they were set in a block; if nodes have forgotten its state, as they were later.
    async fn row(
        &self,
        uid: Uid,
        height: Height,
        later: &Arc<exchange::BlockState>,
    ) -> Result<Result<Row, String>, AuditError> {
        let client = self.chain_reader.client();
        let at = self.read(self.chain_reader.hash(height).await)?;
        for block in [at.ok(), Some(later.hash)].into_iter().flatten() {
            let row = client.at(block).weights(self.chain_reader.netuid(), &[uid]).await;
            if let Ok(rows) = self.read(row)? {
                return Ok(rows.into_iter().next().ok_or_else(|| "the chain shows no weights".to_owned()));
            }
        }
        Ok(Err(format!("the weights of uid {uid} in block {height} cannot be read")))
    }
}

/// What is found of weights that were set after a window.
pub(super) fn check(seen: &Seen, set: &Set, validator_logs: Option<&ValidatorLogs>) -> Finding {
    let verdict = verdict(seen, set, validator_logs);
    Finding { subject: Subject::Validator(set.validator, set.uid), item: Item::Weights, verdict }
}

fn verdict(seen: &Seen, set: &Set, validator_logs: Option<&ValidatorLogs>) -> Verdict {
    let row = match &set.row {
        Ok(row) => row,
        Err(why) => return Verdict::unknown(why),
    };
    if seen.chain.as_ref().is_ok_and(|chain| chain.rules.commit_reveal) {
        return Verdict::unknown("the subnet has commit-reveal: weights are shown later than they are set");
    }
    let window = seen.heights.window;
    let Some(validator_logs) = validator_logs else {
        return Verdict::unknown("the validator announces no bucket");
    };
    let logs: Vec<&ScoreLog> = validator_logs.until(window).take(LOGS).collect();
    let on_chain: Weights = row.iter().copied().collect();
    if logs.iter().any(|log| difference(&on_chain, &log.stated.weights).is_none()) {
        return Verdict::Agree;
    }
    let oldest = logs.last().map_or(Window(0), |log| log.header.window);
    let Some(newest) = logs.first() else {
        return Verdict::unknown("no score log can be read that could have given these weights");
    };
    if let Some((window, why)) = validator_logs.unreadable(oldest, window) {
        return Verdict::unknown(format!("they may be those of the log of window {window}: {why}"));
    }
    let what = format!("the weights set in block {} are of no recent score log", set.height);
    let (stated, computed) = match difference(&on_chain, &newest.stated.weights) {
        Some(Difference::Weight { uid, stated, replayed }) => (text(uid, stated), text(uid, replayed)),
        _ => return Verdict::Agree,
    };
    Verdict::differ(what, stated, format!("{computed} in the log of window {}", newest.header.window))
}

/// The first uid with another weight. Chains do not keep zeros, so these do not count.
fn difference(on_chain: &Weights, stated: &Weights) -> Option<Difference> {
    let paid = |weights: &Weights| {
        weights.iter().filter(|(_, weight)| **weight > 0).map(|(&uid, &weight)| (uid, weight)).collect()
    };
    weights_difference(&paid(on_chain), &paid(stated))
}

fn text(uid: Uid, weight: Option<u16>) -> String {
    format!("uid {uid} has {}", weight.unwrap_or(0))
}
