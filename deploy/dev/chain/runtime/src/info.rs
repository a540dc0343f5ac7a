//! The answers of the runtime API about neurons, stake, hyperparameters and prices, as Bittensor's
//! tools request them.

pub mod delegates;
pub mod hyperparameters;
pub mod neurons;
pub mod prices;
pub mod stake;
