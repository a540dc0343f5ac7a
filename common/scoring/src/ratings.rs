//! Ratings of miners: OpenSkill's Plackett-Luce (Weng, Lin 2011), each window one match of all that were evaluated.
//!
//! A rating is a belief: skill `mu`, uncertainty `sigma`. Losses of different windows cannot be compared, the order
//! within one window can. The computation is the crate `openskill`'s, equal to PyPI's openskill 6.2.0 to 1e-13 (see
//! `tests/vectors`), with beta 7 and tau 0.1 as Templar ran it. Its exponentials differ in the last bits between
//! platforms; so players go in by hotkey order, and what comes out is rounded to 1e-6 before anything rests on it.
//!
//! A failed submission is no part of the match: entered as a tie at the bottom it would raise ratings (openskill.py issue
//! 155). Nor does it lower its miner's rating: what one miner loses that nobody wins, all others lose to it when it comes
//! back, and after some hundred windows every rating is below 0. Failures cost
//! [credit](crate::gauntlet::Standing::credit) instead.

use base::{
    Millionths, NeuronId,
    wire::{Reader, WireError, Writer},
};
use openskill::{
    constant::KAPPA,
    model::{model::Model as _, plackett_luce::PlackettLuce},
    rating::default_gamma,
};
use std::collections::BTreeMap;

/// Spread of one performance around the skill, in points of mu (Templar's `openskill_beta`).
pub const BETA: f64 = 7.0;
/// What a match adds to sigma, as a root of squares, so that ratings never freeze (Templar's `openskill_tau`).
pub const TAU: f64 = 0.1;
/// Bound of mu, far beyond what play reaches; it keeps exponentials finite.
const MOST_MU: i64 = 1_000_000_000;
/// Bound of sigma.
const MOST_SIGMA: i64 = 100_000_000;

/// What a validator believes of a miner's skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rating {
    mu: Millionths,
    sigma: Millionths,
}

/// A player of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its rating before.
    pub rating: Rating,
    /// Its place: 1 is the best. No two players of a match share one.
    pub place: usize,
}

impl Default for Rating {
    /// A miner of whom nothing is known: mu 25, sigma 25/3.
    fn default() -> Self {
        Self { mu: Millionths(25_000_000), sigma: Millionths(8_333_333) }
    }
}

impl Rating {
    /// Bytes of a rating in every format.
    pub const BYTES: usize = 16;

    /// A rating from its parts, each brought into its bounds: mu within 1000 of 0, sigma from 0.000001 to 100.
    #[must_use]
    pub fn new(mu: Millionths, sigma: Millionths) -> Self {
        let mu = Millionths(mu.0.clamp(-MOST_MU, MOST_MU));
        Self { mu, sigma: Millionths(sigma.0.clamp(1, MOST_SIGMA)) }
    }

    /// Believed skill.
    #[must_use]
    pub fn mu(self) -> Millionths {
        self.mu
    }

    /// Uncertainty of the skill.
    #[must_use]
    pub fn sigma(self) -> Millionths {
        self.sigma
    }

    /// The skill that the miner has in all likelihood: `mu - z sigma`. May be negative.
    #[must_use]
    pub fn value(self, z: Millionths) -> Millionths {
        Millionths(self.mu.0 - z.times(self.sigma).0)
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.mu.0 as u64).u64(self.sigma.0 as u64);
    }

    /// Reads a rating.
    ///
    /// # Errors
    /// The input ends within it, or a part is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let offset = from.offset();
        let mu = Millionths(from.u64("the mu of a rating")? as i64);
        let sigma = Millionths(from.u64("the sigma of a rating")? as i64);
        let rating = Self::new(mu, sigma);
        let refuse = |what, offset, found: Millionths, expected| {
            Err(WireError::Value { what, offset, found: found.0 as u64, expected })
        };
        if rating.mu != mu {
            return refuse("the mu of a rating", offset, mu, "mu is within 1000 of 0");
        }
        if rating.sigma != sigma {
            return refuse("the sigma of a rating", offset + 8, sigma, "sigma is above 0 and at most 100");
        }
        Ok(rating)
    }
}

/// Ratings after a match. One player alone learns nothing.
#[must_use]
pub fn play(field: &BTreeMap<NeuronId, Entrant>) -> BTreeMap<NeuronId, Rating> {
    let before: Vec<_> = field.values().map(|e| (e.rating.mu.get(), e.rating.sigma.get())).collect();
    let places: Vec<_> = field.values().map(|entrant| entrant.place).collect();
    let after = plackett_luce(&before, &places);
    field
        .iter()
        .zip(after)
        .map(|((&miner, entrant), after)| (miner, rounded(entrant.rating, after)))
        .collect()
}

/// A rating of integers again; should a part not be finite, nothing was learnt.
fn rounded(before: Rating, (mu, sigma): (f64, f64)) -> Rating {
    match (Millionths::rounded(mu), Millionths::rounded(sigma)) {
        (Some(mu), Some(sigma)) => Rating::new(mu, sigma),
        _ => before,
    }
}

/// mu and sigma of each player after a match, from those before it and the places.
fn plackett_luce(players: &[(f64, f64)], places: &[usize]) -> Vec<(f64, f64)> {
    if players.len() < 2 {
        return players.to_vec();
    }
    let player = |&(mu, sigma): &(f64, f64)| {
        vec![openskill::rating::Rating::new(mu, (sigma * sigma + TAU * TAU).sqrt())]
    };
    let teams = players.iter().map(player).collect();
    let after = PlackettLuce::new(BETA, KAPPA, default_gamma).rate(teams, places.to_vec());
    after.iter().flatten().map(|rating| (rating.mu, rating.sigma)).collect()
}

#[cfg(test)]
mod tests;
