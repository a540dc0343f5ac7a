//! Where what a validator states and what comes out of its measurements part.

use super::{Results, Stated};
use crate::{
    gauntlet::{Score, Standing},
    weights::Weights,
};
use base::{NeuronId, Uid};
use std::{collections::BTreeMap, fmt};

/// One item that differs. `None` stands for a miner or uid that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// What is known of a miner.
    Standing {
        /// The miner.
        miner: NeuronId,
        /// What the validator says.
        stated: Option<Standing>,
        /// What comes out.
        replayed: Option<Standing>,
    },
    /// A miner's score.
    Score {
        /// The miner.
        miner: NeuronId,
        /// What the validator says.
        stated: Option<Score>,
        /// What comes out.
        replayed: Option<Score>,
    },
    /// A uid's weight.
    Weight {
        /// The uid.
        uid: Uid,
        /// What the validator says, or has set on chain.
        stated: Option<u16>,
        /// What comes out.
        replayed: Option<u16>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standing { miner, stated, replayed } => standing(f, miner, *stated, *replayed),
            Self::Score { miner, stated, replayed } => {
                write!(f, "the score of {miner}: {}", both(stated.map(|s| s.0), replayed.map(|s| s.0)))
            }
            Self::Weight { uid, stated, replayed } => {
                write!(f, "the weight of uid {uid}: {}", both(*stated, *replayed))
            }
        }
    }
}

/// Names the first part of a standing that differs.
fn standing(
    f: &mut fmt::Formatter<'_>,
    miner: &NeuronId,
    stated: Option<Standing>,
    replayed: Option<Standing>,
) -> fmt::Result {
    let part = |of: fn(Standing) -> String| (stated.map(of), replayed.map(of));
    let parts = [
        ("mu", part(|standing| standing.rating.mu().to_string())),
        ("sigma", part(|standing| standing.rating.sigma().to_string())),
        ("proof", part(|standing| format!("{:?}", standing.proof))),
        ("credit", part(|standing| standing.credit.to_string())),
        ("failures in a row", part(|standing| standing.failures.to_string())),
        ("judged windows", part(|standing| standing.judged.to_string())),
    ];
    let differing = parts.into_iter().find(|(_, (stated, replayed))| stated != replayed);
    let (name, (stated, replayed)) = differing.unwrap_or(("standing", (None, None)));
    write!(f, "the {name} of {miner}: {}", both(stated, replayed))
}

fn both<T: fmt::Display>(stated: Option<T>, replayed: Option<T>) -> String {
    let text = |value: Option<T>| value.map_or("nothing".to_owned(), |value| value.to_string());
    format!("stated is {}, replayed {}", text(stated), text(replayed))
}

impl Stated {
    /// The first item that comes out differently: standings, then scores, both in the order of hotkeys, then weights in the
    /// order of uids.
    #[must_use]
    pub fn difference(&self, replayed: &Results) -> Option<Difference> {
        let standings = |of: &crate::gauntlet::Standings| of.iter().map(|(&m, &s)| (m, s)).collect();
        let weights = replayed.weights.clone().unwrap_or_default();
        first(&standings(&self.standings), &standings(&replayed.standings))
            .map(|(miner, stated, replayed)| Difference::Standing { miner, stated, replayed })
            .or_else(|| {
                first(&self.scores, &replayed.scores).map(|(miner, stated, replayed)| Difference::Score {
                    miner,
                    stated,
                    replayed,
                })
            })
            .or_else(|| weights_difference(&self.weights, &weights))
    }
}

/// The first uid whose weight is not the same, for instance on chain and in a replay.
#[must_use]
pub fn weights_difference(stated: &Weights, replayed: &Weights) -> Option<Difference> {
    first(stated, replayed).map(|(uid, stated, replayed)| Difference::Weight { uid, stated, replayed })
}

/// The lowest key whose values are not the same.
fn first<K: Ord + Copy, V: PartialEq + Copy>(
    stated: &BTreeMap<K, V>,
    replayed: &BTreeMap<K, V>,
) -> Option<(K, Option<V>, Option<V>)> {
    let differs = |key: &&K| stated.get(key) != replayed.get(key);
    let keys = [stated.keys().find(differs), replayed.keys().find(differs)];
    let key = *keys.into_iter().flatten().min()?;
    Some((key, stated.get(&key).copied(), replayed.get(&key).copied()))
}
