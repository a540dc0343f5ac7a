//! Turns measured losses into weights: the rules of the Gauntlet, ratings, uniqueness, pay, weights, and the
//! logs that make them replayable.
//!
//! A validator measures the losses before and after a step along each miner's update ([`gauntlet`]), and
//! compares the updates with each other ([`uniqueness`]). It rates the miners of a window ([`ratings`]),
//! computes scores ([`pay`]) and [`weights`], and writes each input and result into a [`score_log`]. Anyone
//! can replay the log and gets the same bits. An [`explanation`] says why a miner is paid what it is paid.
//!
//! The crate does no I/O. Losses are inputs: the crate `engine` measures them.
//!
//! ```
//! use scoring::gauntlet::ScoringSpec;
//!
//! let rules = ScoringSpec::default();
//! assert!(rules.validate().is_ok());
//! ```
//!
//! Next: [`gauntlet`].

pub mod explanation;
pub mod gauntlet;
pub mod pay;
pub mod ratings;
pub mod score_log;
pub mod uniqueness;
pub mod weights;

#[cfg(test)]
mod testing;
