//! What all nodes compute alike, on this model's parameters: `common`'s functions, fed from the flat buffer.

use crate::{error::EngineError, model::Model};
use base::digest::{RunSeed, StateRoot};
use codec::{
    aggregate::{Medians, outer_step},
    submission::Submission,
};

impl Model {
    /// Sets the parameters to the initial ones of a run, see [`protocol::init`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn initialize(&mut self, seed: &[u8; 32]) -> Result<(), EngineError> {
        let layout = self.layout.clone();
        self.with_parameters(|values| layout.initialize(&RunSeed(*seed), values))
    }

    /// The parameters' state root, see [`base::state_root`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn state_root(&mut self) -> Result<StateRoot, EngineError> {
        let (layout, threads) = (self.layout.clone(), self.threads());
        self.with_parameters(|values| layout.state_root(values, threads))
    }

    /// Makes the outer step with the accepted submissions of a window, see [`outer_step`]: `last` are the medians that
    /// the step before returned.
    ///
    /// # Errors
    /// The accepted set does not fit the model, or this machine's arithmetic differs.
    pub fn outer_step<B: AsRef<[u8]> + Sync>(
        &mut self,
        accepted: &[Submission<B>],
        last: Option<&Medians>,
    ) -> Result<Medians, EngineError> {
        let (layout, threads) = (self.layout.clone(), self.threads());
        let step = |values: &mut [f32]| outer_step(&mut layout.split_mut(values), accepted, last, threads);
        Ok(self.with_parameters(step)??)
    }
}
