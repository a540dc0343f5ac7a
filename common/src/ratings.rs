//! Ratings.
mod millionths;

pub use millionths::{Millionths, MillionthsError};
