//! Quantizers: from the values that are sent of a tensor to 2-bit codes and what decodes them.
//!
//! All arithmetic is IEEE's basic operations in a fixed order, so that a quantizer's result is the same on any machine.

mod centroid;
mod templar;

pub use centroid::{CentroidChunk, Ratio};

use crate::sparse::{Quantizer, SparseTensorError};

/// The values that are sent of a tensor, chunk after chunk, as they are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Four levels per tensor, and the number of a level for each value.
    Templar {
        /// What each code stands for: the mean of its bin.
        levels: [f32; 4],
        /// A code per value, 0 to 3.
        codes: Vec<u8>,
    },
    /// A sign and one of two magnitudes per chunk.
    SignCentroid {
        /// The scale of the tensor: magnitudes are shares of it.
        base: f32,
        /// The two magnitudes of each chunk.
        scales: Vec<CentroidChunk>,
        /// A code per value: 1 is added for the larger magnitude, 2 for a negative sign.
        codes: Vec<u8>,
    },
    /// The values as they are.
    F32(Vec<f32>),
}

/// Quantizes the values that are sent of a tensor, `sent` of each chunk (0 only if there are none).
#[must_use]
pub fn quantize(quantizer: Quantizer, sent: usize, values: &[f32]) -> Values {
    match quantizer {
        Quantizer::Templar => templar::quantize(values),
        Quantizer::SignCentroid => centroid::quantize(sent, values),
        Quantizer::F32 => Values::F32(values.to_vec()),
    }
}

impl Values {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Templar { codes, .. } | Self::SignCentroid { codes, .. } => codes.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The quantizer that makes such values.
    #[must_use]
    pub fn quantizer(&self) -> Quantizer {
        match self {
            Self::Templar { .. } => Quantizer::Templar,
            Self::SignCentroid { .. } => Quantizer::SignCentroid,
            Self::F32(_) => Quantizer::F32,
        }
    }

    /// What the codes of a chunk stand for; nothing for values without codes, or a chunk that is not there.
    #[must_use]
    pub fn levels(&self, chunk: usize) -> Option<[f32; 4]> {
        match self {
            Self::Templar { levels, .. } => Some(*levels),
            Self::SignCentroid { base, scales, .. } => scales.get(chunk).map(|scales| scales.levels(*base)),
            Self::F32(_) => None,
        }
    }

    /// Checks that a quantizer could have made these values for so many chunks.
    pub(crate) fn check(&self, chunks: usize) -> Result<(), SparseTensorError> {
        let fine = |fine: bool, what| if fine { Ok(()) } else { Err(SparseTensorError::Value(what)) };
        match self {
            Self::Templar { levels, codes } => {
                fine(levels.iter().all(|level| level.is_finite()), "a level is not finite")?;
                fine(codes.iter().all(|&code| code < 4), "a code is more than 3")
            }
            Self::SignCentroid { base, scales, codes } => {
                if scales.len() != chunks {
                    return Err(SparseTensorError::Count {
                        what: "scales",
                        found: scales.len(),
                        expected: chunks,
                    });
                }
                fine(base.is_finite() && base.is_sign_positive(), "the scale is negative or not finite")?;
                fine(scales.iter().all(CentroidChunk::is_ordered), "a small magnitude is the larger one")?;
                fine(codes.iter().all(|&code| code < 4), "a code is more than 3")
            }
            Self::F32(values) => fine(values.iter().all(|value| value.is_finite()), "a value is not finite"),
        }
    }
}
