//! The chain's unsigned fixed-point type with 64 fractional bits.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::{Path, Type, TypeInfo, build::Fields};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A non-negative number in units of 2⁻⁶⁴.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen,
)]
pub struct FixedU128 {
    bits: u128,
}

impl FixedU128 {
    /// `numerator / denominator`, truncated; `denominator` must not be zero.
    #[must_use]
    pub const fn from_ratio(numerator: u64, denominator: u64) -> Self {
        Self { bits: ((numerator as u128) << 64) / denominator as u128 }
    }

    /// `value` times this number, truncated and saturating.
    #[must_use]
    pub fn scale(self, value: u64) -> u64 {
        let (whole, fraction) = (self.bits >> 64, self.bits & u128::from(u64::MAX));
        let value = u128::from(value);
        let product = value.saturating_mul(whole).saturating_add((value * fraction) >> 64);
        product.try_into().unwrap_or(u64::MAX)
    }
}

impl TypeInfo for FixedU128 {
    type Identity = Self;

    fn type_info() -> Type {
        let path = Path::from_segments(["substrate_fixed", "FixedU128"]).expect("the segments are identifiers");
        Type::builder().path(path).composite(Fields::named().field(|f| f.name("bits").ty::<u128>().type_name("u128")))
    }
}

impl Serialize for FixedU128 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.bits as f64 / 2_f64.powi(64))
    }
}

impl<'de> Deserialize<'de> for FixedU128 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if !(0.0..2_f64.powi(63)).contains(&value) {
            return Err(D::Error::custom(format!("{value} is not a number from 0 to 2^63")));
        }
        Ok(Self { bits: (value * 2_f64.powi(64)) as u128 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_whole_and_fraction() {
        assert_eq!(FixedU128::from_ratio(126, 100).scale(100_000_000), 125_999_999);
        assert_eq!(FixedU128::from_ratio(3, 1).scale(7), 21);
        assert_eq!(FixedU128::from_ratio(u64::MAX, 1).scale(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_default_of_the_burn_multiplier_is_the_chains() {
        let bytes = FixedU128::from_ratio(126, 100).encode();
        assert_eq!(bytes[..], [0, 0x90, 0xc2, 0xf5, 0x28, 0x5c, 0x8f, 0x42, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
