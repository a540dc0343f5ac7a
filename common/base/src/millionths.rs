//! [`Millionths`], decimal numbers for decisions: stored as integers, so that they are the same on
//! every machine.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A number with six decimals, stored as an integer count of millionths.
///
/// TOML, JSON and text show it as a decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millionths(pub i64);

/// A number that does not fit into [`Millionths`].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a number with at most six decimals, between -1000000 and 1000000")]
pub struct MillionthsError(f64);

impl Millionths {
    /// One.
    pub const ONE: Self = Self(1_000_000);
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Rounds to the nearest count of millionths, half a millionth away from zero.
    ///
    /// Returns `None` for a number that is not finite or whose absolute value is above a million.
    #[must_use]
    pub fn rounded(number: f64) -> Option<Self> {
        let millionths = (number * 1e6).round();
        (millionths.abs() <= 1e12).then_some(Self(millionths as i64))
    }

    /// Returns the number itself.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the product, rounded down (towards minus infinity) to six decimals.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let product = (i128::from(self.0) * i128::from(other.0)).div_euclid(1_000_000);
        Self(product.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl fmt::Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

impl TryFrom<f64> for Millionths {
    type Error = MillionthsError;

    /// Converts a number with at most six decimals. Refuses a seventh decimal instead of rounding it.
    fn try_from(number: f64) -> Result<Self, MillionthsError> {
        Self::rounded(number).filter(|rounded| rounded.get() == number).ok_or(MillionthsError(number))
    }
}

impl Serialize for Millionths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

impl<'de> Deserialize<'de> for Millionths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seven_decimals_and_what_is_no_number_are_refused() {
        assert_eq!(Millionths::try_from(0.05), Ok(Millionths(50_000)));
        let error = Millionths::try_from(0.1234567).unwrap_err().to_string();
        assert_eq!(
            error,
            "0.1234567 is not a number with at most six decimals, between -1000000 and 1000000"
        );
        for bad in [f64::NAN, f64::INFINITY, 1e7] {
            assert!(Millionths::try_from(bad).is_err());
            assert_eq!(Millionths::rounded(bad), None);
        }
        assert_eq!(Millionths::rounded(-0.000_000_5), Some(Millionths(-1)));
    }

    #[test]
    fn products_are_cut_downwards() {
        assert_eq!(Millionths(3).times(Millionths(500_000)), Millionths(1));
        assert_eq!(Millionths(-3).times(Millionths(500_000)), Millionths(-2));
        assert_eq!(Millionths(i64::MAX).times(Millionths(i64::MAX)), Millionths(i64::MAX));
    }

    proptest! {
        #[test]
        fn text_and_json_bring_back_the_same_number(count in -1_000_000_000_000i64..=1_000_000_000_000) {
            let number = Millionths(count);
            let json = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Millionths>(&json).unwrap(), number);
            prop_assert_eq!(number.to_string().parse::<f64>().unwrap().try_into(), Ok(number));
        }
    }
}
