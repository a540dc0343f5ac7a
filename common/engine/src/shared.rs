//! What all nodes compute alike, on this model's parameters: `common`'s functions, fed from the flat buffer.

use crate::{error::EngineError, layout::Layout, model::Model};
use common::{
    aggregate::{Medians, outer_step},
    digest::StateRoot,
    init::Stream,
    state_root::{TensorHash, root},
    submission::Submission,
};

impl Layout {
    /// Each tensor's values, in order.
    ///
    /// # Panics
    /// There are not as many values as the layout has.
    pub fn split_mut<'a>(&self, values: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        assert_eq!(values.len(), self.len(), "values are those of the whole layout");
        let mut rest = values;
        let mut next = |len| rest.split_off_mut(..len).expect("the lengths add up to the layout's");
        self.iter().map(|(tensor, _)| next(tensor.len())).collect()
    }

    /// The state root of parameters, hashed on so many threads.
    ///
    /// # Panics
    /// There are not as many values as the layout has.
    #[must_use]
    pub fn state_root(&self, values: &[f32], threads: usize) -> StateRoot {
        assert_eq!(values.len(), self.len(), "values are those of the whole layout");
        let hash = |place| TensorHash::of_with_threads(&values[place], threads);
        let hashes: Vec<_> = self.iter().map(|(tensor, place)| (tensor, hash(place))).collect();
        root(hashes.iter().map(|(tensor, hash)| (*tensor, hash)))
    }
}

impl Model {
    /// Sets the parameters to the initial ones of a run, see [`common::init`].
    ///
    /// # Errors
    /// libtorch could not copy them.
    pub fn initialize(&mut self, seed: &[u8; 32]) -> Result<(), EngineError> {
        let (spec, layout) = (self.spec, self.layout.clone());
        self.with_parameters(|values| {
            for ((tensor, _), values) in layout.iter().zip(layout.split_mut(values)) {
                Stream::new(seed, &spec, tensor).fill(0, values);
            }
        })
    }

    /// The parameters' state root, see [`common::state_root`].
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
