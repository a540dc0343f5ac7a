//! Applies a single update and undoes it exactly, for a validator's evaluation.

use crate::{chunks::Geometry, sparse::SparseTensor};

/// The parameters that a trial step has overwritten.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    saved: Vec<f32>,
}

/// Applies one update: subtracts `value x factor x rate`, each product rounded, from every
/// coordinate that it sends. An outer step with this update alone would do the same. If a result is
/// not finite, the parameter stays.
///
/// # Panics
/// Panics if the number of parameters is not that of a tensor of this geometry.
#[must_use = "the step stays unless it is undone"]
pub fn trial_step(
    parameters: &mut [f32],
    geometry: &Geometry,
    update: &SparseTensor,
    factor: f32,
    rate: f32,
) -> Undo {
    assert_eq!(parameters.len(), geometry.len(), "parameters have the shape of their tensor");
    let mut saved = Vec::with_capacity(update.positions().len());
    each(geometry, update, factor, |coordinate, value| {
        let parameter = &mut parameters[coordinate];
        saved.push(*parameter);
        let result = *parameter - value * rate;
        if result.is_finite() {
            *parameter = result;
        }
    });
    Undo { saved }
}

impl Undo {
    /// Undoes the step. The parameters have the same bits as before it.
    ///
    /// # Panics
    /// Panics if the parameters, the geometry or the update do not have the sizes of those of the step.
    pub fn undo(self, parameters: &mut [f32], geometry: &Geometry, update: &SparseTensor) {
        assert_eq!(parameters.len(), geometry.len(), "parameters have the shape of their tensor");
        assert_eq!(self.saved.len(), update.positions().len(), "a step is undone with its own update");
        let mut saved = self.saved.into_iter();
        each(geometry, update, 1.0, |coordinate, _| {
            parameters[coordinate] = saved.next().expect("one was saved for each value");
        });
    }
}

/// Calls `visit(coordinate, value x factor)` for each value that is sent.
fn each(geometry: &Geometry, update: &SparseTensor, factor: f32, mut visit: impl FnMut(usize, f32)) {
    for chunk in 0..update.chunks() {
        let origin = geometry.origin(chunk);
        update.visit_chunk(chunk, factor, |position, value| {
            visit(geometry.coordinate(origin, position.into()), value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::{Update, step_tensor},
        sparse::{SparseSpec, compress, tests::tiny},
    };
    use base::{Height, Hotkey, NeuronId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_trial_is_the_outer_step_alone_and_leaves_no_trace(
            bits in proptest::collection::vec(any::<u32>(), 256),
            values in proptest::collection::vec(-1e3f32..1e3, 256),
        ) {
            let geometry = Geometry::new(&[16, 16], 8).unwrap();
            let spec = SparseSpec { chunk: 64, topk: 8, outer_lr: 0.3, ..tiny() };
            let before: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
            let update = compress(&values, &geometry, &spec).unwrap();
            let mut tried = before.clone();
            let undo = trial_step(&mut tried, &geometry, &update, 1.0, spec.outer_lr);
            let mut stepped = before.clone();
            let neuron = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(0) };
            step_tensor(&mut stepped, &geometry, &spec, &[Update { neuron, tensor: &update }], None, 1).unwrap();
            let as_bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(as_bits(&tried), as_bits(&stepped));
            undo.undo(&mut tried, &geometry, &update);
            prop_assert_eq!(as_bits(&tried), bits);
        }
    }
}
