//! Places all tensors in one flat buffer of parameters, gradients or moments.

use super::ModelSpec;
use crate::init::Stream;
use base::tensor::TensorSpec;
use base::{
    digest::{RunSeed, StateRoot},
    state_root::{TensorHash, root},
};
use std::ops::Range;

/// The tensors of a model, one after the other in the order of their names, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    spec: ModelSpec,
    tensors: Vec<TensorSpec>,
    starts: Vec<usize>,
    len: usize,
}

impl ParameterLayout {
    /// Computes the layout of a checked model.
    #[must_use]
    pub fn new(spec: &ModelSpec) -> Self {
        let tensors = spec.tensors();
        let mut len = 0;
        let mut starts = Vec::with_capacity(tensors.len());
        for tensor in &tensors {
            starts.push(len);
            len += tensor.len();
        }
        Self { spec: *spec, tensors, starts, len }
    }

    /// Returns the model.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Returns the number of values of all tensors together.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // A model has at least one parameter.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the tensors with their places, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&TensorSpec, Range<usize>)> {
        self.tensors.iter().zip(&self.starts).map(|(tensor, &start)| (tensor, start..start + tensor.len()))
    }

    /// Returns the position of a tensor in the order.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()
    }

    /// Splits a buffer into the values of each tensor, in order.
    ///
    /// # Panics
    /// The number of values differs from the layout's.
    pub fn split_mut<'a>(&self, values: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        self.require(values);
        let mut rest = values;
        let mut next = |len| rest.split_off_mut(..len).expect("the lengths add up to the layout's");
        self.iter().map(|(tensor, _)| next(tensor.len())).collect()
    }

    /// Computes the state root of parameters, on this number of threads.
    ///
    /// # Panics
    /// The number of values differs from the layout's.
    #[must_use]
    pub fn state_root(&self, values: &[f32], threads: usize) -> StateRoot {
        self.require(values);
        let hash = |place| TensorHash::of_with_threads(&values[place], threads);
        let hashes: Vec<_> = self.iter().map(|(tensor, place)| (tensor, hash(place))).collect();
        root(hashes.iter().map(|(tensor, hash)| (*tensor, hash)))
    }

    /// Writes the initial parameters of a run, see [`init`](crate::init).
    ///
    /// # Panics
    /// The number of values differs from the layout's.
    pub fn initialize(&self, seed: &RunSeed, values: &mut [f32]) {
        for ((tensor, _), values) in self.iter().zip(self.split_mut(values)) {
            Stream::new(&seed.0, &self.spec, tensor).fill(0, values);
        }
    }

    /// Returns the initial parameters of a run.
    #[must_use]
    pub fn initial(&self, seed: &RunSeed) -> Vec<f32> {
        let mut values = vec![0.0; self.len];
        self.initialize(seed, &mut values);
        values
    }

    fn require(&self, values: &[f32]) {
        assert_eq!(values.len(), self.len, "the values must be those of the whole layout");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::tiny;

    #[test]
    fn tensors_follow_each_other_in_the_order_of_their_names() {
        let layout = ParameterLayout::new(&tiny());
        let mut end = 0;
        for (number, (tensor, place)) in layout.iter().enumerate() {
            assert_eq!((place.start, place.len()), (end, tensor.len()), "{}", tensor.name);
            assert_eq!(layout.position(&tensor.name), Some(number));
            end = place.end;
        }
        assert_eq!(layout.len(), end);
        assert_eq!(layout.len() as u64, tiny().parameters());
        assert_eq!(layout.position("model.layers.9.mlp.up_proj.weight"), None);
    }

    #[test]
    fn initial_parameters_have_the_golden_root() {
        let layout = ParameterLayout::new(&tiny());
        let values = layout.initial(&RunSeed([0; 32]));
        for threads in [1, 3] {
            let root = layout.state_root(&values, threads);
            assert_eq!(root.to_string(), include_str!("../../tests/golden/init-tiny.txt").trim());
        }
    }

    #[test]
    fn parts_are_those_of_the_whole() {
        let layout = ParameterLayout::new(&tiny());
        let mut values: Vec<f32> = (0..layout.len()).map(|at| at as f32).collect();
        let firsts: Vec<f32> = layout.split_mut(&mut values).iter().map(|part| part[0]).collect();
        let starts: Vec<f32> = layout.iter().map(|(_, place)| place.start as f32).collect();
        assert_eq!(firsts, starts);
    }
}
