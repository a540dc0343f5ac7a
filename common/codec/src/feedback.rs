//! Keeps the error feedback: values that were not sent are carried over to later windows.
//!
//! Each window computes `e = beta e + delta`. Once a submission is accepted, the sent values are
//! subtracted from `e`.

use crate::{chunks::Geometry, sparse::SparseTensor};

/// Adds a window's pseudo-gradient to the error feedback: `e = beta e + delta`, each operation rounded once.
///
/// # Panics
/// Panics if the lengths differ.
pub fn accumulate(error: &mut [f32], pseudo_gradient: &[f32], beta: f32) {
    assert_eq!(error.len(), pseudo_gradient.len(), "a pseudo-gradient has the shape of its tensor");
    for (error, delta) in error.iter_mut().zip(pseudo_gradient) {
        let kept = beta * *error;
        *error = kept + delta;
    }
}

/// Subtracts the sent values, as receivers decode them, after a submission was accepted. A rejected
/// submission needs no call: its values stay in the error feedback.
///
/// # Panics
/// Panics if the length of `error` is not that of a tensor of this geometry.
pub fn settle(error: &mut [f32], geometry: &Geometry, sent: &SparseTensor) {
    assert_eq!(error.len(), geometry.len(), "an error has the shape of its tensor");
    sent.for_each(geometry, |coordinate, value| error[coordinate] -= value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::{Quantizer, SparseSpec, compress, tests::tiny};
    use proptest::prelude::*;

    #[test]
    fn each_operation_is_rounded_once() {
        // A fused `0.1 * 3 - 0.3` would keep the rounding error of the product.
        let mut error = [3.0f32];
        accumulate(&mut error, &[-0.3], 0.1);
        assert_eq!(error[0].to_bits(), ((0.1f32 * 3.0) + -0.3).to_bits());
        assert_ne!(error[0], 0.1f32.mul_add(3.0, -0.3));
    }

    proptest! {
        #[test]
        fn settling_leaves_exactly_what_was_not_sent(deltas in proptest::collection::vec(-1.0f32..1.0, 64 * 64 * 2)) {
            let geometry = Geometry::new(&[64, 128], 64).unwrap();
            let spec = SparseSpec { quantizer: Quantizer::F32, ..tiny() };
            let mut error = vec![0.0; deltas.len()];
            accumulate(&mut error, &deltas, spec.beta);
            prop_assert_eq!(&error, &deltas);
            let sent = compress(&error, &geometry, &spec).unwrap();
            settle(&mut error, &geometry, &sent);
            let settled = error.iter().zip(&deltas).filter(|(left, delta)| left != delta).count();
            prop_assert!(settled <= 2 * 64);
            prop_assert!(error.iter().zip(&deltas).all(|(left, delta)| *left == 0.0 || left == delta));
        }
    }
}
