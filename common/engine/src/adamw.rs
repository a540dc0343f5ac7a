//! AdamW (Loshchilov, Hutter 2019). Each step equals a step of `torch.optim.AdamW(fused=True)`: both call the
//! same function of libtorch.

use crate::{layout::int, raw};
use protocol::train::AdamW;
use tch::{Device, Kind, TchError, Tensor};

/// The rows of a matrix whose squares are summed up at a time, as f32. Larger models divide their matrices
/// between devices at multiples of this: the norm does not depend on the division.
const BAND: i64 = 64;

/// The optimizer's state: two moving averages per parameter, and the number of steps that they include.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) steps: u64,
}

/// The settings of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) optimizer: AdamW,
    /// The learning rate.
    pub(crate) rate: f64,
    /// The factor applied to gradients before anything else: less than 1 where they are clipped.
    pub(crate) scale: f64,
}

/// Some tensors of a model, each list in the same order. Parameters and moments are views: a step changes
/// the buffers behind them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) gradients: Vec<Tensor>,
    pub(crate) first: Vec<Tensor>,
    pub(crate) second: Vec<Tensor>,
}

impl Moments {
    /// Creates the state before the first step.
    pub(crate) fn new(len: usize, device: Device) -> Result<Self, TchError> {
        let zeros = || Tensor::f_zeros([int(len)], (Kind::Float, device));
        Ok(Self { first: zeros()?, second: zeros()?, steps: 0 })
    }
}

impl Parts {
    /// Makes one step, number `steps` of its tensors, counted from 1. It changes the gradients too.
    pub(crate) fn step(mut self, steps: u64, decays: bool, step: Step) -> Result<(), TchError> {
        let Some(device) = self.parameters.first().map(Tensor::device) else { return Ok(()) };
        let _guard = tch::no_grad_guard();
        if step.scale != 1.0 {
            for gradient in &mut self.gradients {
                let _ = gradient.f_mul_scalar_(step.scale)?;
            }
        }
        // libtorch counts in f32: exact up to 16,777,216 steps.
        let count = Tensor::f_full([], int_of(steps), (Kind::Float, device))?;
        let counts: Vec<_> = self.parameters.iter().map(|_| count.shallow_clone()).collect();
        let AdamW { beta1, beta2, epsilon, weight_decay } = step.optimizer;
        let weight_decay = if decays { weight_decay } else { 0.0 };
        let lists = [&self.parameters, &self.gradients, &self.first, &self.second, &Vec::new(), &counts];
        let numbers = [step.rate, beta1, beta2, weight_decay, epsilon];
        raw::fused_adamw(lists.map(|list| &list[..]), numbers)
    }
}

/// Returns the norms of a gradient's bands, in order.
pub(crate) fn band_norms(gradient: &Tensor) -> Result<Tensor, TchError> {
    let rows = gradient.size()[0];
    let values = int(gradient.numel()) / rows * BAND;
    let whole = rows / BAND * values;
    let flat = gradient.f_flatten(0, -1)?;
    let norms = |start, len, columns| {
        flat.f_narrow(0, start, len)?.f_reshape([-1, columns])?.f_norm_scalaropt_dim(2, [1], false)
    };
    let rest = int(gradient.numel()) - whole;
    match (whole, rest) {
        (_, 0) => norms(0, whole, values),
        (0, _) => norms(0, rest, rest),
        _ => Tensor::f_cat(&[norms(0, whole, values)?, norms(whole, rest, rest)?], 0),
    }
}

/// Returns the norm of a gradient from those of its bands: the square root of the sum of their squares,
/// summed up in order as f64.
pub(crate) fn norm(bands: &[Tensor]) -> Result<f64, TchError> {
    if bands.is_empty() {
        return Ok(0.0);
    }
    let norms = crate::model::to_vec::<f64>(&Tensor::f_cat(bands, 0)?.f_to_kind(Kind::Double)?)?;
    Ok(norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
}

fn int_of(steps: u64) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
