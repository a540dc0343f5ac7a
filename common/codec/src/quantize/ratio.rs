//! Encodes magnitudes as shares of a tensor's scale, 8 bits each.

/// A share of a tensor's scale in 8 bits: 0, or `(16 + m) 2^(e - 20)` with `m` in the lower 4 bits and `e` in
/// the upper 4. The relative step is at most 1/16, so the relative error is at most 1/32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub u8);

impl Ratio {
    /// Returns the share. It is exact, since it has 5 significant bits.
    #[must_use]
    pub fn value(self) -> f32 {
        let (exponent, mantissa) = (self.0 >> 4, self.0 & 15);
        if self.0 == 0 {
            return 0.0;
        }
        let power = f32::from_bits((127 + u32::from(exponent) - 20) << 23);
        f32::from(16 + mantissa) * power
    }

    /// Returns the share nearest to a number, or the smaller of two equally near shares.
    #[must_use]
    pub fn nearest(share: f64) -> Self {
        if (2f64.powi(-15)..1.0).contains(&share) {
            // The exponent and the upper 4 bits of the mantissa, rounded by those below them.
            let (upper, below) = (share.to_bits() >> 48, share.to_bits() & 0xffff_ffff_ffff);
            let code = upper - ((1023 - 16) << 4) + u64::from(below > 1 << 47);
            return Self(code.min(255) as u8);
        }
        let mut low = 0u8;
        let mut high = u8::MAX;
        while low < high {
            let middle = low + (high - low) / 2;
            if f64::from(Self(middle).value()) < share {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let below = Self(low.saturating_sub(1));
        let down = share - f64::from(below.value());
        let up = f64::from(Self(low).value()) - share;
        if down <= up { below } else { Self(low) }
    }

    /// Returns the share of `base` that a magnitude is, or 0 if `base` is 0.
    pub(super) fn of(magnitude: f64, base: f32) -> Self {
        if base == 0.0 { Self(0) } else { Self::nearest(magnitude / f64::from(base)) }
    }
}

/// Returns a tensor's scale, chosen so that the largest share, 31/32, is its largest magnitude.
pub(super) fn base(magnitudes: impl Iterator<Item = f64>) -> f32 {
    ((magnitudes.fold(0.0, f64::max) * 32.0 / 31.0) as f32).min(f32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rise_and_are_exact() {
        let shares: Vec<f32> = (0..=255).map(|share| Ratio(share).value()).collect();
        assert!(shares.is_sorted_by(|a, b| a < b));
        assert_eq!((shares[0], shares[1], shares[255]), (0.0, 17.0 / 1_048_576.0, 31.0 / 32.0));
        for share in 0..=255 {
            assert_eq!(Ratio::nearest(Ratio(share).value().into()), Ratio(share));
        }
        for step in 0..100_000 {
            let share = f64::from(step) / 99_999.0;
            let of = |share: u8| f64::from(Ratio(share).value());
            let nearest = (0..=255).min_by(|&a, &b| (of(a) - share).abs().total_cmp(&(of(b) - share).abs()));
            assert_eq!(Ratio::nearest(share).0, nearest.unwrap(), "{share}");
        }
        assert_eq!(Ratio::nearest(2.0), Ratio(255));
        assert_eq!(Ratio::nearest(0.0), Ratio(0));
    }
}
