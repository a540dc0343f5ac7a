//! A number in plain `f64`, and how far a fixed-point computation of the same number may lie from it.
//!
//! The pallet computes in I32F32 as Subtensor does: additions are exact, every multiplication and division drops what
//! lies below 2^-32, and a division by something small magnifies what was dropped before it. `slack` carries that bound
//! through the computation. So the tolerance of every compared integer follows from its own inputs: for most it is a
//! ten-thousandth of a unit, and where a column holds next to no stake it grows as it must.

use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Sub};

/// What one multiplication or division may lose: two roundings at 2^-32, since a formula can be written with one
/// operation more or less.
const ROUNDING: f64 = 2.0 / 4_294_967_296.0;

/// `value` is exact but for `f64`; a fixed-point computation of it lies within `slack` of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Approx {
    pub(crate) value: f64,
    pub(crate) slack: f64,
}

impl Approx {
    /// A number that fixed point holds exactly: an integer, or a quotient that is one.
    pub(crate) fn exact(value: f64) -> Self {
        Self { value, slack: 0.0 }
    }

    /// Nothing, and no rounding makes it something.
    pub(crate) fn is_nothing(self) -> bool {
        self.value == 0.0 && self.slack == 0.0
    }

    pub(crate) fn min(self, other: Self) -> Self {
        self.either(other, f64::min, Ordering::Less)
    }

    pub(crate) fn max(self, other: Self) -> Self {
        self.either(other, f64::max, Ordering::Greater)
    }

    /// Whether this is the larger one however both were rounded.
    pub(crate) fn surely_above(self, other: Self) -> bool {
        self.value - self.slack > other.value + other.slack
    }

    /// Whether an integer is what remains of `self * scale` when its fraction is dropped.
    pub(crate) fn truncates_to(self, scale: f64, stored: u64) -> bool {
        if self.slack.is_infinite() {
            return true;
        }
        let lowest = ((self.value - self.slack) * scale).floor().max(0.0);
        let highest = ((self.value + self.slack) * scale).floor().max(0.0);
        (lowest..=highest).contains(&(stored as f64))
    }

    /// One of two numbers; where rounding could make either the one, the wider slack.
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

/// Division of parts by their sum: nothing divided by anything, nothing included, is nothing.
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
