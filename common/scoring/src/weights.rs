//! Computes the weights that a validator sets on chain from the scores.
//!
//! * Miners are paid in proportion to their scores.
//! * A share of the weight is burnt if the run spec says so: it goes to the subnet owner's uid.
//! * Without any score there are no weights. The last ones stay on chain.
//! * Zeros fill the weights up to the subnet's minimum count.
//! * No weight has a larger share than the subnet's limit.
//!
//! The computation uses integers only: the same scores give the same weights on any machine.

use crate::{gauntlet::WeightSpec, pay::Score};
use base::{Hotkey, Millionths, Uid};
use std::collections::BTreeMap;

/// The subnet's rules for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The uid of the subnet owner's hotkey, if it has one.
    pub owner: Option<Uid>,
    /// Number of uids, counted from 0 (`SubnetworkN`).
    pub uids: u16,
    /// Minimum number of uids with a weight, or all if there are fewer (`MinAllowedWeights`).
    pub min_allowed: u16,
    /// Maximum share of one weight in the sum, in 65535ths (`MaxWeightsLimit`).
    pub max_limit: u16,
}

/// The weights to set, by uid. The largest is 65535.
pub type Weights = BTreeMap<Uid, u16>;

/// An error in computing weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// No miner with a uid has a score.
    #[error("no miner has a score: the last weights stay")]
    NoScore,
    /// The run spec burns weight, but the owner has no uid.
    #[error(
        "the subnet owner has no uid to burn weight at: register its hotkey, or set scoring.weights.burn to 0"
    )]
    NoOwner,
    /// A uid that the subnet does not have.
    #[error("cannot set a weight for uid {uid}: the subnet has {uids} uids")]
    Beyond {
        /// The uid.
        uid: Uid,
        /// The number of uids of the subnet.
        uids: u16,
    },
    /// Too few paid uids for each to stay below the limit.
    #[error(
        "{paid} uids are paid, but MaxWeightsLimit {limit} needs at least {least}: wait until more miners have a score"
    )]
    Limit {
        /// Number of uids with a weight above 0.
        paid: usize,
        /// The limit, in 65535ths.
        limit: u16,
        /// Minimum number of paid uids for this limit.
        least: u32,
    },
}

/// The largest weight.
const FULL: u128 = u16::MAX as u128;

/// Computes the weights for the scores on this subnet. Miners without a uid get none: their hotkeys are not
/// registered.
///
/// # Errors
/// No miner has a score, a uid is too large, the owner has no uid to burn weight at, or too few uids are
/// paid for the subnet's limit.
pub fn weights(
    spec: &WeightSpec,
    scores: &BTreeMap<Hotkey, Score>,
    uids: &BTreeMap<Hotkey, Uid>,
    subnet: &Subnet,
) -> Result<Weights, WeightsError> {
    let mut shares = shares(scores, uids)?;
    burn(spec.burn, &mut shares, subnet.owner)?;
    if let Some(&uid) = shares.keys().find(|uid| uid.0 >= subnet.uids) {
        return Err(WeightsError::Beyond { uid, uids: subnet.uids });
    }
    let mut weights = scaled(&shares, subnet.max_limit)?;
    fill(&mut weights, subnet);
    Ok(weights)
}

/// Returns the share of each paid uid in the part that is not burnt.
///
/// Scores are scaled so that the best one is 2^24. The rounding steps are far finer than those of the
/// weights.
fn shares(
    scores: &BTreeMap<Hotkey, Score>,
    uids: &BTreeMap<Hotkey, Uid>,
) -> Result<BTreeMap<Uid, u128>, WeightsError> {
    let paid = || {
        let uid = |(miner, score): (&Hotkey, &Score)| Some((*uids.get(miner)?, u128::from(score.0)));
        scores.iter().filter(|(_, score)| score.0 > 0).filter_map(uid)
    };
    let best = paid().map(|(_, score)| score).max().ok_or(WeightsError::NoScore)?;
    let mut shares = BTreeMap::new();
    for (uid, score) in paid() {
        *shares.entry(uid).or_default() += (score << 24).div_ceil(best);
    }
    Ok(shares)
}

/// Adds the owner's share.
fn burn(burn: Millionths, shares: &mut BTreeMap<Uid, u128>, owner: Option<Uid>) -> Result<(), WeightsError> {
    let whole = Millionths::ONE.0.unsigned_abs();
    let burnt = burn.0.clamp(0, Millionths::ONE.0).unsigned_abs();
    if burnt == 0 {
        return Ok(());
    }
    let owner = owner.ok_or(WeightsError::NoOwner)?;
    if burnt == whole {
        *shares = [(owner, 1)].into();
        return Ok(());
    }
    let paid: u128 = shares.values().sum();
    shares.values_mut().for_each(|share| *share *= u128::from(whole - burnt));
    *shares.entry(owner).or_default() += paid * u128::from(burnt);
    Ok(())
}

/// Cuts shares to the level at which the largest keeps the limit, then scales them so that the largest
/// is 65535.
///
/// The cut amount goes to the other shares in proportion. Weights are rounded up: so no share vanishes, and
/// the largest weight only gets smaller relative to the sum.
fn scaled(shares: &BTreeMap<Uid, u128>, limit: u16) -> Result<Weights, WeightsError> {
    let paid = shares.values().filter(|&&share| share > 0).count();
    let keeps = |level: u128| {
        let sum: u128 = shares.values().map(|&share| share.min(level)).sum();
        level * FULL <= sum * u128::from(limit)
    };
    if !keeps(1) {
        let least = u32::from(u16::MAX).div_ceil(u32::from(limit.max(1)));
        return Err(WeightsError::Limit { paid, limit, least });
    }
    let level = largest(keeps, shares.values().copied().max().unwrap_or(1));
    Ok(shares.iter().map(|(&uid, &share)| (uid, (share.min(level) * FULL).div_ceil(level) as u16)).collect())
}

/// Returns the largest level from 1 to `most` that keeps the limit. If a level keeps it, all lower
/// levels do too.
fn largest(keeps: impl Fn(u128) -> bool, most: u128) -> u128 {
    let mut good = 1;
    let mut bad = most + 1;
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if keeps(middle) { good = middle } else { bad = middle }
    }
    good
}

/// Adds uids with weight 0, from the lowest, up to the subnet's minimum.
fn fill(weights: &mut Weights, subnet: &Subnet) {
    let least = usize::from(subnet.min_allowed.min(subnet.uids));
    for uid in (0..subnet.uids).map(Uid) {
        if weights.len() >= least {
            return;
        }
        weights.entry(uid).or_insert(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: Uid = Uid(9);
    const SUBNET: Subnet = Subnet { owner: Some(OWNER), uids: 10, min_allowed: 1, max_limit: 65535 };
    const HALF: WeightSpec = WeightSpec { burn: Millionths(500_000) };
    const ALL: WeightSpec = WeightSpec { burn: Millionths::ONE };
    const NONE: WeightSpec = WeightSpec { burn: Millionths::ZERO };

    fn miner(index: u16) -> Hotkey {
        let mut hotkey = [0; 32];
        hotkey[..2].copy_from_slice(&index.to_le_bytes());
        Hotkey(hotkey)
    }

    /// Computes the weights of miners whose uid is their index in the list.
    fn weigh(spec: &WeightSpec, scores: &[u64], subnet: &Subnet) -> Result<Vec<(u16, u16)>, WeightsError> {
        let indices = 0..scores.len() as u16;
        let uids = indices.clone().map(|index| (miner(index), Uid(index))).collect();
        let scores = indices.map(|index| (miner(index), Score(scores[usize::from(index)]))).collect();
        Ok(weights(spec, &scores, &uids, subnet)?.into_iter().map(|(uid, weight)| (uid.0, weight)).collect())
    }

    #[test]
    fn weights_are_proportional() {
        let weights = weigh(&NONE, &[1000, 500, 250], &SUBNET).unwrap();
        assert_eq!(weights, [(0, 65535), (1, 32768), (2, 16384)]);
    }

    #[test]
    fn half_is_burnt_at_the_owners_uid() {
        let weights = weigh(&HALF, &[1000, 1000], &SUBNET).unwrap();
        assert_eq!(weights, [(0, 32768), (1, 32768), (9, 65535)]);
        assert_eq!(weigh(&ALL, &[1000, 1000], &SUBNET).unwrap(), [(9, 65535)]);
    }

    #[test]
    fn without_a_score_the_last_weights_stay() {
        for spec in [NONE, HALF, ALL] {
            assert_eq!(weigh(&spec, &[0, 0], &SUBNET), Err(WeightsError::NoScore));
        }
    }

    #[test]
    fn a_hotkey_without_a_uid_is_not_paid() {
        let scores = [(miner(0), Score(5)), (miner(1), Score(7))].into();
        let weights = weights(&NONE, &scores, &[(miner(0), Uid(0))].into(), &SUBNET).unwrap();
        assert_eq!(weights, [(Uid(0), 65535)].into());
    }

    #[test]
    fn zeros_fill_up_to_the_minimum() {
        let subnet = Subnet { min_allowed: 4, ..SUBNET };
        let weights = weigh(&HALF, &[0, 5], &subnet).unwrap();
        assert_eq!(weights, [(0, 0), (1, 65535), (2, 0), (9, 65535)]);
        let subnet = Subnet { min_allowed: 1024, ..SUBNET };
        assert_eq!(weigh(&HALF, &[0, 5], &subnet).unwrap().len(), 10, "as many as there are");
    }

    #[test]
    fn no_share_is_above_the_limit() {
        let subnet = Subnet { max_limit: 26214, ..SUBNET }; // 40 %
        let weights = weigh(&HALF, &[1000, 500], &subnet).unwrap();
        let sum: u32 = weights.iter().map(|&(_, weight)| u32::from(weight)).sum();
        assert_eq!(weights.iter().map(|&(uid, _)| uid).collect::<Vec<_>>(), [0, 1, 9]);
        assert_eq!((weights[0].1, weights[2].1), (65535, 65535));
        assert!(u64::from(sum) * 26214 >= 65535 * 65535);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let text = |result: Result<Vec<_>, WeightsError>| result.unwrap_err().to_string();
        let subnet = Subnet { owner: None, ..SUBNET };
        let expected = "the subnet owner has no uid to burn weight at: register its hotkey, or set scoring.weights.burn to 0";
        assert_eq!(text(weigh(&HALF, &[1], &subnet)), expected);
        let subnet = Subnet { max_limit: 6553, ..SUBNET };
        let expected = "2 uids are paid, but MaxWeightsLimit 6553 needs at least 11: wait until more miners have a score";
        assert_eq!(text(weigh(&HALF, &[1], &subnet)), expected);
        assert!(text(weigh(&HALF, &[1], &Subnet { max_limit: 0, ..SUBNET })).contains("at least 65535"));
        let scores = [(miner(1), Score(1))].into();
        let error = weights(&HALF, &scores, &[(miner(1), Uid(10))].into(), &SUBNET).unwrap_err().to_string();
        assert_eq!(error, "cannot set a weight for uid 10: the subnet has 10 uids");
    }

    proptest! {
        #[test]
        fn weights_are_what_the_chain_accepts(
            scores in prop::collection::vec(prop_oneof![Just(0), 1..1_000_000_000_000_000u64, 1..10u64], 0..300),
            burn in 0..=1_000_000i64,
            (more, min_allowed, max_limit) in (1..50u16, 0..400u16, 1..=65535u16),
        ) {
            let uids = scores.len() as u16 + more;
            let subnet = Subnet { owner: Some(Uid(uids - 1)), uids, min_allowed, max_limit };
            let spec = WeightSpec { burn: Millionths(burn) };
            let weights = match weigh(&spec, &scores, &subnet) {
                Ok(weights) => weights,
                Err(WeightsError::Limit { paid, least, .. }) => {
                    prop_assert!(paid < least as usize);
                    return Ok(());
                }
                Err(WeightsError::NoScore) => {
                    prop_assert!(scores.iter().all(|&score| score == 0));
                    return Ok(());
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let sum: u64 = weights.iter().map(|&(_, weight)| u64::from(weight)).sum();
            prop_assert_eq!(weights.iter().map(|&(_, weight)| weight).max(), Some(65535));
            prop_assert!(65535 * 65535 <= u64::from(max_limit) * sum, "a share is above the limit");
            prop_assert!(weights.len() >= usize::from(min_allowed.min(uids)));
            let paid = |uid: u16| weights.iter().find(|&&(u, _)| u == uid).map_or(0, |&(_, weight)| weight);
            let mut by_score: Vec<_> = (0..scores.len() as u16).collect();
            by_score.sort_by_key(|&uid| (std::cmp::Reverse(scores[usize::from(uid)]), uid));
            prop_assert!(by_score.windows(2).all(|pair| paid(pair[0]) >= paid(pair[1])), "more score, no less weight");
            for &uid in &by_score {
                let expected = scores[usize::from(uid)] > 0 && burn < 1_000_000;
                prop_assert_eq!(paid(uid) > 0, expected, "uid {}", uid);
            }
            if max_limit == 65535 && (1..1_000_000).contains(&burn) {
                let burnt = paid(uids - 1) as f64 / sum as f64;
                prop_assert!((burnt - burn as f64 / 1e6).abs() < 0.005, "burnt {burnt} of {burn}");
            }
        }
    }
}
