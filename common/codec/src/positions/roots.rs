//! Guesses `n` from `C(n, k)`, which is about `(n - (k - 1) / 2)^k / k!`, by logarithms from small
//! tables. The caller corrects each guess, so the tables affect only the speed, never the result.

use super::MOST_RANKED_COUNT;

/// Bits after a number's first bit that index the table of logarithms.
const LOG_BITS: u32 = 8;
/// Fraction bits of a logarithm.
const FRACTION: u32 = 11;
/// Fraction bits that index the table of powers.
const POWER_BITS: u32 = 9;
/// Fraction bits of a power.
const PRECISION: u32 = 16;

/// The tables behind each [`Root`].
#[derive(Debug)]
pub(super) struct Roots {
    /// Logarithms of numbers from 1 to 2.
    logs: [u16; 1 << LOG_BITS],
    /// Powers of 2 with exponents from 0 to 1.
    powers: [u32; 1 << POWER_BITS],
    /// The constants by `k`.
    terms: Vec<Terms>,
}

/// The constants for one `k`.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// The amount to subtract from a logarithm: a float's exponent bias, minus the logarithm of `k!`.
    less: u64,
    /// `2^16 / k`.
    inverse: u64,
    /// The amount to add to the root, in 128ths: `(k - 1) / 2`, minus a half so that the guess
    /// tends to be too small.
    shift: u64,
}

/// The `k`-th root estimate for one `k`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'a> {
    roots: &'a Roots,
    terms: Terms,
}

impl Roots {
    pub(super) fn new() -> Self {
        let log = |at: usize| (1.0 + (at as f64 + 0.5) / f64::from(1 << LOG_BITS)).log2();
        let power = |at: usize| ((at as f64 + 0.5) / f64::from(1 << POWER_BITS)).exp2();
        let fixed = |value: f64, bits: u32| (value * f64::from(1 << bits)).round();
        let factorials = (0..=MOST_RANKED_COUNT).scan(1.0, |product, k| {
            *product *= f64::from(k.max(1));
            Some((f64::from(k.max(1)), *product))
        });
        let terms = factorials.map(|(k, factorial)| Terms {
            less: fixed(1023.0 - factorial.log2(), FRACTION) as u64,
            inverse: fixed(1.0 / k, 16) as u64,
            shift: fixed(k / 2.0 - 1.0, 7).max(0.0) as u64,
        });
        Self {
            logs: std::array::from_fn(|at| fixed(log(at), FRACTION) as u16),
            powers: std::array::from_fn(|at| fixed(power(at), PRECISION) as u32),
            terms: terms.collect(),
        }
    }

    /// Returns the root estimate for a `k` of at least 2.
    pub(super) fn of(&self, k: usize) -> Root<'_> {
        Root { roots: self, terms: self.terms[k] }
    }
}

impl Root<'_> {
    /// Estimates the largest `n` with `C(n, k) <= number`.
    #[inline]
    pub(super) fn guess(self, number: u64) -> usize {
        // A float consists of its exponent and the bits after its first bit.
        let bits = ((number | 1) as i64 as f64).to_bits();
        let behind = bits >> (52 - LOG_BITS) & ((1 << LOG_BITS) - 1);
        let log = (bits >> 52 << FRACTION) + u64::from(self.roots.logs[behind as usize]);
        let log = ((log - self.terms.less) * self.terms.inverse) >> (16 + FRACTION - POWER_BITS);
        let power = u64::from(self.roots.powers[(log & ((1 << POWER_BITS) - 1)) as usize]);
        let root = (power << (log >> POWER_BITS & 15)) >> (PRECISION - 7);
        ((root + self.terms.shift) >> 7) as usize
    }
}
