//! Checks that this thread computes as IEEE 754 specifies by default.
//!
//! Libraries change this silently: torch's `set_flush_denormal`, or a shared library linked with
//! fast-math, which sets the x86 MXCSR of the thread that loads it. New threads inherit it from the
//! thread that creates them.

use super::AggregateError;
use std::hint::black_box;

/// Checks that denormals are neither flushed nor treated as zero, and that results are rounded to
/// nearest, ties to even.
///
/// # Errors
/// Fails with the difference.
pub fn check_arithmetic() -> Result<(), AggregateError> {
    let probes = [
        (black_box(f32::MIN_POSITIVE) * 0.5, 0x0040_0000, "denormal results are flushed to zero"),
        (black_box(f32::from_bits(1)) * 2.0, 2, "denormal operands are treated as zero"),
        (black_box(1.0) + black_box(f32::EPSILON) * 0.5, 0x3f80_0000, "ties are not rounded to even"),
        (black_box(1.0) + black_box(f32::EPSILON) * 0.75, 0x3f80_0001, "results are rounded down"),
        (black_box(-1.0) - black_box(f32::EPSILON) * 0.25, 0xbf80_0000, "results are rounded away from zero"),
    ];
    // Compare bits, since a comparison of numbers would treat denormals as zero as well.
    match probes.into_iter().find(|(result, bits, _)| result.to_bits() != *bits) {
        Some((_, _, what)) => Err(AggregateError::Arithmetic(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn this_machine_computes_by_default() {
        assert_eq!(check_arithmetic(), Ok(()));
        assert_eq!(std::thread::spawn(check_arithmetic).join().unwrap(), Ok(()));
    }

    /// The bit of MXCSR that flushes denormal results to zero.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const FLUSH: u32 = 1 << 15;

    /// Runs a function with bits set in MXCSR.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    pub(crate) fn with_mxcsr<T>(bits: u32, f: impl FnOnce() -> T) -> T {
        use std::arch::asm;
        let mut saved = 0u32;
        // SAFETY: both only move the register's value from and to a variable of this frame. The old
        // value is restored before anything but the function is computed.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut saved, options(nostack)) };
        let changed = saved | bits;
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const changed, options(nostack)) };
        let result = black_box(black_box(f)());
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const saved, options(nostack)) };
        result
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn flushed_denormals_and_other_roundings_are_found() {
        assert_eq!(with_mxcsr(0, check_arithmetic), Ok(()));
        let (zero, down, up) = (1 << 6, 1 << 13, 1 << 14);
        for (bits, what) in [
            (FLUSH, "denormal results are flushed to zero"),
            (zero, "denormal operands are treated as zero"),
            (down, "results are rounded down"),
            (up, "ties are not rounded to even"),
            (down | up, "results are rounded down"),
        ] {
            assert_eq!(with_mxcsr(bits, check_arithmetic), Err(AggregateError::Arithmetic(what)));
        }
    }
}
