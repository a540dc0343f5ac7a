//! From a tensor to what is sent of it: the largest values of each chunk, quantized.

use super::{SparseSpec, SparseTensor};
use crate::{
    chunks::Geometry,
    quantize::quantize,
    select::{Scratch, top_k},
};

/// Why a tensor cannot be compressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// A value that is infinite or no number: training has diverged.
    #[error("the value at {coordinate} is not finite: training has diverged")]
    NotFinite {
        /// Its place in the tensor.
        coordinate: usize,
    },
    /// Values so large that their quantized form is not finite.
    #[error("values of magnitude up to {largest} are too large to quantize: training has diverged")]
    TooLarge {
        /// The largest magnitude, as text so that the error is comparable.
        largest: String,
    },
    /// The slice is not the tensor's.
    #[error("{found} values are given for a tensor of {expected}")]
    Length {
        /// Values given.
        found: usize,
        /// Values of the tensor.
        expected: usize,
    },
}

/// Chooses and quantizes what is sent of a tensor (its error feedback, in SparseLoCo).
///
/// # Errors
/// A value is not finite, or so large that its quantized form would not be.
pub fn compress(
    values: &[f32],
    geometry: &Geometry,
    spec: &SparseSpec,
) -> Result<SparseTensor, CompressError> {
    if values.len() != geometry.len() {
        return Err(CompressError::Length { found: values.len(), expected: geometry.len() });
    }
    if let Some(coordinate) = values.iter().position(|value| !value.is_finite()) {
        return Err(CompressError::NotFinite { coordinate });
    }
    let (sent, chunks) = (geometry.sent(spec.topk as usize), geometry.chunks());
    let mut positions = Vec::with_capacity(chunks * sent);
    let mut chosen = Vec::with_capacity(chunks * sent);
    let mut chunk_values = vec![0.0; geometry.size()];
    let mut scratch = Scratch::default();
    for chunk in 0..chunks {
        geometry.gather(values, chunk, &mut chunk_values);
        let before = positions.len();
        top_k(&chunk_values, sent, &mut scratch, &mut positions);
        chosen.extend(positions[before..].iter().map(|&position| chunk_values[usize::from(position)]));
    }
    let values = quantize(spec.quantizer, sent, &chosen);
    match values.check(chunks) {
        Ok(()) => Ok(SparseTensor { sent, positions, values }),
        Err(_) => Err(CompressError::TooLarge { largest: largest(&chosen) }),
    }
}

/// The largest magnitude, for people.
fn largest(values: &[f32]) -> String {
    format!("{:e}", values.iter().fold(0.0f32, |most, value| most.max(value.abs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::{Quantizer, tests::tiny};
    use proptest::prelude::*;

    fn spec(quantizer: Quantizer) -> SparseSpec {
        SparseSpec { quantizer, chunk: 64, topk: 8, ..tiny() }
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let geometry = Geometry::new(&[8, 16], 8).unwrap();
        let mut values = vec![1.0; 128];
        values[77] = f32::NAN;
        let refused = compress(&values, &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert_eq!(refused.to_string(), "the value at 77 is not finite: training has diverged");
        values.fill(f32::MAX);
        values[3] = f32::MIN;
        let refused = compress(&values, &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert!(refused.to_string().contains("3.4028235e38"), "{refused}");
        let refused = compress(&values[1..], &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert_eq!(refused.to_string(), "127 values are given for a tensor of 128");
    }

    #[test]
    fn a_tensor_without_values_sends_none() {
        let geometry = Geometry::new(&[0, 64], 64).unwrap();
        for quantizer in [Quantizer::Templar, Quantizer::SignCentroid, Quantizer::F32] {
            assert!(compress(&[], &geometry, &spec(quantizer)).unwrap().positions().is_empty());
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_a_sparse_tensor(values in proptest::collection::vec(-1e30f32..1e30, 128)) {
            let geometry = Geometry::new(&[8, 16], 8).unwrap();
            for quantizer in [Quantizer::Templar, Quantizer::SignCentroid, Quantizer::F32] {
                let sent = compress(&values, &geometry, &spec(quantizer)).unwrap();
                let again =
                    SparseTensor::new(&geometry, 8, sent.positions().to_vec(), sent.values().clone()).unwrap();
                prop_assert_eq!(&again, &sent);
                if quantizer == Quantizer::F32 {
                    sent.for_each(&geometry, |coordinate, value| assert_eq!(value, values[coordinate]));
                }
            }
        }
    }
}
