//! The Gauntlet: computes ratings, proofs and scores of miners from the losses that a validator measures.
//!
//! A validator applies each update alone, with a small step, to the window's shared parameters. It
//! measures the loss before and after, on data that was assigned to the miner and on unassigned data
//! ([`Evaluation`]).
//!
//! * The order of the improvements on unassigned data is a match. The [`ratings`](crate::ratings)
//!   follow from it.
//! * A larger improvement on assigned data than on unassigned data is the [`proof`] of computation.
//! * A failed submission costs credit.
//!
//! `score = max(rating, 0) x proof x credit`. The [`weights`](crate::weights) follow from the scores.
//!
//! This module decides; the validator measures. The computation uses integers and IEEE operations
//! that round once. Only exponentials differ between machines, so they are rounded to 1e-6. The
//! same measurements therefore give the same [`Standings`], bit for bit, on any machine.
//! [`EvaluationPriority`] orders the evaluations.
//!
//! ```
//! use base::{BlockHash, Height, Hotkey, NeuronId};
//! use scoring::gauntlet::*;
//!
//! let miner = |index| NeuronId { hotkey: Hotkey([index; 32]), registered: Height(7) };
//! let update = |assigned, unassigned_after| {
//!     Outcome::Evaluated(Evaluation { assigned: Losses { before: 4.0, after: assigned }, unassigned_after })
//! };
//! let window = Observed {
//!     seed: BlockHash([1; 32]),
//!     unassigned_before: 4.0,
//!     outcomes: [(miner(1), update(3.7, 3.8)), (miner(2), update(3.8, 3.9))].into(),
//! };
//! let spec = ScoringSpec::default();
//! let standings = Standings::default().after(&spec, &window)?;
//! let rating = |index| standings.get(&miner(index)).map(|standing| standing.rating.mu());
//! assert!(rating(1) > rating(2));
//! # Ok::<(), RateError>(())
//! ```

mod evaluation;
mod evaluation_queue;
mod fault;
pub mod proof;
mod spec;
mod standings;

pub use evaluation::{BaseLossError, Evaluation, Judgement, Losses};
pub use evaluation_queue::{Draw, EvaluationPriority, EvaluationQueue, Turn};
pub use fault::{Fault, Penalty};
pub use spec::{PenaltySpec, ScoringSpec, ScoringSpecError, WeightSpec};
pub use standings::{Availability, Observed, Outcome, RateError, Score, Standing, Standings, ranking};

use base::{BlockHash, NeuronId};

/// Returns a miner's random number, from which an order is drawn. No miner can choose it, since the
/// seed is known only after all miners are registered.
fn drawn(context: &'static str, seed: BlockHash, miner: NeuronId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&seed.0).update(miner.hotkey.as_bytes()).update(&miner.registered.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
