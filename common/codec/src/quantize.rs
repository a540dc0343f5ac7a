//! Quantizes the values that are sent of a tensor: into codes of 1 or 2 bits, and the scales that
//! decode them.
//!
//! All arithmetic uses basic IEEE operations in a fixed order, so a quantizer's result is the same
//! on any machine.

mod centroid;
mod ratio;
mod sign;
mod templar;

pub use centroid::CentroidChunk;
pub use ratio::Ratio;

use crate::sparse::{Quantizer, SparseTensorError};

/// The values that are sent of a tensor, chunk after chunk, in their encoded form.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Four levels per tensor, and the number of a level for each value.
    Templar {
        /// The decoded value of each code: the mean of its bin.
        levels: [f32; 4],
        /// One code per value, 0 to 3.
        codes: Vec<u8>,
    },
    /// A sign and one of two magnitudes per chunk.
    SignCentroid {
        /// The scale of the tensor. Magnitudes are shares of it.
        base: f32,
        /// The two magnitudes of each chunk.
        scales: Vec<CentroidChunk>,
        /// One code per value: 1 is added for the larger magnitude, 2 for a negative sign.
        codes: Vec<u8>,
    },
    /// A sign, and one magnitude per chunk.
    Sign {
        /// The scale of the tensor. Magnitudes are shares of it.
        base: f32,
        /// The magnitude of each chunk.
        magnitudes: Vec<Ratio>,
        /// One code per value: 1 for a negative sign, otherwise 0.
        codes: Vec<u8>,
    },
    /// The unquantized values.
    F32(Vec<f32>),
}

/// The number of sent values that a thread takes at a time.
const PIECE: usize = 16 << 10;

/// Quantizes the values that are sent of a tensor, on one thread. `sent` values are sent of each
/// chunk; it is 0 only if there are no values.
#[must_use]
pub fn quantize(quantizer: Quantizer, sent: usize, values: &[f32]) -> Values {
    quantize_on(1, quantizer, sent, values)
}

/// Quantizes as [`quantize`] does, on `threads` threads.
pub(crate) fn quantize_on(threads: usize, quantizer: Quantizer, sent: usize, values: &[f32]) -> Values {
    match quantizer {
        Quantizer::Templar => templar::quantize(values, threads),
        Quantizer::SignCentroid => centroid::quantize(sent, values, threads),
        Quantizer::Sign => sign::quantize(sent, values, threads),
        Quantizer::F32 => Values::F32(values.to_vec()),
    }
}

impl Values {
    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Templar { codes, .. } | Self::SignCentroid { codes, .. } | Self::Sign { codes, .. } => {
                codes.len()
            }
            Self::F32(values) => values.len(),
        }
    }

    /// Returns whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the quantizer that produces such values.
    #[must_use]
    pub fn quantizer(&self) -> Quantizer {
        match self {
            Self::Templar { .. } => Quantizer::Templar,
            Self::SignCentroid { .. } => Quantizer::SignCentroid,
            Self::Sign { .. } => Quantizer::Sign,
            Self::F32(_) => Quantizer::F32,
        }
    }

    /// Returns the decoded values of a chunk's codes. Returns `None` for values without codes, or a
    /// chunk that does not exist.
    #[must_use]
    pub fn levels(&self, chunk: usize) -> Option<[f32; 4]> {
        match self {
            Self::Templar { levels, .. } => Some(*levels),
            Self::SignCentroid { base, scales, .. } => scales.get(chunk).map(|scales| scales.levels(*base)),
            Self::Sign { base, magnitudes, .. } => {
                magnitudes.get(chunk).map(|magnitude| magnitude.signs(*base))
            }
            Self::F32(_) => None,
        }
    }

    /// Checks that a quantizer could have produced these values for `chunks` chunks.
    pub(crate) fn check(&self, chunks: usize) -> Result<(), SparseTensorError> {
        let fine = |fine: bool, what| if fine { Ok(()) } else { Err(SparseTensorError::Value(what)) };
        match self {
            Self::Templar { levels, codes } => {
                fine(levels.iter().all(|level| level.is_finite()), "a level is not finite")?;
                fine(codes.iter().all(|&code| code < 4), "a code is more than 3")
            }
            Self::SignCentroid { base, scales, codes } => {
                check_scales(*base, scales.len(), chunks)?;
                fine(
                    scales.iter().all(CentroidChunk::is_ordered),
                    "a small magnitude is larger than the large one",
                )?;
                fine(codes.iter().all(|&code| code < 4), "a code is more than 3")
            }
            Self::Sign { base, magnitudes, codes } => {
                check_scales(*base, magnitudes.len(), chunks)?;
                fine(codes.iter().all(|&code| code < 2), "a code is more than 1")
            }
            Self::F32(values) => fine(values.iter().all(|value| value.is_finite()), "a value is not finite"),
        }
    }
}

/// Checks the scale of a tensor, and that each of its chunks has its own scale.
fn check_scales(base: f32, found: usize, chunks: usize) -> Result<(), SparseTensorError> {
    if found != chunks {
        return Err(SparseTensorError::Count { what: "scales", found, expected: chunks });
    }
    if base.is_finite() && base.is_sign_positive() {
        Ok(())
    } else {
        Err(SparseTensorError::Value("the scale is negative or not finite"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        chunks::Geometry,
        sparse::{Quantizer, SparseSpec, compress, tests::tiny},
    };

    /// Returns bell-shaped values whose scale differs from chunk to chunk, by powers of two from 1
    /// to `2^(spread - 1)`.
    fn bell(geometry: &Geometry, spread: u32) -> Vec<f32> {
        let mut stream = blake3::Hasher::new().finalize_xof();
        let mut draw = || {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            bytes
                .chunks(2)
                .map(|pair| f32::from(u16::from_le_bytes([pair[0], pair[1]])) - 32_767.5)
                .sum::<f32>()
        };
        let mut values = vec![0.0; geometry.len()];
        for chunk in 0..geometry.chunks() {
            let scale = 1 << (chunk as u32 % spread);
            let origin = geometry.origin(chunk);
            for position in 0..geometry.size() {
                values[geometry.coordinate(origin, position)] = draw() * scale as f32;
            }
        }
        values
    }

    /// Returns the squared error of the sent values, relative to their square.
    fn error(quantizer: Quantizer, spread: u32) -> f64 {
        let geometry = Geometry::new(&[512, 512], 64).unwrap();
        let values = bell(&geometry, spread);
        let sent = compress(&values, &geometry, &SparseSpec { quantizer, ..tiny() }).unwrap();
        let (mut error, mut total) = (0.0, 0.0);
        sent.for_each(&geometry, |coordinate, decoded| {
            let value = f64::from(values[coordinate]);
            error += (f64::from(decoded) - value).powi(2);
            total += value.powi(2);
        });
        error / total
    }

    #[test]
    fn magnitudes_per_chunk_lose_less_than_levels_per_tensor() {
        let of = |spread| Quantizer::ALL.map(|quantizer| error(quantizer, spread));
        let [templar, centroid, f32, sign] = of(1);
        assert!(centroid < 0.5 * templar && templar < 0.02, "{templar} {centroid}");
        assert!((0.9..1.1).contains(&(sign / templar)), "templar's codes are signs here: {templar} {sign}");
        assert_eq!(f32, 0.0);
        // If chunks differ, one scale for all of them costs a lot.
        let [templar, centroid, _, sign] = of(4);
        assert!(centroid < 0.1 * templar && sign < 0.1 * templar, "{templar} {centroid} {sign}");
    }
}
