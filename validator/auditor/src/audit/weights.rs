//! Compares the weights on chain with the score logs, and finds the burnt share.
//!
//! The rule: weights are those of a recent score log of their validator. Weights that follow none are
//! marked. If another validator's log states them, it is named: weights that are copied from a log after its
//! publication keep most of their trust on chain, so only this comparison tells (A8).

use super::{Auditor, logs::ValidatorLogs, score_logs::ScoreLogs, seen::Seen, unknown::Unknown};
use crate::{
    AuditError,
    report::{Finding, Item, Subject, Verdict},
};
use base::{Height, NeuronId, Uid, Window};
use chain::{Neuron, Row};
use exchange::BlockState;
use scoring::{
    score_log::{Difference, ScoreLog, weights_difference},
    weights::Weights,
};
use std::sync::Arc;

/// The number of newest score logs that weights may come from. Weights come from the last closed log or
/// from the one before it, and the log of the last window may not have been closed yet.
const LOGS: usize = 3;

/// The weights after a window.
#[derive(Debug)]
pub(super) struct WeightsAfter {
    /// The weights that were set after `M_w`, up to the next window's `M_w`: the last ones of each validator.
    pub(super) sets: Vec<Set>,
    /// The share of all weights at that height that is burnt, by stake. `None` if there are no weights, or
    /// they cannot be read.
    pub(super) burnt: Option<f64>,
}

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
    /// Reads the weights after a window. Returns `None` if there is no later block, or its state is gone.
    pub(super) async fn weights(
        &self,
        seen: &Seen,
        finalized: Height,
    ) -> Result<Option<WeightsAfter>, AuditError> {
        let from = seen.heights.votes_close;
        let until = self.until(seen, finalized);
        if until <= from {
            return Ok(None);
        }
        let Ok(state) = self.read(self.chain_reader.at(until).await)? else { return Ok(None) };
        let mut sets = Vec::new();
        for neuron in &state.metagraph.neurons {
            let height = neuron.last_update;
            if height > from && height <= until && height > neuron.registered {
                let validator = NeuronId { hotkey: neuron.hotkey, registered: neuron.registered };
                let row = self.row(neuron.uid, height, &state).await?;
                sets.push(Set { validator, uid: neuron.uid, height, row });
            }
        }
        Ok(Some(WeightsAfter { sets, burnt: self.burnt(&state).await? }))
    }

    /// Returns the share of all weights on chain that the subnet owner's uid has, by the stake of the
    /// validators.
    async fn burnt(&self, state: &BlockState) -> Result<Option<f64>, AuditError> {
        let neurons = state.metagraph.neurons.iter().filter(|neuron| neuron.permit);
        let neurons: Vec<&Neuron> = neurons.collect();
        let uids: Vec<Uid> = neurons.iter().map(|neuron| neuron.uid).collect();
        let client = self.chain_reader.client();
        let rows = client.at(state.hash).weights(self.chain_reader.netuid(), &uids).await;
        let Ok(rows) = self.read(rows)? else { return Ok(None) };
        let stakes = neurons.iter().map(|neuron| neuron.stake_weight);
        Ok(burnt_share(state.metagraph.owner_uid(), stakes.zip(&rows)))
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
        later: &Arc<BlockState>,
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

/// Returns the owner's share of the rows of weights, by stake. `None` without any weights.
fn burnt_share<'a>(owner: Option<Uid>, rows: impl Iterator<Item = (u16, &'a Row)>) -> Option<f64> {
    let (mut burnt, mut all) = (0.0, 0.0);
    for (stake, row) in rows {
        let sum: f64 = row.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let to_owner = row.iter().filter(|(uid, _)| Some(*uid) == owner);
        let to_owner: f64 = to_owner.map(|(_, weight)| f64::from(*weight)).sum();
        if sum > 0.0 {
            burnt += f64::from(stake) * to_owner / sum;
            all += f64::from(stake);
        }
    }
    (all > 0.0).then(|| burnt / all)
}

/// Checks weights that were set after a window. `due` tells whether its score logs must be published by now.
pub(super) fn check(seen: &Seen, set: &Set, score_logs: &ScoreLogs, due: bool) -> Finding {
    let verdict = verdict(seen, set, score_logs, due);
    Finding { subject: Subject::Validator(set.validator, set.uid), item: Item::Weights, verdict }
}

fn verdict(seen: &Seen, set: &Set, score_logs: &ScoreLogs, due: bool) -> Verdict {
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
    let on_chain: Weights = row.iter().copied().collect();
    let own = score_logs.get(&set.validator);
    if let Some(own) = own.filter(|own| !(due && own.has_no_log_until(window))) {
        let logs = recent(own, window);
        if logs.iter().any(|log| difference(&on_chain, &log.stated.weights).is_none()) {
            return Verdict::Agree;
        }
        let oldest = logs.last().map_or(Window(0), |log| log.header.window);
        if let Some((window, why)) = own.unreadable(oldest, window) {
            return Verdict::unknown(format!(
                "the weights may come from the score log of window {window}: {why}"
            ));
        }
        if logs.is_empty() {
            return Verdict::unknown("cannot read any score log that these weights may come from");
        }
    }
    let newest = own.and_then(|own| recent(own, window).into_iter().next());
    let author = author(score_logs, &set.validator, window, &on_chain);
    follows_no_log(set, &on_chain, newest, author)
}

/// Returns the logs up to a window that weights may come from, newest first. Without any score, the last good
/// weights stay.
fn recent(logs: &ValidatorLogs, window: Window) -> Vec<&ScoreLog> {
    let with_weights = |log: &&ScoreLog| !log.stated.weights.is_empty();
    logs.until(window).filter(with_weights).take(LOGS).collect()
}

/// Returns the newest score log of another validator that states these weights.
fn author<'a>(
    score_logs: &'a ScoreLogs,
    validator: &NeuronId,
    window: Window,
    on_chain: &Weights,
) -> Option<&'a ScoreLog> {
    let others = score_logs.values().filter(|logs| logs.validator().hotkey != validator.hotkey);
    let same = |log: &&ScoreLog| difference(on_chain, &log.stated.weights).is_none();
    others.filter_map(|logs| logs.until(window).find(same)).max_by_key(|log| log.header.window)
}

/// Returns the verdict on weights that follow no log of their validator: its newest one with weights differs.
/// `author` is the log of another validator that states them.
fn follows_no_log(
    set: &Set,
    on_chain: &Weights,
    newest: Option<&ScoreLog>,
    author: Option<&ScoreLog>,
) -> Verdict {
    let differs = newest.and_then(|log| Some((log, difference(on_chain, &log.stated.weights)?)));
    let (stated, computed) = match differs {
        Some((log, Difference::Weight { uid, stated, replayed })) => {
            (text(uid, stated), format!("{} in the log of window {}", text(uid, replayed), log.header.window))
        }
        _ => (format!("{} uids with weights", on_chain.len()), "it has no score log with weights".to_owned()),
    };
    let whose = match author {
        Some(log) => {
            let (author, window) = (log.header.validator.hotkey, log.header.window);
            format!("are those of {author} in its score log of window {window}")
        }
        None => "match no recent score log of any validator".to_owned(),
    };
    Verdict::differ(format!("the weights set in block {} {whose}", set.height), stated, computed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burnt_share_is_weighed_by_stake() {
        let (half, none, empty): (Row, Row, Row) =
            (vec![(Uid(0), 7), (Uid(4), 7)], vec![(Uid(4), 65535)], Row::new());
        let share =
            |owner: Option<u16>, rows: &[(u16, &Row)]| burnt_share(owner.map(Uid), rows.iter().copied());
        assert_eq!(share(Some(0), &[(30, &half), (10, &none), (90, &empty)]), Some(0.375));
        assert_eq!(share(Some(4), &[(1, &none)]), Some(1.0));
        assert_eq!(share(Some(1), &[(30, &half)]), Some(0.0));
        assert_eq!(share(None, &[(30, &half)]), Some(0.0));
        assert_eq!(share(Some(0), &[(90, &empty)]), None);
        assert_eq!(share(Some(0), &[(0, &half)]), None, "a validator without stake counts for nothing");
    }
}
