//! Where each tensor lies in the flat buffers of parameters, gradients and moments.

use common::model::{ModelSpec, Role, TensorSpec};
use std::ops::Range;

/// The tensors of a model, one after the other in the order of their names, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<TensorSpec>,
    starts: Vec<usize>,
    len: usize,
}

impl Layout {
    /// The layout of a checked model.
    #[must_use]
    pub fn new(spec: &ModelSpec) -> Self {
        let tensors = spec.tensors();
        let mut len = 0;
        let mut starts = Vec::with_capacity(tensors.len());
        for tensor in &tensors {
            starts.push(len);
            len += tensor.len();
        }
        Self { tensors, starts, len }
    }

    /// Values of all tensors together.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // A model has at least one parameter.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The tensors with their places, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&TensorSpec, Range<usize>)> {
        self.tensors.iter().zip(&self.starts).map(|(tensor, &start)| (tensor, start..start + tensor.len()))
    }

    /// The position of a tensor in the order.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()
    }

    /// Sizes of the tensors, as libtorch wants them.
    pub(crate) fn sizes(&self) -> Vec<i64> {
        self.tensors.iter().map(|tensor| int(tensor.len())).collect()
    }

    /// Shapes of the tensors, as libtorch wants them.
    pub(crate) fn shapes(&self) -> Vec<Vec<i64>> {
        self.tensors.iter().map(|tensor| tensor.shape.iter().map(|&size| int(size)).collect()).collect()
    }

    /// The places of what weight decay applies to: all but the gains of the norms. Neighbours are joined.
    pub(crate) fn decayed(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (_, place) in self.iter().filter(|(tensor, _)| tensor.role != Role::Norm) {
            match ranges.last_mut() {
                Some(last) if last.end == place.start => last.end = place.end,
                _ => ranges.push(place),
            }
        }
        ranges
    }
}

/// A size, as libtorch wants it.
pub(crate) fn int(size: usize) -> i64 {
    i64::try_from(size).expect("a checked model has at most 10^13 parameters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::small;

    #[test]
    fn tensors_follow_each_other_in_the_order_of_their_names() {
        let layout = Layout::new(&small());
        let mut end = 0;
        for (tensor, place) in layout.iter() {
            assert_eq!((place.start, place.len()), (end, tensor.len()), "{}", tensor.name);
            assert_eq!(layout.iter().nth(layout.position(&tensor.name).unwrap()).unwrap().1, place);
            end = place.end;
        }
        assert_eq!(layout.len(), end);
        assert_eq!(layout.len() as u64, small().parameters());
        assert_eq!(layout.position("model.layers.9.mlp.up_proj.weight"), None);
    }

    #[test]
    fn all_but_the_norms_decays() {
        let layout = Layout::new(&small());
        let decayed: usize = layout.decayed().iter().map(Range::len).sum();
        let norms: usize =
            layout.iter().filter(|(tensor, _)| tensor.shape.len() == 1).map(|(tensor, _)| tensor.len()).sum();
        assert_eq!(decayed + norms, layout.len());
        assert!(norms > 0);
    }
}
