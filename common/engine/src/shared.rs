//! The computations that must give the same result on all nodes: the functions of `protocol` and `codec`,
//! applied to the flat parameters.

use crate::{error::EngineError, model::Model};
use base::digest::{RunSeed, StateRoot};
use codec::{
    aggregate::{AggregateError, ClipBounds, StepNorms, outer_step},
    submission::Submission,
};

impl Model {
    /// Sets the parameters to the initial ones of a run, see [`protocol::init`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn initialize(&mut self, seed: &[u8; 32]) -> Result<(), EngineError> {
        let layout = self.layout.clone();
        self.change_parameters(|values| layout.initialize(&RunSeed(*seed), values))
    }

    /// Returns the parameters' state root, see [`base::state_root`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn state_root(&self) -> Result<StateRoot, EngineError> {
        self.read_parameters(|values| self.layout.state_root(values, self.threads()))
    }

    /// Applies the outer step of a window's accepted submissions, see [`outer_step`]. Returns
    /// this step's norms, and the state root of the parameters after it.
    ///
    /// # Errors
    /// The accepted set does not fit the model, or this machine's arithmetic differs from the protocol's.
    pub fn apply_outer_step<B: AsRef<[u8]> + Sync>(
        &mut self,
        accepted: &[Submission<B>],
        bounds: ClipBounds<'_>,
    ) -> Result<(StepNorms, StateRoot), EngineError> {
        let (layout, threads) = (self.layout.clone(), self.threads());
        let step = |values: &mut [f32]| {
            let norms = outer_step(&mut layout.split_mut(values), accepted, bounds, threads)?;
            Ok::<_, AggregateError>((norms, layout.state_root(values, threads)))
        };
        Ok(self.change_parameters(step)??)
    }
}
