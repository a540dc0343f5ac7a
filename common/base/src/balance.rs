//! Amounts of money: whole [`Rao`], shown and read as TAO.

use std::{fmt, str::FromStr};

use parity_scale_codec::{Decode, Encode, MaxEncodedLen};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Number of rao in one TAO.
pub const RAO_PER_TAO: u64 = 1_000_000_000;

/// Number of decimals of an amount in TAO: one rao is 10^-9 TAO.
const DECIMALS: usize = 9;

/// An amount of TAO (or of a subnet's alpha) in rao, the chain's smallest unit: 10^9 rao are 1 TAO.
///
/// It is shown as `1.5 TAO`, and read from `1.5`, `1.5 TAO`, `1.5τ` or `1500000000 rao`. Files hold
/// this text, so that no number is read in the wrong unit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen,
)]
pub struct Rao(pub u64);

/// An error in a text that should be an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRaoError {
    /// Not a decimal number with a known unit.
    #[error("`{0}` is not an amount: write it like `0.5 TAO` or `500000000 rao`")]
    NotAnAmount(String),
    /// A fraction of a rao.
    #[error("`{0}` is finer than one rao: TAO has at most 9 digits after the point, rao none")]
    TooFine(String),
    /// More than 2^64 - 1 rao.
    #[error("`{0}` is more than the chain can count (18446744073.709551615 TAO)")]
    TooMuch(String),
}

impl fmt::Display for Rao {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / RAO_PER_TAO, self.0 % RAO_PER_TAO);
        if part == 0 {
            return f.pad(&format!("{whole} TAO"));
        }
        let digits = format!("{part:09}");
        f.pad(&format!("{whole}.{} TAO", digits.trim_end_matches('0')))
    }
}

impl FromStr for Rao {
    type Err = ParseRaoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = || text.chars().take(80).collect::<String>();
        let (number, decimals) = split_unit(text.trim());
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let has_digits = !whole.is_empty() || !part.is_empty();
        if !has_digits || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(ParseRaoError::NotAnAmount(short()));
        }
        let part = part.trim_end_matches('0');
        if part.len() > decimals {
            return Err(ParseRaoError::TooFine(short()));
        }
        format!("0{whole}{part:0<decimals$}").parse().map(Rao).map_err(|_| ParseRaoError::TooMuch(short()))
    }
}

/// Splits an amount into its number and the number of decimals that its unit allows.
fn split_unit(text: &str) -> (&str, usize) {
    let units = [("TAO", DECIMALS), ("tao", DECIMALS), ("τ", DECIMALS), ("rao", 0), ("RAO", 0)];
    units
        .iter()
        .find_map(|(unit, decimals)| Some((text.strip_suffix(unit)?.trim_end(), *decimals)))
        .unwrap_or((text, DECIMALS))
}

impl Serialize for Rao {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rao {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
