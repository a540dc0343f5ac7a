//! The chain's fixed-point types.

use parity_scale_codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::{Path, Type, TypeInfo, build::Fields};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The number of units per one, 2⁶⁴.
const UNITS_PER_ONE: f64 = 18_446_744_073_709_551_616.0;

/// A non-negative number in units of 2⁻⁶⁴.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
)]
pub struct FixedU128 {
    bits: u128,
}

impl FixedU128 {
    /// Converts an `f64`, truncated to a whole number of units. Negative values and NaN become zero;
    /// too large values become the largest number.
    #[must_use]
    pub const fn from_f64(value: f64) -> Self {
        Self { bits: (value * UNITS_PER_ONE) as u128 }
    }

    /// Multiplies `value` by this number, truncated and saturating.
    #[must_use]
    pub fn scale(self, value: u64) -> u64 {
        let whole = self.bits >> 64;
        let fraction = self.bits & u128::from(u64::MAX);
        let value = u128::from(value);
        let product = value.saturating_mul(whole).saturating_add((value * fraction) >> 64);
        product.try_into().unwrap_or(u64::MAX)
    }
}

impl TypeInfo for FixedU128 {
    type Identity = Self;

    fn type_info() -> Type {
        let path =
            Path::from_segments(["substrate_fixed", "FixedU128"]).expect("the segments are identifiers");
        Type::builder()
            .path(path)
            .composite(Fields::named().field(|f| f.name("bits").ty::<u128>().type_name("u128")))
    }
}

/// A signed number. Its place tells the unit: 2⁻³² or 2⁻⁶⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct FixedI128 {
    /// The number of units.
    pub bits: i128,
}

/// A signed number in units of 2⁻³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct FixedI64 {
    /// The number of units.
    pub bits: i64,
}

impl FixedI64 {
    /// Converts a whole number.
    #[must_use]
    pub fn whole(value: i32) -> Self {
        Self { bits: i64::from(value) << 32 }
    }
}

impl Serialize for FixedU128 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.bits as f64 / UNITS_PER_ONE)
    }
}

impl<'de> Deserialize<'de> for FixedU128 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if !(0.0..2_f64.powi(63)).contains(&value) {
            return Err(D::Error::custom(format!("{value} is not a number from 0 to 2^63")));
        }
        Ok(Self::from_f64(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_whole_and_fraction() {
        assert_eq!(FixedU128::from_f64(1.26).scale(100_000_000), 126_000_000);
        assert_eq!(FixedU128::from_f64(3.0).scale(7), 21);
        assert_eq!(FixedU128::from_f64(0.5).scale(u64::MAX), u64::MAX / 2);
        assert_eq!(FixedU128::from_f64(1e12).scale(u64::MAX), u64::MAX);
    }

    #[test]
    fn numbers_outside_its_range_are_clamped() {
        assert_eq!(FixedU128::from_f64(-1.0), FixedU128::default());
        assert_eq!(FixedU128::from_f64(f64::NAN), FixedU128::default());
        assert_eq!(FixedU128::from_f64(f64::MAX), FixedU128 { bits: u128::MAX });
    }
}
