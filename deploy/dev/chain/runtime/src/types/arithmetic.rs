//! Makes `TaoBalance` the number type of the balances pallet. It implements the traits of
//! `AtLeast32BitUnsigned` by delegation to `u64`.

use super::TaoBalance;
use sp_arithmetic::{
    MultiplyRational, Rounding,
    traits::{
        Bounded, CheckedAdd, CheckedDiv, CheckedMul, CheckedNeg, CheckedRem, CheckedShl, CheckedShr,
        CheckedSub, IntegerSquareRoot, One, Unsigned, Zero,
    },
};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Rem, RemAssign, Shl, Shr, Sub, SubAssign};

/// Implements an operator and its assigning form.
macro_rules! operator {
    ($($trait:ident $method:ident, $assign:ident $assign_method:ident;)+) => {$(
        impl $trait for TaoBalance {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0))
            }
        }
        impl $assign for TaoBalance {
            fn $assign_method(&mut self, other: Self) {
                self.0.$assign_method(other.0);
            }
        }
    )+};
}
operator! {
    Add add, AddAssign add_assign;
    Sub sub, SubAssign sub_assign;
    Mul mul, MulAssign mul_assign;
    Div div, DivAssign div_assign;
    Rem rem, RemAssign rem_assign;
}

macro_rules! checked {
    ($($trait:ident $method:ident;)+) => {$(
        impl $trait for TaoBalance {
            fn $method(&self, other: &Self) -> Option<Self> {
                self.0.$method(other.0).map(Self)
            }
        }
    )+};
}
checked! { CheckedAdd checked_add; CheckedSub checked_sub; CheckedMul checked_mul; CheckedDiv checked_div; CheckedRem checked_rem; }

macro_rules! shift {
    ($($trait:ident $method:ident, $checked:ident $checked_method:ident;)+) => {$(
        impl $trait<u32> for TaoBalance {
            type Output = Self;
            fn $method(self, bits: u32) -> Self {
                Self(self.0.$method(bits))
            }
        }
        impl $checked for TaoBalance {
            fn $checked_method(&self, bits: u32) -> Option<Self> {
                self.0.$checked_method(bits).map(Self)
            }
        }
    )+};
}
shift! { Shl shl, CheckedShl checked_shl; Shr shr, CheckedShr checked_shr; }

macro_rules! widening_from {
    ($($source:ty),+) => {$(
        impl From<$source> for TaoBalance {
            fn from(value: $source) -> Self {
                Self(value.into())
            }
        }
    )+};
}
widening_from!(u8, u16, u32);

macro_rules! narrowing_into {
    ($($target:ty),+) => {$(
        impl TryFrom<TaoBalance> for $target {
            type Error = <u64 as TryInto<$target>>::Error;
            fn try_from(balance: TaoBalance) -> Result<Self, Self::Error> {
                balance.0.try_into()
            }
        }
    )+};
}
narrowing_into!(u8, u16, u32, usize);

impl From<TaoBalance> for u64 {
    fn from(balance: TaoBalance) -> Self {
        balance.0
    }
}

impl From<TaoBalance> for u128 {
    fn from(balance: TaoBalance) -> Self {
        balance.0.into()
    }
}

impl TryFrom<u128> for TaoBalance {
    type Error = <u64 as TryFrom<u128>>::Error;
    fn try_from(value: u128) -> Result<Self, Self::Error> {
        value.try_into().map(Self)
    }
}

impl TryFrom<usize> for TaoBalance {
    type Error = <u64 as TryFrom<usize>>::Error;
    fn try_from(value: usize) -> Result<Self, Self::Error> {
        value.try_into().map(Self)
    }
}

impl Zero for TaoBalance {
    fn zero() -> Self {
        Self(0)
    }
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl One for TaoBalance {
    fn one() -> Self {
        Self(1)
    }
}

impl Bounded for TaoBalance {
    fn min_value() -> Self {
        Self(u64::MIN)
    }
    fn max_value() -> Self {
        Self(u64::MAX)
    }
}

impl num_traits::Saturating for TaoBalance {
    fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl num_traits::Num for TaoBalance {
    type FromStrRadixErr = std::num::ParseIntError;
    fn from_str_radix(text: &str, radix: u32) -> Result<Self, Self::FromStrRadixErr> {
        u64::from_str_radix(text, radix).map(Self)
    }
}

impl CheckedNeg for TaoBalance {
    fn checked_neg(&self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }
}

impl IntegerSquareRoot for TaoBalance {
    fn integer_sqrt_checked(&self) -> Option<Self> {
        Some(Self(self.0.isqrt()))
    }
}

impl MultiplyRational for TaoBalance {
    fn multiply_rational(self, numerator: Self, denominator: Self, rounding: Rounding) -> Option<Self> {
        self.0.multiply_rational(numerator.0, denominator.0, rounding).map(Self)
    }
}

impl Unsigned for TaoBalance {}
