//! Finds the first difference between a validator's stated results and the replayed results.

use super::{Results, Stated};
use crate::{
    gauntlet::{FieldWindow, Standing, Standings},
    pay::Score,
    weights::Weights,
};
use base::{Hotkey, Uid};
use std::{collections::BTreeMap, fmt};

/// One item that differs. `None` means that the miner or uid is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "an error keeps it in a box")]
pub enum Difference {
    /// The field's medians of a window.
    Field {
        /// The window, counted from the oldest.
        index: usize,
        /// The validator's value.
        stated: Option<FieldWindow>,
        /// The replayed value.
        replayed: Option<FieldWindow>,
    },
    /// A miner's standing.
    Standing {
        /// The miner.
        miner: Hotkey,
        /// The validator's value.
        stated: Option<Standing>,
        /// The replayed value.
        replayed: Option<Standing>,
    },
    /// A miner's score.
    Score {
        /// The miner.
        miner: Hotkey,
        /// The validator's value.
        stated: Option<Score>,
        /// The replayed value.
        replayed: Option<Score>,
    },
    /// A uid's weight.
    Weight {
        /// The uid.
        uid: Uid,
        /// The validator's value in the log, or on chain.
        stated: Option<u16>,
        /// The replayed value.
        replayed: Option<u16>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { index, stated, replayed } => {
                let text = |window: &FieldWindow| format!("{} {}", window.improvement(), window.margin());
                let (stated, replayed) = (stated.as_ref().map(text), replayed.as_ref().map(text));
                write!(f, "the field's medians {index}: {}", both(stated, replayed))
            }
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

/// Writes the first part of a standing that differs.
fn standing(
    f: &mut fmt::Formatter<'_>,
    miner: &Hotkey,
    stated: Option<Standing>,
    replayed: Option<Standing>,
) -> fmt::Result {
    let part = |of: fn(Standing) -> String| (stated.map(of), replayed.map(of));
    let parts = [
        ("mu", part(|standing| standing.rating.mu().to_string())),
        ("sigma", part(|standing| standing.rating.sigma().to_string())),
        ("proof", part(|standing| format!("{:?}", standing.proof))),
        ("contribution", part(|standing| standing.contribution.mean().to_string())),
        ("last relative improvement", part(|standing| standing.contribution.last().to_string())),
        ("credit", part(|standing| standing.credit.to_string())),
        ("failures in a row", part(|standing| standing.failures.to_string())),
        ("judged windows", part(|standing| standing.judged.to_string())),
        ("last window with a claim", part(|standing| standing.seen.to_string())),
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
    /// Returns the first item that differs: the field, then standings and scores in the order of hotkeys,
    /// then weights in the order of uids.
    #[must_use]
    pub fn difference(&self, replayed: &Results) -> Option<Difference> {
        let field = |of: &Standings| of.field().windows().iter().copied().enumerate().collect();
        let standings = |of: &Standings| of.iter().map(|(&m, &s)| (m, s)).collect();
        let weights = replayed.weights.clone().unwrap_or_default();
        first(&field(&self.standings), &field(&replayed.standings))
            .map(|(index, stated, replayed)| Difference::Field { index, stated, replayed })
            .or_else(|| {
                first(&standings(&self.standings), &standings(&replayed.standings))
                    .map(|(miner, stated, replayed)| Difference::Standing { miner, stated, replayed })
            })
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

/// Returns the first uid with different weights, for instance on chain and in a replay.
#[must_use]
pub fn weights_difference(stated: &Weights, replayed: &Weights) -> Option<Difference> {
    first(stated, replayed).map(|(uid, stated, replayed)| Difference::Weight { uid, stated, replayed })
}

/// Returns the lowest key with different values, and both values.
fn first<K: Ord + Copy, V: PartialEq + Copy>(
    stated: &BTreeMap<K, V>,
    replayed: &BTreeMap<K, V>,
) -> Option<(K, Option<V>, Option<V>)> {
    let differs = |key: &&K| stated.get(key) != replayed.get(key);
    let keys = [stated.keys().find(differs), replayed.keys().find(differs)];
    let key = *keys.into_iter().flatten().min()?;
    Some((key, stated.get(&key).copied(), replayed.get(&key).copied()))
}
