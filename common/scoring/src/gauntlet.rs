//! The Gauntlet: what validators measure of an update, and what that makes of its miner.
//!
//! A validator tries each update out on the window's shared parameters, alone and with a small step, on data that was
//! assigned to the miner and on data that was assigned to nobody ([`Evaluation`]). The order of the improvements on
//! unassigned data is a match, from which [`ratings`](crate::ratings) follow; that assigned data improves more is the
//! [`proof`] of computation; failed submissions cost credit. `score = max(rating, 0) x proof x credit`, and
//! [`weights`](crate::weights) come of the scores.
//!
//! Here it is decided; what measures is the validator. All that rests on measurements is integers and IEEE operations that
//! round once, exponentials excepted: those are rounded to 1e-6. So whoever has the same measurements has the same
//! [`Standings`], bit for bit. [`Turns`] says who is evaluated when.
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
mod fault;
pub mod proof;
mod spec;
mod standings;
mod turns;

pub use evaluation::{BaseLossError, Evaluation, Judgement, Losses};
pub use fault::{Fault, Penalty};
pub use spec::{PenaltySpec, ScoringSpec, ScoringSpecError, WeightSpec};
pub use standings::{Observed, Outcome, RateError, Score, Standing, Standings, ranking};
pub use turns::{Draw, Round, Turns};

use base::{BlockHash, NeuronId};

/// A miner's lot: nobody can choose it, since the seed is drawn after everybody is registered.
fn drawn(context: &'static str, seed: BlockHash, miner: NeuronId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&seed.0).update(miner.hotkey.as_bytes()).update(&miner.registered.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
