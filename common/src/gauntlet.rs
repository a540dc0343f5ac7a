//! The Gauntlet: what a validator measures of a miner's update, and what that makes of the miner.

pub mod proof;
mod spec;

pub use spec::{PenaltySpec, ScoringSpec, ScoringSpecError, WeightSpec};
