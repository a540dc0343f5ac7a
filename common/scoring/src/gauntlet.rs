//! The Gauntlet: computes the standings and scores of miners from the losses that a validator measures.
//!
//! A validator applies each update alone, with a small step, to the window's shared parameters. It
//! measures the losses of sequences before and after, on data that was assigned to the miner and on
//! unassigned data ([`Evaluation`]).
//!
//! * The mean improvement on unassigned data, relative to that of the [field](Field), is the miner's
//!   [`contribution`].
//! * A larger improvement on assigned data than on unassigned data is the [`proof`] of computation.
//! * [Overlap](crate::uniqueness) with other updates lowers the contribution, and so does a smaller share of
//!   samples.
//! * A failed submission costs credit.
//! * The order of the improvements is a match. The [`ratings`](crate::ratings) follow from it. They order
//!   miners, and do not determine pay.
//!
//! `score = contribution^2 x proof x credit` ([`pay`](crate::pay)). The [`weights`](crate::weights) are
//! proportional to the scores.
//!
//! This module decides; the validator measures. The computation uses integers and IEEE operations
//! that round once. Only exponentials and logarithms differ between machines, so they are rounded to 1e-6.
//! The same measurements therefore give the same [`Standings`], bit for bit, on any machine.
//! [`EvaluationPriority`] orders the evaluations.
//!
//! ```
//! use base::{BlockHash, Hotkey, Millionths, Window};
//! use scoring::{gauntlet::*, uniqueness::Overlap};
//!
//! let spec = ScoringSpec {
//!     assigned_sequences: 2,
//!     common_sequences: 2,
//!     own_sequences: 0,
//!     ..ScoringSpec::default()
//! };
//! let update = |assigned: [f64; 2], unassigned: [f64; 2]| -> Result<Outcome, BaseLossError> {
//!     let improvements = |after| Improvements::between(&[4.0, 4.2], after);
//!     Ok(Outcome::Evaluated(Evaluation {
//!         assigned: improvements(&assigned)?,
//!         common: improvements(&unassigned)?,
//!         own: Improvements::default(),
//!         share: Millionths::ONE,
//!         overlap: Overlap::default(),
//!     }))
//! };
//! let (good, bad) = (Hotkey([1; 32]), Hotkey([2; 32]));
//! let window = Observed {
//!     window: Window(0),
//!     seed: BlockHash([1; 32]),
//!     outcomes: [
//!         (good, update([3.6, 3.7], [3.8, 4.0])?),
//!         (bad, update([3.9, 4.1], [3.9, 4.1])?),
//!     ]
//!     .into(),
//! };
//! let standings = Standings::default().after(&spec, &window)?;
//! assert!(standings.scores(&spec)[&good] > standings.scores(&spec)[&bad]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod contribution;
mod evaluation;
mod evaluation_queue;
mod fault;
mod field;
pub mod proof;
mod spec;
mod standing;
mod standings;

pub use evaluation::{Advantage, BaseLossError, Evaluation, Improvements, Judgement, SequencesError};
pub use evaluation_queue::{Draw, EvaluationPriority, EvaluationQueue, Turn};
pub use fault::{Fault, Penalty};
pub use field::{Field, FieldWindow, Reference, WINDOWS as FIELD_WINDOWS};
pub use spec::{PenaltySpec, ScoringSpec, ScoringSpecError, WeightSpec};
pub use standing::Standing;
pub use standings::{Availability, MOST_STANDINGS, Observed, Outcome, RateError, Standings, order, ranking};

use base::{BlockHash, Hotkey};

/// Returns a miner's random number, from which an order is drawn. No miner can choose it, since the
/// seed is known only after all miners are registered.
fn drawn(context: &'static str, seed: BlockHash, miner: Hotkey) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&seed.0).update(miner.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
