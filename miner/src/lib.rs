//! Muster's miner: trains on its own data in each window, uploads and claims what it found, and applies what all accept.
pub mod round;
