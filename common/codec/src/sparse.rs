//! Provides sparse tensors, the values that are sent, and a run's settings of compression and the
//! outer step (SparseLoCo's choices).

mod compress;
mod tensor;

pub use compress::{CompressAllError, CompressError, Source, compress, compress_all, select};
pub(crate) use tensor::ChunkValues;
pub use tensor::{SparseTensor, SparseTensorError};

use base::wire::{Reader, WireError, Writer};
use serde::{Deserialize, Serialize};

/// The settings for compressing pseudo-gradients and applying the accepted ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseSpec {
    /// Values per full chunk: 4096, a block of 64x64 of a matrix. Must be a square.
    pub chunk: u32,
    /// Values sent per chunk. Smaller chunks are sent whole.
    pub topk: u32,
    /// The encoding of positions.
    pub codec: Codec,
    /// The encoding of values.
    pub quantizer: Quantizer,
    /// Decay of the error feedback, at least 0 and less than 1 (`e = beta e + delta`).
    pub beta: f32,
    /// Learning rate of the outer step (the papers' alpha).
    pub outer_lr: f32,
    /// The divisor of the sum over the accepted submissions.
    pub aggregation: Aggregation,
    /// The factor, at least 1, by which a tensor's reference norm may fall from the last one, or may grow
    /// from the last reference or median.
    pub clip_growth: f64,
}

/// The encodings of the positions of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Halves, and the numbers of sets in parts of the chunk ([`halving`](crate::positions)): 7.38
    /// bits per position at 64 of 4096.
    Halving,
}

/// The encodings of the values that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantizer {
    /// 2 bits: four uniform bins of 1.5 standard deviations per tensor, each decoded as its mean,
    /// as in Templar.
    Templar,
    /// 2 bits: a sign, and one of two magnitudes per chunk.
    SignCentroid,
    /// 1 bit: a sign, and one magnitude per chunk.
    Sign,
    /// 32 bits: the unquantized values. For tests and comparisons.
    F32,
}

/// The divisor of the sum over all accepted submissions that sent a coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// The number of accepted submissions, as in SparseLoCo's equation.
    Mean,
    /// The number of submissions that sent the coordinate, as in Templar. A single sender has full weight.
    SenderMean,
    /// The number of submissions that sent the coordinate, but at least this number.
    Shrunk(u32),
}

/// An error in the settings of compression.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SparseError {
    /// The chunk is not a square, or too large for positions of 16 bits.
    #[error("sparse.chunk is {0}: it must be the square of a number from 1 to {MOST_EDGE}")]
    Chunk(u32),
    /// The number of sent values is 0, larger than a chunk, or larger than allowed.
    #[error("sparse.topk is {topk}: it must be 1 to {most} (sparse.chunk, and at most {MOST_TOPK})")]
    TopK {
        /// Values sent per chunk.
        topk: u32,
        /// The most values that may be sent.
        most: u32,
    },
    /// A number is outside its range.
    #[error("sparse.{what} is {found}: it must be {expected}")]
    Range {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f64,
        /// The allowed range.
        expected: &'static str,
    },
}

/// The largest edge of a chunk. Positions are less than 65,536.
pub const MOST_EDGE: u32 = 256;
/// The most values sent per chunk. The time to create a layout grows with the square of this
/// number: a tenth of a second at the limit.
pub const MOST_TOPK: u32 = 4096;

/// Declares the numbers of an enum's variants on the wire.
macro_rules! tag {
    ($type:ident, $what:literal, $($name:ident = $number:literal),+) => {
        impl $type {
            /// All variants, in the order of their numbers.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$name),+];

            /// Returns its number on the wire.
            #[must_use]
            pub fn id(self) -> u8 {
                match self {
                    $(Self::$name => $number),+
                }
            }

            /// Reads the number of a variant.
            ///
            /// # Errors
            /// Fails if the input has ended, or the number is unknown.
            pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
                let offset = from.offset();
                match from.u8($what)? {
                    $($number => Ok(Self::$name),)+
                    found => Err(unknown($what, offset, found)),
                }
            }
        }
    };
}
tag!(Codec, "the codec", Halving = 1);
tag!(Quantizer, "the quantizer", Templar = 1, SignCentroid = 2, F32 = 3, Sign = 4);

/// Creates the error for a number that this version does not know.
fn unknown(what: &'static str, offset: usize, found: u8) -> WireError {
    WireError::Value { what, offset, found: found.into(), expected: "this version does not know it" }
}

impl Aggregation {
    /// Appends the rule and its number.
    fn write(self, to: &mut Writer) {
        match self {
            Self::Mean => to.u8(1).u32(0),
            Self::SenderMean => to.u8(2).u32(0),
            Self::Shrunk(senders) => to.u8(3).u32(senders),
        };
    }

    /// Reads the rule and its number.
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "sparse.aggregation";
        let offset = from.offset();
        match (from.u8(what)?, from.u32(what)?) {
            (1, 0) => Ok(Self::Mean),
            (2, 0) => Ok(Self::SenderMean),
            (3, senders) => Ok(Self::Shrunk(senders)),
            (rule, _) => Err(unknown(what, offset, rule)),
        }
    }
}

impl SparseSpec {
    /// Returns the edge of a full chunk: 64 for 4096 values.
    #[must_use]
    pub fn edge(&self) -> usize {
        self.chunk.isqrt() as usize
    }

    /// Checks that all settings are in their ranges.
    ///
    /// # Errors
    /// Fails with the name of the first wrong field.
    pub fn check(&self) -> Result<(), SparseError> {
        let edge = self.chunk.isqrt();
        if !(1..=MOST_EDGE).contains(&edge) || edge * edge != self.chunk {
            return Err(SparseError::Chunk(self.chunk));
        }
        let most = self.chunk.min(MOST_TOPK);
        if !(1..=most).contains(&self.topk) {
            return Err(SparseError::TopK { topk: self.topk, most });
        }
        let range = |what, found: f64, fine: bool, expected| {
            if fine && found.is_finite() { Ok(()) } else { Err(SparseError::Range { what, found, expected }) }
        };
        let Self { beta, outer_lr, clip_growth, .. } = *self;
        // There is one zero: `-0.0` would give the same run another hash.
        let share = (0.0..1.0).contains(&beta) && beta.is_sign_positive();
        range("beta", beta.into(), share, "at least 0 and less than 1")?;
        range("outer_lr", outer_lr.into(), outer_lr > 0.0, "more than 0")?;
        range("clip_growth", clip_growth, clip_growth >= 1.0, "at least 1")?;
        match self.aggregation {
            Aggregation::Shrunk(0) => range("aggregation.shrunk", 0.0, false, "at least 1"),
            _ => Ok(()),
        }
    }

    /// Appends all settings.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.chunk).u32(self.topk).u8(self.codec.id()).u8(self.quantizer.id());
        to.f32(self.beta).f32(self.outer_lr);
        self.aggregation.write(to);
        to.f64(self.clip_growth);
    }

    /// Reads all settings without checking their ranges.
    ///
    /// # Errors
    /// Fails if the input ends too early, or a choice is unknown.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            chunk: from.u32("sparse.chunk")?,
            topk: from.u32("sparse.topk")?,
            codec: Codec::read(from)?,
            quantizer: Quantizer::read(from)?,
            beta: from.f32("sparse.beta")?,
            outer_lr: from.f32("sparse.outer_lr")?,
            aggregation: Aggregation::read(from)?,
            clip_growth: from.f64("sparse.clip_growth")?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the settings of the tiny run.
    pub(crate) fn tiny() -> SparseSpec {
        SparseSpec {
            chunk: 4096,
            topk: 64,
            codec: Codec::Halving,
            quantizer: Quantizer::Templar,
            beta: 0.95,
            outer_lr: 1.0,
            aggregation: Aggregation::SenderMean,
            clip_growth: 1.1,
        }
    }

    #[test]
    fn values_that_are_no_compression_are_named() {
        assert_eq!(tiny().check(), Ok(()));
        let refuse = |change: fn(&mut SparseSpec)| {
            let mut spec = tiny();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(
            refuse(|s| s.chunk = 4095),
            "sparse.chunk is 4095: it must be the square of a number from 1 to 256"
        );
        assert!(refuse(|s| s.chunk = 0).contains("sparse.chunk is 0"));
        assert!(refuse(|s| s.chunk = 257 * 257).contains("sparse.chunk is 66049"));
        assert!(refuse(|s| s.topk = 4097).contains("sparse.topk is 4097"));
        assert!(refuse(|s| (s.chunk, s.topk) = (65536, 4097)).contains("it must be 1 to 4096"));
        assert!(refuse(|s| s.topk = 0).contains("sparse.topk is 0"));
        assert!(refuse(|s| s.beta = 1.0).contains("sparse.beta is 1"));
        assert!(refuse(|s| s.beta = -0.0).contains("sparse.beta is -0"));
        assert!(refuse(|s| s.outer_lr = f32::INFINITY).contains("sparse.outer_lr is inf"));
        assert!(refuse(|s| s.clip_growth = 0.5).contains("sparse.clip_growth is 0.5"));
        assert!(refuse(|s| s.aggregation = Aggregation::Shrunk(0)).contains("sparse.aggregation.shrunk"));
    }

    #[test]
    fn bytes_round_trip_and_unknown_choices_are_refused() {
        for aggregation in [Aggregation::Mean, Aggregation::SenderMean, Aggregation::Shrunk(3)] {
            let spec = SparseSpec { aggregation, ..tiny() };
            let mut writer = Writer::new();
            spec.write(&mut writer);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            assert_eq!(SparseSpec::read(&mut reader), Ok(spec));
            assert_eq!(reader.finish("the compression"), Ok(()));
            for (offset, found) in [(8, 9), (9, 9), (18, 4)] {
                let mut wrong = bytes.clone();
                wrong[offset] = found;
                let refused = SparseSpec::read(&mut Reader::new(&wrong)).unwrap_err().to_string();
                assert!(refused.contains("this version does not know it"), "{refused}");
            }
        }
    }

    #[test]
    fn choices_have_the_names_that_a_run_spec_uses() {
        let json = serde_json::to_value(tiny()).unwrap();
        assert_eq!(json["quantizer"], "templar");
        assert_eq!(json["aggregation"], "sender-mean");
        let shrunk = serde_json::json!({ "shrunk": 3 });
        assert_eq!(serde_json::from_value::<Aggregation>(shrunk).unwrap(), Aggregation::Shrunk(3));
        assert!(serde_json::from_str::<Quantizer>("\"1-bit\"").is_err());
    }
}
