//! The layout of the flat buffers, in libtorch's types.

use base::tensor::TensorRole;
use protocol::model::ParameterLayout;
use std::ops::Range;

/// Returns the sizes of the tensors.
pub(crate) fn sizes(layout: &ParameterLayout) -> Vec<i64> {
    layout.iter().map(|(tensor, _)| int(tensor.len())).collect()
}

/// Returns the shapes of the tensors.
pub(crate) fn shapes(layout: &ParameterLayout) -> Vec<Vec<i64>> {
    layout.iter().map(|(tensor, _)| tensor.shape.iter().map(|&size| int(size)).collect()).collect()
}

/// Returns the ranges that weight decay applies to: all parameters but the gains of the norms.
/// Adjacent ranges are merged.
pub(crate) fn decayed(layout: &ParameterLayout) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (_, place) in layout.iter().filter(|(tensor, _)| tensor.role != TensorRole::Norm) {
        match ranges.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => ranges.push(place),
        }
    }
    ranges
}

/// Converts a size to libtorch's type.
pub(crate) fn int(size: usize) -> i64 {
    i64::try_from(size).expect("a checked model has at most 10^13 parameters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::small;

    #[test]
    fn all_but_the_norms_decays() {
        let layout = ParameterLayout::new(&small());
        let decayed: usize = decayed(&layout).iter().map(Range::len).sum();
        let norms: usize =
            layout.iter().filter(|(tensor, _)| tensor.shape.len() == 1).map(|(tensor, _)| tensor.len()).sum();
        assert_eq!(decayed + norms, layout.len());
        assert!(norms > 0);
    }
}
