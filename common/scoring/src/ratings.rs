//! Ratings of miners: OpenSkill's Plackett-Luce (Weng, Lin 2011). Each window is one match of all
//! evaluated miners.
//!
//! A rating is a belief: skill `mu`, uncertainty `sigma`. Losses of different windows cannot be
//! compared, but the order within one window can. The crate `openskill` does the computation, with beta
//! 7 and tau 0.1 as in Templar. It equals PyPI's openskill 6.2.0 to 1e-13 (see `tests/vectors`). Its
//! exponentials differ in the last bits between platforms. So players are passed in the order of
//! hotkeys, and the results are rounded to 1e-6 before any use.
//!
//! A failed submission is not part of the match: as a tie at the bottom it would raise ratings
//! (openskill.py issue 155). It does not lower its miner's rating either. Otherwise the sum of all
//! ratings would fall with each failure: no other miner gains the lost points, and the others lose
//! points to the miner when it comes back. After some hundred windows every rating would be below 0.
//! Failures cost [credit](crate::gauntlet::Standing::credit) instead.

use base::{
    Hotkey, Millionths,
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
/// Uncertainty added before each match, `sigma = sqrt(sigma^2 + tau^2)`, so that ratings never freeze
/// (Templar's `openskill_tau`).
pub const TAU: f64 = 0.1;
/// Bound of mu in millionths: far above what matches reach, and low enough to keep exponentials finite.
const MOST_MU: i64 = 1_000_000_000;
/// Bound of sigma, in millionths.
const MOST_SIGMA: i64 = 100_000_000;

/// A belief about a miner's skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rating {
    mu: Millionths,
    sigma: Millionths,
}

/// A player of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its rating before the match.
    pub rating: Rating,
    /// Its place: 1 is the best. Each player of a match has its own place.
    pub place: usize,
}

impl Default for Rating {
    /// Returns the rating of a new miner: mu 25, sigma 25/3.
    fn default() -> Self {
        Self { mu: Millionths(25_000_000), sigma: Millionths(8_333_333) }
    }
}

impl Rating {
    /// Number of bytes of a rating in every format.
    pub const BYTES: usize = 16;

    /// Creates a rating. Clamps mu to -1000..=1000 and sigma to 0.000001..=100.
    #[must_use]
    pub fn new(mu: Millionths, sigma: Millionths) -> Self {
        let mu = Millionths(mu.0.clamp(-MOST_MU, MOST_MU));
        Self { mu, sigma: Millionths(sigma.0.clamp(1, MOST_SIGMA)) }
    }

    /// Returns the believed skill.
    #[must_use]
    pub fn mu(self) -> Millionths {
        self.mu
    }

    /// Returns the uncertainty of the skill.
    #[must_use]
    pub fn sigma(self) -> Millionths {
        self.sigma
    }

    /// Returns the skill that the miner has with high probability: `mu - 3 sigma`, as OpenSkill's ordinal. It
    /// may be negative. It orders miners.
    #[must_use]
    pub fn ordinal(self) -> Millionths {
        Millionths(self.mu.0 - 3 * self.sigma.0)
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.mu.0 as u64).u64(self.sigma.0 as u64);
    }

    /// Reads a rating.
    ///
    /// # Errors
    /// The input ends too early, or a part is out of bounds.
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

/// Returns the ratings after a match. A single player keeps its rating.
#[must_use]
pub fn play(field: &BTreeMap<Hotkey, Entrant>) -> BTreeMap<Hotkey, Rating> {
    let before: Vec<_> = field.values().map(|e| (e.rating.mu.get(), e.rating.sigma.get())).collect();
    let places: Vec<_> = field.values().map(|entrant| entrant.place).collect();
    let after = plackett_luce(&before, &places);
    field
        .iter()
        .zip(after)
        .map(|((&miner, entrant), after)| (miner, rounded(entrant.rating, after)))
        .collect()
}

/// Returns the new rating in integers. Keeps the rating `before` if a part of the new one is not finite.
fn rounded(before: Rating, (mu, sigma): (f64, f64)) -> Rating {
    match (Millionths::rounded(mu), Millionths::rounded(sigma)) {
        (Some(mu), Some(sigma)) => Rating::new(mu, sigma),
        _ => before,
    }
}

/// Computes mu and sigma of each player after a match, from the values before it and the places.
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
