//! Compares the weights on chain with the score logs, and finds the burnt share.
//!
//! The rule: weights are those of a recent score log of their validator. Weights that follow none are
//! marked. If another validator's log states them, it is named: weights that are copied from a log after its
//! publication keep most of their trust on chain, so only this comparison tells (A8).
//!
//! A weight of 0 is right for a uid whose miner has lost it. On a subnet with commit-reveal, the weights of a
//! commit are those on chain at the end of the epoch in which it is revealed.

use super::{Auditor, logs::ValidatorLogs, score_logs::ScoreLogs, seen::Seen, unknown::Unknown};
use crate::{
    AuditError,
    report::{Finding, Item, Subject, Verdict},
};
use base::{Height, Hotkey, NeuronId, Uid, Window};
use chain::{Neuron, Row, scale_to_max};
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
    /// The hotkey at each uid, later on.
    seats: Vec<Hotkey>,
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
        let seats = state.metagraph.hotkeys();
        let is_hidden = seen.chain.as_ref().is_ok_and(|chain| chain.rules.commit_reveal);
        let mut sets = Vec::new();
        for neuron in &state.metagraph.neurons {
            let height = neuron.last_update;
            if height > from && height <= until && height > neuron.registered {
                let validator = NeuronId { hotkey: neuron.hotkey, registered: neuron.registered };
                let row = if is_hidden {
                    self.revealed_row(neuron, finalized).await?
                } else {
                    self.row(neuron.uid, height, &state).await?
                };
                sets.push(Set { validator, uid: neuron.uid, height, row, seats: seats.clone() });
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
        let rows = self.chain_reader.snapshot(state.hash).weights(self.chain_reader.netuid(), &uids).await;
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
        let at = self.read(self.chain_reader.hash(height).await)?;
        for block in [at.ok(), Some(later.hash)].into_iter().flatten() {
            let row = self.chain_reader.snapshot(block).weights(self.chain_reader.netuid(), &[uid]).await;
            if let Ok(rows) = self.read(row)? {
                return Ok(rows.into_iter().next().ok_or(Unknown::NoWeights));
            }
        }
        Ok(Err(Unknown::Weights { uid, height }))
    }
}

impl Auditor {
    /// Returns the weights that a neuron committed last, as the chain has revealed them.
    async fn revealed_row(
        &self,
        neuron: &Neuron,
        finalized: Height,
    ) -> Result<Result<Row, Unknown>, AuditError> {
        let netuid = self.chain_reader.netuid();
        let Neuron { uid, hotkey, last_update: height, .. } = *neuron;
        let unknown = Unknown::Weights { uid, height };
        let Ok(hash) = self.read(self.chain_reader.hash(height).await)? else { return Ok(Err(unknown)) };
        let at = self.chain_reader.snapshot(hash);
        let pending = self.read(at.pending_commits(netuid, &hotkey).await)?;
        let Some(commit) = pending.ok().and_then(|list| list.into_iter().find(|one| one.block == height))
        else {
            return Ok(Err(unknown));
        };
        let Ok((schedule, period)) = self.read(at.reveal_schedule(netuid).await)? else {
            return Ok(Err(unknown));
        };
        let epoch = commit.epoch.saturating_add(period);
        let first = schedule.first_block(epoch);
        let (Some(first), Some(next)) = (first, schedule.first_block(epoch.saturating_add(1))) else {
            return Ok(Err(unknown));
        };
        // Only commits of that epoch are revealed in it, and of several the last one counts.
        let hidden = Unknown::Hidden { height, reveal: first };
        let last = Height(next.0.saturating_sub(1)).min(finalized);
        if last < first {
            return Ok(Err(hidden));
        }
        let Ok(hash) = self.read(self.chain_reader.hash(last).await)? else { return Ok(Err(unknown)) };
        let at = self.chain_reader.snapshot(hash);
        let (Ok(pending), Ok((then, _))) = (
            self.read(at.pending_commits(netuid, &hotkey).await)?,
            self.read(at.reveal_schedule(netuid).await)?,
        ) else {
            return Ok(Err(unknown));
        };
        if then.index != epoch || pending.iter().any(|one| one.hash == commit.hash) {
            return Ok(Err(hidden));
        }
        let row = self.read(at.weights(netuid, &[uid]).await)?;
        Ok(row.map_err(|_| unknown).and_then(|rows| rows.into_iter().next().ok_or(Unknown::NoWeights)))
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
    let window = seen.heights.window;
    let on_chain: Weights = row.iter().copied().collect();
    let own = score_logs.get(&set.validator);
    if let Some(own) = own.filter(|own| !(due && own.has_no_log_until(window))) {
        let logs = recent(own, window);
        if logs.iter().any(|log| follows(&on_chain, log, &set.seats)) {
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

/// Returns whether weights are those of a log, or would be if the miners that have lost their uids had none.
fn follows(on_chain: &Weights, log: &ScoreLog, seats: &[Hotkey]) -> bool {
    if difference(on_chain, &log.stated.weights).is_none() {
        return true;
    }
    let lost = log.lost_seats(seats);
    let is_taken_back = |uid: &Uid| lost.contains(uid) && on_chain.get(uid).is_none_or(|weight| *weight == 0);
    let stated = log.stated.weights.iter();
    let row: Row = stated.map(|(uid, &weight)| (*uid, if is_taken_back(uid) { 0 } else { weight })).collect();
    // The chain scales weights so that the largest is 65535 again.
    let scaled = scale_to_max(&row).unwrap_or_default().into_iter().collect();
    difference(on_chain, &scaled).is_none()
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
    use base::{
        BlockHash,
        digest::{ObjectHash, RunHash, State},
    };
    use scoring::{
        gauntlet::{Outcome, ScoringSpec, Standings},
        score_log::{Header, MinerLine},
        weights::Subnet,
    };

    /// Returns a log with miners of these uids and names.
    fn log_of(miners: &[(u16, u8)]) -> ScoreLog {
        let header = Header {
            run: RunHash([7; 32]),
            validator: NeuronId { hotkey: Hotkey([1; 32]), registered: Height(4) },
            window: Window(3),
            state: State([2; 32]),
            seed: BlockHash([3; 32]),
            previous: Default::default(),
            standings: Standings::default().hash(),
            adopted: None,
            unassigned_before: 4.0,
            baselines: Default::default(),
            subnet: Subnet { owner: Some(Uid(0)), uids: 9, min_allowed: 1, max_limit: 65535 },
        };
        let line = |&(uid, name): &(u16, u8)| {
            let (registered, object) = (Height(10), ObjectHash([name; 32]));
            let line = MinerLine { uid: Uid(uid), registered, object, outcome: Outcome::Skipped };
            (Hotkey([name; 32]), line)
        };
        let miners = miners.iter().map(line).collect();
        ScoreLog::close(&ScoringSpec::default(), &Standings::default(), header, miners).unwrap().0
    }

    /// Checks weights on three miners, of which one has lost its uid, against those of their log.
    #[test]
    fn a_uid_that_another_hotkey_has_taken_may_have_nothing() {
        let weights = |row: &[(u16, u16)]| row.iter().map(|&(uid, weight)| (Uid(uid), weight)).collect();
        let mut log = log_of(&[(1, 11), (2, 12), (3, 13)]);
        log.stated.weights = weights(&[(1, 30000), (2, 65535), (3, 300)]);
        let seats = |names: [u8; 4]| names.map(|name| Hotkey([name; 32]));
        let follows = |row: &[(u16, u16)], names| follows(&weights(row), &log, &seats(names));
        let stated = [(1, 30000), (2, 65535), (3, 300)];
        assert!(follows(&stated, [0, 11, 12, 13]));
        assert!(follows(&stated, [0, 11, 12, 99]), "it was taken after the weights were set");
        assert!(follows(&[(1, 30000), (2, 65535)], [0, 11, 12, 99]));
        assert!(!follows(&[(1, 30000), (2, 65535)], [0, 11, 12, 13]), "it still has its uid");
        assert!(follows(&[(1, 65535), (3, 655)], [0, 11, 99, 13]), "scaled again");
        assert!(!follows(&[(1, 65535), (3, 300)], [0, 11, 99, 13]));
        assert!(!follows(&[(1, 30000), (2, 65535), (3, 400)], [0, 11, 12, 99]));
    }

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
