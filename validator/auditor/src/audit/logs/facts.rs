//! Compares a score log with the window on chain.

use crate::{
    audit::seen::{Chain, Seen},
    report::Verdict,
};
use base::{Height, Hotkey, Uid, digest::ObjectHash};
use scoring::{gauntlet::Outcome, score_log::ScoreLog};
use std::collections::BTreeMap;

/// Compares seed, claims, uids, subnet rules and state, in this order, and returns the first difference.
pub(super) fn check(seen: &Seen, chain: &Chain, log: &ScoreLog) -> Verdict {
    let header = &log.header;
    if header.seed != chain.seed.hash {
        return Verdict::differ("the seed of the evaluations", header.seed, chain.seed.hash);
    }
    if let Some(verdict) = claims(chain, log).or_else(|| uids(chain, log)).or_else(|| subnet(chain, log)) {
        return verdict;
    }
    match &seen.state {
        Ok((_, state)) => Verdict::same("the state at the window's start", header.state, *state),
        Err(why) => Verdict::unread(why),
    }
}

/// Returns the first claim that differs from the chain: another object, or another registration.
fn claims(chain: &Chain, log: &ScoreLog) -> Option<Verdict> {
    type Claimed = Option<(ObjectHash, Height)>;
    let text = |claimed: Claimed| {
        claimed
            .map_or("no claim".to_owned(), |(object, block)| format!("{object}, registered in block {block}"))
    };
    let chain: BTreeMap<Hotkey, _> =
        chain.claims.iter().map(|(miner, claim)| (miner.hotkey, (claim.object, miner.registered))).collect();
    let stated = |miner| -> Claimed {
        let line = log.miners.get(miner).filter(|line| line.object != ObjectHash::default())?;
        Some((line.object, line.registered))
    };
    let claimed = |miner| chain.get(miner).copied();
    let mut miners = chain.keys().chain(log.miners.keys());
    let miner = miners.find(|&miner| stated(miner) != claimed(miner))?;
    Some(Verdict::differ(
        format!("the object that {miner} claimed"),
        text(stated(miner)),
        text(claimed(miner)),
    ))
}

/// Returns the first miner whose uid differs from the chain. A miner that is gone has no uid.
fn uids(chain: &Chain, log: &ScoreLog) -> Option<Verdict> {
    for (miner, line) in &log.miners {
        let stated = (line.outcome != Outcome::Gone).then_some(line.uid);
        let found = chain.seed.neuron(miner).map(|(_, uid)| uid);
        if stated != found {
            return Some(Verdict::differ(format!("the uid of {miner}"), uid(stated), uid(found)));
        }
    }
    None
}

fn uid(uid: Option<Uid>) -> String {
    uid.map_or("none".to_owned(), |uid| uid.to_string())
}

/// Returns the first subnet rule that differs from the chain.
fn subnet(chain: &Chain, log: &ScoreLog) -> Option<Verdict> {
    let stated = &log.header.subnet;
    let rules = &chain.rules;
    let metagraph = &chain.seed.metagraph;
    let pairs = [
        ("the uid of the subnet's owner", uid(stated.owner), uid(metagraph.owner_uid())),
        ("the number of uids", stated.uids.to_string(), metagraph.neurons.len().to_string()),
        ("MinAllowedWeights", stated.min_allowed.to_string(), rules.min_weights.to_string()),
        ("MaxWeightsLimit", stated.max_limit.to_string(), rules.max_weight.to_string()),
    ];
    let differs = pairs.into_iter().find(|(_, stated, found)| stated != found);
    differs.map(|(what, stated, found)| Verdict::differ(what, stated, found))
}
