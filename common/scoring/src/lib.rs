//! Turns measured losses into weights: ratings, the rules of the Gauntlet, weights, and the logs that make
//! them replayable.
//!
//! A validator measures the loss before and after a step along each miner's update ([`gauntlet`]), ranks
//! the miners of a window ([`ratings`]), computes [`weights`] from ratings and proofs, and writes each
//! input and result into a [`score_log`]. Anyone can replay the log and gets the same bits.
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

pub mod gauntlet;
pub mod ratings;
pub mod score_log;
pub mod weights;
