//! Stores of a model's shards: the f32 parameters, AdamW's moments, and the sums of gradients.
//!
//! The passes take the weights of a unit from a store and give its gradient back, see
//! [`Decoder`](crate::decoder::Decoder). They do not know where the store keeps them.

mod memory;

pub(crate) use memory::{MemoryStore, cut};

use crate::adamw::Step;
use tch::{TchError, Tensor};

/// The source of the units' weights, and the sink of their gradients.
pub(crate) trait ShardStore {
    /// Returns the weights of a unit, in the order of [`Units`](crate::unit::Units) and in the number type of
    /// the passes, on the device of the passes.
    fn weights(&self, unit: usize) -> Result<Vec<Tensor>, TchError>;

    /// Adds the gradient by the weights of a unit to the sums, in f32. The first gradient after a step
    /// begins the sums.
    fn add_gradient(&mut self, unit: usize, gradient: Vec<Tensor>) -> Result<(), TchError>;

    /// Returns the norm of the sums over all units. The order of the additions does not depend on where
    /// the shards are.
    fn norm(&self) -> Result<f64, TchError>;

    /// Moves the parameters by one step along the sums. The next gradient begins new sums.
    fn step(&mut self, step: Step) -> Result<(), TchError>;

    /// Drops the sums, and frees their memory.
    fn drop_gradients(&mut self);
}
