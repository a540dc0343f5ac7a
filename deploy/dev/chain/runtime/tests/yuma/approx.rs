//! Numbers in plain `f64`, with a bound for the error of a fixed-point computation of the same number.
//!
//! The pallet computes in I32F32, as Subtensor does. Additions are exact. Every multiplication and
//! division drops the part below 2^-32. A division by a small number magnifies the earlier losses.
//! `slack` carries that bound through the computation. So the tolerance of each compared integer
//! follows from its own inputs: mostly it is a ten-thousandth of a unit. In a column with almost no
//! stake it grows as it must.

use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Sub};

/// The largest loss of one multiplication or division: two roundings at 2^-32, since a formula can be
/// written with one operation more or less.
const ROUNDING: f64 = 2.0 / 4_294_967_296.0;

/// A number that is exact except for `f64` errors. A fixed-point computation of it lies within
/// `slack` of `value`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Approx {
    pub(crate) value: f64,
    pub(crate) slack: f64,
}

impl Approx {
    /// Creates a number that fixed point represents exactly: an integer, or a quotient that is an integer.
    pub(crate) fn exact(value: f64) -> Self {
        Self { value, slack: 0.0 }
    }

    /// Checks whether the number is zero and no rounding can change that.
    pub(crate) fn is_nothing(self) -> bool {
        self.value == 0.0 && self.slack == 0.0
    }

    pub(crate) fn min(self, other: Self) -> Self {
        self.either(other, f64::min, Ordering::Less)
    }

    pub(crate) fn max(self, other: Self) -> Self {
        self.either(other, f64::max, Ordering::Greater)
    }

    /// Checks whether this number is the larger one, regardless of rounding.
    pub(crate) fn surely_above(self, other: Self) -> bool {
        self.value - self.slack > other.value + other.slack
    }

    /// Checks whether `stored` is `self * scale` with its fraction dropped.
    pub(crate) fn truncates_to(self, scale: f64, stored: u64) -> bool {
        if self.slack.is_infinite() {
            return true;
        }
        let lowest = ((self.value - self.slack) * scale).floor().max(0.0);
        let highest = ((self.value + self.slack) * scale).floor().max(0.0);
        (lowest..=highest).contains(&(stored as f64))
    }

    /// Picks one of two numbers. If rounding could change the choice, the result has the wider slack.
    fn either(self, other: Self, pick: fn(f64, f64) -> f64, wanted: Ordering) -> Self {
        let clear = (self.value - other.value).abs() > self.slack + other.slack;
        match (clear, self.value.total_cmp(&other.value) == wanted) {
            (true, true) => self,
            (true, false) => other,
            (false, _) => Self { value: pick(self.value, other.value), slack: self.slack.max(other.slack) },
        }
    }
}

impl Add for Approx {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, slack: self.slack + other.slack }
    }
}

impl Sub for Approx {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, slack: self.slack + other.slack }
    }
}

impl Mul for Approx {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        if self.is_nothing() || other.is_nothing() {
            return Self::default();
        }
        let slack =
            self.value.abs() * other.slack + other.value.abs() * self.slack + self.slack * other.slack;
        Self { value: self.value * other.value, slack: slack + ROUNDING }
    }
}

/// Divides parts by their sum. An exact zero divided by any number, zero included, is zero.
impl Div for Approx {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        if self.is_nothing() {
            return Self::default();
        }
        let quotient = if other.value == 0.0 { 0.0 } else { self.value / other.value };
        if self.slack == 0.0 && other.slack == 0.0 && quotient.fract() == 0.0 {
            return Self::exact(quotient);
        }
        let least = other.value - other.slack;
        let slack = if least > 0.0 { (self.slack + quotient * other.slack) / least } else { f64::INFINITY };
        Self { value: quotient, slack: slack + ROUNDING }
    }
}

impl Sum for Approx {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::default(), Add::add)
    }
}
