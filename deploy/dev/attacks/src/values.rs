//! Changes of the values that attackers send.

use crate::lab::Lab;
use anyhow::Result;
use codec::{
    aggregate::StepNorms,
    chunks::Geometry,
    quantize::quantize,
    sparse::{Source, SparseTensor, compress_all},
};
use training_bench::miner::geometries;

/// Selects and quantizes values without error feedback.
pub(crate) fn compress(lab: &Lab, values: &[f32]) -> Result<Vec<SparseTensor>> {
    let spec = lab.layout.spec();
    Ok(compress_all(Source::Values(values), &geometries(&lab.layout), spec, 1)?)
}

/// Returns the decoded values at their places among all parameters; the others are 0.
pub(crate) fn dense(lab: &Lab, sent: &[SparseTensor]) -> Vec<f32> {
    let mut values = vec![0.0; lab.places.len()];
    let tensors = lab.layout.tensors().iter().zip(lab.places.iter()).zip(sent);
    for ((tensor, (_, place)), sent) in tensors {
        let values = &mut values[place];
        sent.for_each(tensor.geometry(), |at, value| values[at] = value);
    }
    values
}

/// Changes each sent value, and quantizes again. The positions stay.
pub(crate) fn changed(
    lab: &Lab,
    sent: &[SparseTensor],
    mut change: impl FnMut(usize, f32) -> f32,
) -> Result<Vec<SparseTensor>> {
    let tensors = geometries(&lab.layout).into_iter().zip(sent).enumerate();
    let tensor = |(number, (geometry, sent)): (usize, (Geometry, &SparseTensor))| {
        let mut values = Vec::with_capacity(sent.positions().len());
        sent.for_each(&geometry, |_, value| values.push(change(number, value)));
        rebuilt(lab, &geometry, sent.positions().to_vec(), &values)
    };
    tensors.map(tensor).collect()
}

/// Quantizes values at these positions of a tensor, chunk after chunk.
pub(crate) fn rebuilt(
    lab: &Lab,
    geometry: &Geometry,
    positions: Vec<u16>,
    values: &[f32],
) -> Result<SparseTensor> {
    let spec = lab.layout.spec();
    let topk = spec.topk as usize;
    let values = quantize(spec.quantizer, geometry.sent(topk), values);
    Ok(SparseTensor::new(geometry, topk, positions, values)?)
}

/// Scales each tensor of an update to the median norm of the last accepted set, so that neither clipping nor
/// a small norm tells it from an honest one.
pub(crate) fn as_honest(
    lab: &Lab,
    sent: Vec<SparseTensor>,
    last: Option<&StepNorms>,
) -> Result<Vec<SparseTensor>> {
    let Some(StepNorms { medians, .. }) = last else { return Ok(sent) };
    let norms: Vec<f64> = sent.iter().zip(geometries(&lab.layout)).map(|(t, g)| norm(t, &g)).collect();
    changed(lab, &sent, |number, value| {
        if norms[number] > 0.0 { (f64::from(value) * medians[number] / norms[number]) as f32 } else { value }
    })
}

/// Returns the norm of the sent values of a tensor.
pub(crate) fn norm(sent: &SparseTensor, geometry: &Geometry) -> f64 {
    let mut squares = 0.0;
    sent.for_each(geometry, |_, value| squares += f64::from(value) * f64::from(value));
    squares.sqrt()
}
